/*
 * The zoo as a program of a guest, static.
 *
 *	zoo list		the truth: a JSON array of the cases
 *	zoo run CASE SEED	plants it: returns when all who shall stand do, and leaves them standing.
 *				Prints {"settled","culprits":[tids],"parked":tid}
 *	zoo pause MS		lets guest time pass
 *	zoo disk		makes the file that a case maps, before the disk is frozen
 *
 * A case runs as a copy of this program under its role's name, so that the scan sees several programs.
 */
#include "tests/zoo/parts_private.h"
#include "tests/zoo/program/frees.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOME	   "/run/zoo"
#define SETTLE_MS  20000
#define DIRS_MAX   100
#define INDEX_SIZE 4096

static int fail(const char *what)
{
	fprintf(stderr, "zoo: %s: %s\n", what, strerror(errno));
	return 1;
}

/* ---- list ---- */

static const struct {
	unsigned int flag;
	const char *name;
} flag_names[] = {
	{ZOO_SPINS, "spins"},
	{ZOO_PROGRESSED, "progressed"},
	{ZOO_OVERDUE, "overdue"},
	{ZOO_FROZEN, "frozen"},
	{ZOO_THAWED, "thawed"},
	{ZOO_STARVED, "starved"},
	{ZOO_SLOW_DISK, "slow_disk"},
	{ZOO_STOPPING, "stopping"},
	{ZOO_HELD_OUT, "held_out"},
	{ZOO_EXITS, "exits"},
};

static void list_case(const struct zoo_case *zoo, bool first)
{
	printf("%s\n{\"name\":\"%s\",\"role\":\"%s\",\"deaths\":%d", first ? "" : ",", zoo->name,
		zoo->role, zoo->deaths);
	if (zoo->hang_class)
		printf(",\"class\":\"%s\"", zoo->hang_class);
	for (size_t i = 0; i < sizeof(flag_names) / sizeof(flag_names[0]); i++)
		if (zoo->flags & flag_names[i].flag)
			printf(",\"%s\":true", flag_names[i].name);
	printf("}");
}

static int list(void)
{
	bool first = true;

	printf("[");
	for (size_t g = 0; zoo_groups[g]; g++)
		for (const struct zoo_case *zoo = zoo_groups[g]; zoo->name; zoo++) {
			list_case(zoo, first);
			first = false;
		}
	printf("\n]\n");
	return 0;
}

/* ---- run ---- */

static bool copy_self(const char *path)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	bool there = to < 0 && errno == EEXIST;
	struct stat st;
	ssize_t n = 1;

	if (to >= 0 && !fstat(from, &st))
		while (n > 0)
			n = sendfile(to, from, NULL, (size_t)st.st_size);
	close(from);
	if (to >= 0)
		close(to);
	return there || (to >= 0 && n == 0);
}

static struct zoo_board *map_board(const char *dir)
{
	char path[ZOO_PATH_MAX];
	int fd;
	void *p;

	snprintf(path, sizeof(path), "%s/board", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(struct zoo_board)))
		return NULL;
	p = mmap(NULL, sizeof(struct zoo_board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

/* The leader's descriptors are those of a daemon. */
static void detach(void)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

static int lead(const char *name, const char *seed, const char *dir)
{
	const struct zoo_case *zoo = zoo_find(name);
	struct zoo_board *board = map_board(dir);

	if (!zoo || !board)
		return fail(dir);
	detach();
	zoo_frees_begin();
	zoo_lead(zoo, board, dir, (unsigned int)strtoul(seed, NULL, 10));
}

/* Of its own, and named alike in all cases. */
static bool make_dir(char dir[ZOO_PATH_MAX])
{
	for (int i = 0; i < DIRS_MAX; i++) {
		snprintf(dir, ZOO_PATH_MAX, HOME "/spool-%d", i);
		if (!mkdir(dir, 0755))
			return true;
	}
	return false;
}

static void tell(const struct zoo_board *board, bool settled)
{
	printf("{\"settled\":%s,\"parked\":%d,\"culprits\":[", settled ? "true" : "false",
		atomic_load(&board->parked));
	for (int i = 0; i < ZOO_CULPRITS && atomic_load(&board->culprits[i]); i++)
		printf("%s%d", i ? "," : "", atomic_load(&board->culprits[i]));
	printf("]}\n");
}

static int run(const char *name, const char *seed)
{
	const struct zoo_case *zoo = zoo_find(name);
	char dir[ZOO_PATH_MAX], program[ZOO_PATH_MAX];
	struct zoo_board *board;
	pid_t pid;

	mkdir(HOME, 0755);
	if (!zoo || !make_dir(dir) || !(board = map_board(dir)))
		return fail(name);
	snprintf(program, sizeof(program), HOME "/%s", zoo->role);
	if (!copy_self(program))
		return fail(program);
	pid = fork();
	if (!pid) {
		setsid(); /* or a stopped one would be continued when this program ends */
		execl(program, program, "lead", name, seed, dir, (char *)NULL);
		_exit(fail(program));
	}
	tell(board, zoo_settled(zoo, pid, board, SETTLE_MS));
	return 0;
}

static int make_index(void)
{
	int fd = open(ZOO_DISK_DIR "/index", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, INDEX_SIZE) || fsync(fd))
		return fail("index");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "list"))
		return list();
	if (argc == 4 && !strcmp(argv[1], "run"))
		return run(argv[2], argv[3]);
	if (argc == 5 && !strcmp(argv[1], "lead"))
		return lead(argv[2], argv[3], argv[4]);
	if (argc == 3 && !strcmp(argv[1], "pause"))
		return poll(NULL, 0, atoi(argv[2])) < 0;
	if (argc == 2 && !strcmp(argv[1], "disk"))
		return make_index();
	fprintf(stderr, "usage: zoo list | zoo run CASE SEED | zoo pause MS | zoo disk\n");
	return 64;
}
