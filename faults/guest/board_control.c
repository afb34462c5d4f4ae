#include "faults/guest/board_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct board *board_now;
static int board_fd = -1;

/* ---- the file ---- */

bool board_is_whole(void)
{
	struct stat st;

	return board_now && !fstat(board_fd, &st) && st.st_size == (off_t)BOARD_FILE_SIZE;
}

static int map(int fd)
{
	void *at = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	board_now = at;
	board_fd = fd;
	board_begin_listening();
	return 0;
}

static bool is_ours(int fd)
{
	struct stat st;
	uint32_t head[4];

	return !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	       st.st_size == (off_t)BOARD_FILE_SIZE &&
	       pread(fd, head, sizeof(head), 0) == sizeof(head) && head[0] == BOARD_MAGIC &&
	       head[1] == BOARD_VERSION && head[2] == sizeof(struct board) &&
	       head[3] == POINT_COUNT;
}

static int make(const char *path)
{
	char fresh[4096];
	struct stat root;
	int fd, r;

	if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) >= sizeof(fresh))
		return -ENAMETOOLONG;
	unlink(fresh);
	fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = ftruncate(fd, BOARD_FILE_SIZE) || stat("/", &root) ? -errno : map(fd);
	if (r) {
		close(fd);
		unlink(fresh);
		return r;
	}
	board_now->magic = BOARD_MAGIC;
	board_now->version = BOARD_VERSION;
	board_now->size = sizeof(struct board);
	board_now->points = POINT_COUNT;
	board_now->root_dev = root.st_dev;
	board_now->root_ino = root.st_ino;
	if (!fchmod(fd, 0666) && !rename(fresh, path))
		return 0;
	r = -errno;
	unlink(fresh);
	board_control_close();
	return r;
}

int board_control_open(const char *path)
{
	int fd, r;

	board_control_close();
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return make(path);
	if (!is_ours(fd)) {
		close(fd);
		return make(path);
	}
	r = map(fd);
	if (r)
		close(fd);
	return r;
}

void board_control_close(void)
{
	if (!board_now)
		return;
	munmap(board_now, sizeof(*board_now));
	close(board_fd);
	board_now = NULL;
	board_fd = -1;
}

/* ---- the commands ---- */

typedef int command_fn(const char *rest, struct board_reply *reply, char *why, size_t size);

static int takes_nothing(const char *rest, char *why, size_t size)
{
	if (!rest[strspn(rest, " ")])
		return 0;
	snprintf(why, size, "this command takes nothing");
	return -EINVAL;
}

static int points(const char *rest, struct board_reply *reply, char *why, size_t size)
{
	int r = takes_nothing(rest, why, size);

	if (!r)
		board_status_points(reply);
	return r;
}

static int processes(const char *rest, struct board_reply *reply, char *why, size_t size)
{
	int r = takes_nothing(rest, why, size);

	if (!r)
		board_status_processes(reply);
	return r;
}

static int residue(const char *rest, struct board_reply *reply, char *why, size_t size)
{
	int r = takes_nothing(rest, why, size);

	if (!r)
		board_status_residue(reply);
	return r;
}

static const struct {
	const char *verb;
	command_fn *run;
} commands[] = {{"arm", board_rules_arm}, {"disarm", board_rules_disarm},
	{"release", board_rules_release}, {"status", board_status_slots}, {"points", points},
	{"processes", processes}, {"residue", residue}};

static command_fn *command_of(const char *line, size_t len)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strlen(commands[i].verb) == len && !strncmp(commands[i].verb, line, len))
			return commands[i].run;
	return NULL;
}

int board_control_command(const char *line, char *reply, size_t size)
{
	size_t verb = strcspn(line, " ");
	command_fn *run = command_of(line, verb);
	struct board_reply json;
	char why[256] = "";
	int r;

	if (strnlen(line, BOARD_LINE_MAX) >= BOARD_LINE_MAX || !run) {
		snprintf(reply, size,
			"a line is arm, disarm, release, status, points, processes or residue");
		return -EINVAL;
	}
	if (!board_is_whole()) {
		snprintf(reply, size, "the board is gone, or somebody cut it");
		return -EIO;
	}
	board_put_begin(&json, reply, size);
	r = run(line + verb, &json, why, sizeof(why));
	if (!r && json.broken)
		r = -ENOSPC;
	if (r)
		snprintf(reply, size, "%s", why[0] ? why : "the reply does not fit");
	return r;
}
