#include "vm/image_priv.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/proc.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>

#define MKE2FS_MS  60000
#define FIXED_TIME "1735689600"
#define APPEND_MAX 1800 /* the kernel's limit is 2048 on x86, the machine adds its own words */
#define WORD_MAX   256

/* ---- data disks -------------------------------------------------------------------------------- */

static bool label_ok(const char *label)
{
	return fs_name_ok(label) && strlen(label) <= IMAGE_LABEL_MAX;
}

/* A UUID that depends on the label alone, so that the disk is the same every time. */
static char *uuid_of(const char *label)
{
	char hex[HASH_HEX_SIZE];

	hash_bytes(label, strlen(label), hex);
	return text_fmt("%.8s-%.4s-4%.3s-8%.3s-%.12s", hex, hex + 8, hex + 13, hex + 17, hex + 20);
}

static int make_file(const char *path, uint64_t size_bytes, struct err *err)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || ftruncate(fd, (off_t)size_bytes))
		return err_sys(err, errno, "cannot make disk '%s'", path);
	return 0;
}

int image_disk(const char *root, const char *path, const char *label, uint64_t size_bytes,
	bool quota, struct err *err)
{
	const char *search = getenv("PATH");
	auto_free char *uuid = uuid_of(label);
	auto_free char *temp = text_fmt("%s.new", path);
	auto_free char *config = text_fmt("MKE2FS_CONFIG=%s/vm-images/mke2fs.conf", root);
	auto_free char *programs =
		text_fmt("PATH=%s:/usr/sbin:/sbin", search ? search : "/usr/bin");
	auto_free char *extended =
		text_fmt("hash_seed=%s,root_owner=0:0%s", uuid, quota ? ",quotatype=usrquota" : "");
	char *argv[] = {"env", config, programs, "E2FSPROGS_FAKE_TIME=" FIXED_TIME, "mke2fs", "-q",
		"-F", "-t", "ext4", "-m", "0", "-J", "size=8", "-L", (char *)label, "-U", uuid,
		"-E", extended, "-O", quota ? "quota" : "^quota", temp, NULL};
	int rc;

	if (!label_ok(label))
		return err_set(err, -EINVAL, "'%s' is no label for a disk", label);
	rc = make_file(temp, size_bytes, err);
	if (rc)
		return rc;
	rc = proc_run(argv, deadline_in_ms(MKE2FS_MS), NULL, 0, err);
	if (rc > 0)
		rc = err_wrap(err, -EIO, "cannot make disk '%s'", label);
	if (!rc && rename(temp, path))
		rc = err_sys(err, errno, "cannot make disk '%s'", path);
	if (rc)
		unlink(temp);
	return rc;
}

/* ---- the kernel command line --------------------------------------------------------------------- */

/* No blank, quote or colon: the words are separated by blanks, their parts by a colon. */
static bool word_ok(const char *text)
{
	size_t len = strlen(text);

	if (!len || len > WORD_MAX)
		return false;
	for (const char *p = text; *p; p++)
		if (!isgraph((unsigned char)*p) || strchr("\"':", *p))
			return false;
	return true;
}

static int add_pair(
	struct buf *line, const char *key, const char *name, const char *value, struct err *err)
{
	if (!word_ok(name) || !word_ok(value))
		return err_set(err, -EINVAL, "'%s' and '%s' cannot stand on a kernel command line",
			name, value);
	buf_addf(line, " %s=%s:%s", key, name, value);
	return 0;
}

int image_append(const struct image_boot *boot, char **ret, struct err *err)
{
	auto_buf struct buf line = {0};
	int rc = 0;

	if (!word_ok(boot->hostname) || !word_ok(boot->address))
		return err_set(err, -EINVAL, "'%s' and '%s' cannot stand on a kernel command line",
			boot->hostname, boot->address);
	/* No IPv6: its neighbour and router messages would be traffic and timers of nobody's. No random addresses: TCG
	 * translates a library again for each process that has it elsewhere, which was a third of a cell (QEMU 7.2,
	 * accel/tcg/cpu-exec.c: tb_lookup_cmp()), and a run that comes again comes with the same addresses. */
	buf_addf(&line, "quiet norandmaps ipv6.disable=1 rig.hostname=%s rig.ip=%s", boot->hostname,
		boot->address);
	for (const struct network_name *n = boot->names; n && n->name && !rc; n++)
		rc = add_pair(&line, "rig.host", n->name, n->address, err);
	for (size_t i = 0; i < boot->mount_count && !rc; i++)
		rc = add_pair(&line, "rig.mount", boot->mounts[i].label, boot->mounts[i].path, err);
	if (!boot->preload)
		buf_add_str(&line, " rig.preload=0");
	if (!rc && line.len > APPEND_MAX)
		rc = err_set(
			err, -E2BIG, "the kernel command line is longer than %d bytes", APPEND_MAX);
	if (!rc)
		*ret = buf_steal(&line);
	return rc;
}
