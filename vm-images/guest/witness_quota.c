/*
 * Quotas that are used up: every user but root who owns something on a file system gets as his hard limit what he has
 * (quotactl(2); Linux 6.1, fs/quota/dquot.c, ext4 with the feature quota, which counts from the mount on and enforces
 * when told to). Limits first, then they are enforced, so that all come into force at one instant; and back the other
 * way round. What was found is remembered, also when it was put back, so that residue compares.
 */
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/quota.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOUNTS_MAX     4
#define OWNERS_MAX     64
#define PROCESSORS_MAX 16
#define QFMT_VFS_V1    4 /* of QCMD(Q_QUOTAON); linux/quota.h calls it so only in the kernel */

struct owner {
	uint32_t id;
	struct if_dqblk was;
};

struct bounded {
	char mount[PATH_TEXT_MAX];
	bool in_force;	   /* between taking and giving back */
	bool was_enforced; /* when it was first bounded */
	struct owner owner[OWNERS_MAX];
	size_t owners;
	int counter[PROCESSORS_MAX];
	size_t counters;
};

static struct {
	pthread_mutex_t lock;
	struct bounded at[MOUNTS_MAX];
	size_t count;
} quotas = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* 0 or -errno. */
static int quota(int fd, unsigned int command, uint32_t id, void *data)
{
	return syscall(SYS_quotactl_fd, fd, QCMD(command, USRQUOTA), id, data) ? -errno : 0;
}

static int open_mount(const char *mount)
{
	int fd = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int is_enforced(int fd, bool *ret)
{
	struct fs_quota_statv state = {.qs_version = FS_QSTATV_VERSION1};
	int rc = quota(fd, Q_XGETQSTATV, 0, &state);

	*ret = !rc && state.qs_flags & FS_QUOTA_UDQ_ENFD;
	return rc;
}

static int enforce(int fd, bool wanted)
{
	bool is = false;
	int rc = is_enforced(fd, &is);

	if (!rc && is != wanted)
		rc = quota(fd, wanted ? Q_QUOTAON : Q_QUOTAOFF, QFMT_VFS_V1, NULL);
	return rc;
}

static struct bounded *find(const char *mount)
{
	for (size_t i = 0; i < quotas.count; i++)
		if (!strcmp(quotas.at[i].mount, mount))
			return &quotas.at[i];
	return NULL;
}

/* ---- take away ---- */

/* What he has, and never nothing: a limit of 0 is none. */
static void used_up(const struct if_dqblk *used, bool inodes, struct if_dqblk *ret)
{
	*ret = *used;
	if (inodes) {
		ret->dqb_ihardlimit = used->dqb_curinodes ? used->dqb_curinodes : 1;
		ret->dqb_isoftlimit = 0;
	} else {
		ret->dqb_bhardlimit = (used->dqb_curspace + QIF_DQBLKSIZE - 1) / QIF_DQBLKSIZE;
		ret->dqb_bhardlimit += !ret->dqb_bhardlimit;
		ret->dqb_bsoftlimit = 0;
	}
	ret->dqb_valid = QIF_LIMITS;
}

static bool knows(const struct bounded *b, uint32_t id)
{
	for (size_t i = 0; i < b->owners; i++)
		if (b->owner[i].id == id)
			return true;
	return false;
}

static int bound_owners(struct bounded *b, int fd, bool inodes)
{
	struct if_nextdqblk next = {0};
	int rc = 0;

	/* Root is user 0, whom no quota binds. */
	for (uint32_t id = 1; !rc; id = next.dqb_id + 1) {
		struct if_dqblk used, wanted;

		rc = quota(fd, Q_GETNEXTQUOTA, id, &next);
		if (rc || knows(b, next.dqb_id))
			continue;
		memcpy(&used, &next, sizeof(used)); /* its first part, linux/quota.h */
		if (b->owners == OWNERS_MAX)
			return -E2BIG;
		used_up(&used, inodes, &wanted);
		rc = quota(fd, Q_SETQUOTA, next.dqb_id, &wanted);
		used.dqb_valid = QIF_LIMITS;
		if (!rc)
			b->owner[b->owners++] = (struct owner){next.dqb_id, used};
	}
	return rc == -ENOENT || rc == -ESRCH ? 0 : rc; /* no more of them */
}

static void stop_counting(struct bounded *b)
{
	while (b->counters)
		close(b->counter[--b->counters]);
}

static int start_counting(struct bounded *b)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	while ((long)b->counters < processors && b->counters < PROCESSORS_MAX) {
		int fd = counter_open(-1, (int)b->counters, EDQUOT);

		if (fd < 0)
			return fd;
		b->counter[b->counters++] = fd;
	}
	return 0;
}

static int take(struct bounded *b, int fd, bool inodes)
{
	int rc = 0;

	if (!b->in_force) {
		b->owners = 0;
		rc = is_enforced(fd, &b->was_enforced);
	}
	b->in_force = true;
	if (!rc)
		rc = start_counting(b);
	if (!rc)
		rc = bound_owners(b, fd, inodes);
	if (!rc)
		rc = enforce(fd, true);
	return rc;
}

/* ---- and give back ---- */

static int give_back(struct bounded *b, int fd)
{
	int rc = 0;

	for (size_t i = 0; i < b->owners; i++) {
		struct if_dqblk was = b->owner[i].was;
		int one = quota(fd, Q_SETQUOTA, b->owner[i].id, &was);

		rc = rc ? rc : one;
	}
	if (!rc && !b->was_enforced)
		rc = enforce(fd, false);
	stop_counting(b);
	b->in_force = rc != 0;
	return rc;
}

static void say_left(struct out *out, const struct bounded *b, int fd)
{
	bool enforced = false;
	char text[PATH_TEXT_MAX + 64];

	for (size_t i = 0; i < b->owners; i++) {
		const struct owner *owner = &b->owner[i];
		struct if_dqblk now;

		if (quota(fd, Q_GETQUOTA, owner->id, &now) ||
			(now.dqb_bhardlimit == owner->was.dqb_bhardlimit &&
				now.dqb_ihardlimit == owner->was.dqb_ihardlimit))
			continue;
		snprintf(text, sizeof(text), "the quota of user %u on '%s' is still low", owner->id,
			b->mount);
		out_text(out, NULL, text);
	}
	if (is_enforced(fd, &enforced) || enforced == b->was_enforced)
		return;
	snprintf(text, sizeof(text), "the quota of '%s' is still enforced", b->mount);
	out_text(out, NULL, text);
}

void quota_residue(struct out *out)
{
	pthread_mutex_lock(&quotas.lock);
	for (size_t i = 0; i < quotas.count; i++) {
		int fd = open_mount(quotas.at[i].mount);

		if (fd < 0)
			continue;
		say_left(out, &quotas.at[i], fd);
		close(fd);
	}
	pthread_mutex_unlock(&quotas.lock);
}

/* ---- the verb ---- */

static void answer_met(const struct request *request, const struct bounded *b)
{
	auto_out out = {0};
	int64_t met = 0;

	for (size_t i = 0; b && i < b->counters; i++)
		met += (int64_t)counter_read(b->counter[i]);
	answer_begin(&out, request);
	out_int(&out, "owners", b && b->in_force ? (int64_t)b->owners : 0);
	out_int(&out, "met", met);
	answer_send(&out, request);
}

static int change(const struct request *request, struct bounded *b)
{
	const char *what = request_text(request, "what");
	int fd = open_mount(b->mount), rc;

	if (fd < 0)
		return fd;
	if (what[0]) {
		rc = take(b, fd, !strcmp(what, "inodes"));
		if (rc)
			give_back(b, fd);
	} else {
		rc = give_back(b, fd);
	}
	close(fd);
	return rc;
}

/* The entry of `mount`; NULL if there is none and none is wanted, or no room. */
static struct bounded *entry_of(const char *mount, bool wanted)
{
	struct bounded *b = find(mount);

	if (b || !wanted || quotas.count == MOUNTS_MAX)
		return b;
	b = &quotas.at[quotas.count++];
	snprintf(b->mount, sizeof(b->mount), "%s", mount);
	return b;
}

void verb_quota(const struct request *request)
{
	const char *mount = request_text(request, "mount"), *what = request_text(request, "what");
	bool back = json_is_true(json_object_get(request->args, "give_back"));
	struct bounded *b;
	int rc = 0;

	if (mount[0] != '/' || strlen(mount) >= PATH_TEXT_MAX) {
		answer_error(request, "quota: '%s' is no mount", mount);
		return;
	}
	pthread_mutex_lock(&quotas.lock);
	b = entry_of(mount, what[0]);
	if (what[0] && !b)
		rc = -E2BIG;
	else if (b && (what[0] || (back && b->in_force)))
		rc = change(request, b);
	if (rc)
		answer_error(
			request, "the quota of '%s' cannot be changed: %s", mount, strerror(-rc));
	else
		answer_met(request, b);
	pthread_mutex_unlock(&quotas.lock);
}
