/* Those who do not wait: they ask, sleep, and ask again. By their threads alone they sleep. */
#include "tests/zoo/parts_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REST_NS 120000000
#define RECORD	512 /* bytes of a record */

static int askers;

static void rest(void)
{
	const struct timespec time = {.tv_nsec = REST_NS};

	nanosleep(&time, NULL);
}

static void asks_for_file(const char *name)
{
	int fd = zoo_open_file(name);

	zoo_ready();
	while (flock(fd, LOCK_EX | LOCK_NB))
		rest();
}

static bool takes_record(int fd, int number)
{
	struct flock record = {.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = number * RECORD,
		.l_len = RECORD};

	return !fcntl(fd, F_SETLK, &record);
}

static void makes_lock_file(const char *name)
{
	FILE *file = fopen(zoo_path(name), "wx");

	zoo_must(file != NULL);
	fprintf(file, "%d:host\n", (int)getpid());
	fclose(file);
}

/* ---- two folders, each asks for the other's, and gives back none ---- */

static void keeps_one_asks_for_other(long me)
{
	static const char *const names[] = {"inbox", "sent"};

	zoo_locked_file(names[me], LOCK_EX);
	zoo_meet(2);
	zoo_blame();
	asks_for_file(names[!me]);
}

static void folders_asked_for_across(void)
{
	zoo_several(keeps_one_asks_for_other, 2);
}

/* ---- records of one index, in a ring ---- */

static void keeps_record_asks_for_next(long me)
{
	int fd = zoo_open_file("index");

	zoo_must(takes_record(fd, (int)me));
	zoo_meet(askers);
	zoo_stand();
	while (!takes_record(fd, (int)(me + 1) % askers))
		rest();
}

static void records_asked_for_in_a_ring(void)
{
	askers = zoo_vary(2, 5);
	zoo_several(keeps_record_asks_for_next, askers);
}

/* ---- one waits for the lock of an index, one looks whether the mailbox's lock file has gone ---- */

static void looks_under_index(long me)
{
	struct stat st;

	(void)me;
	zoo_locked_file("index", LOCK_EX);
	zoo_meet(2);
	zoo_stand();
	while (!lstat(zoo_path("mbox.lock"), &st))
		rest();
}

static void waits_under_lock_file(long me)
{
	int fd = zoo_open_file("index");

	(void)me;
	makes_lock_file("mbox.lock");
	zoo_meet(2);
	zoo_stand();
	flock(fd, LOCK_EX);
}

static void lock_file_and_index(void)
{
	zoo_stands(2);
	zoo_fork_run(looks_under_index, 0);
	zoo_fork_run(waits_under_lock_file, 0);
	zoo_idle();
}

/* ---- who has the record waits for an answer; the others ask again and again ---- */

static void reads_under_record(long me)
{
	int fd = zoo_open_file("spool"), peer = zoo_quiet_peer();

	(void)me;
	zoo_must(takes_record(fd, 0));
	zoo_meet(1);
	zoo_stand();
	zoo_receive(peer);
}

static void asks_for_record(long me)
{
	int fd = zoo_open_file("spool");

	(void)me;
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	while (!takes_record(fd, 0))
		rest();
}

static void record_kept_by_reader(void)
{
	askers = zoo_vary(1, 5);
	zoo_stands(1 + askers);
	zoo_fork_run(reads_under_record, 0);
	for (int i = 0; i < askers; i++)
		zoo_fork_run(asks_for_record, i);
	zoo_idle();
}

/* ---- a hard link as lock file, of one who is gone ---- */

static void leaves_link(long me)
{
	char unique[ZOO_PATH_MAX];

	(void)me;
	makes_lock_file("unique");
	snprintf(unique, sizeof(unique), "%s", zoo_path("unique"));
	zoo_must(!link(unique, zoo_path("mbox.lock")));
	_exit(0);
}

static void links_again(long me)
{
	char unique[ZOO_PATH_MAX], name[ZOO_PATH_MAX];

	(void)me;
	snprintf(unique, sizeof(unique), "%s", zoo_path("unique"));
	snprintf(name, sizeof(name), "%s", zoo_path("mbox.lock"));
	zoo_stand();
	while (link(unique, name))
		rest();
}

static void link_of_the_dead(void)
{
	zoo_must(waitpid(zoo_fork_run(leaves_link, 0), NULL, 0) > 0);
	zoo_several(links_again, zoo_vary(1, 3));
}

/* ---- healthy: each has it for a while, and all go on ---- */

static void takes_turns(long me)
{
	int fd = zoo_open_file("index");

	(void)me;
	zoo_ready();
	for (;;) {
		while (flock(fd, LOCK_EX | LOCK_NB))
			rest();
		rest();
		flock(fd, LOCK_UN);
		rest();
	}
}

static void index_asked_for_in_turn(void)
{
	zoo_several(takes_turns, zoo_vary(2, 5));
}

/* A queue's manager looks into its folder from time to time. */
static void looks_for_work(long me)
{
	struct stat st;

	(void)me;
	mkdir(zoo_path("incoming"), 0700);
	zoo_ready();
	for (;;) {
		mkdir(zoo_path("incoming"), 0700);
		stat(zoo_path("incoming"), &st);
		rest();
	}
}

static void folder_looked_into(void)
{
	zoo_several(looks_for_work, zoo_vary(1, 3));
}

const struct zoo_case zoo_tries[] = {
	{"folders-asked-for-across", "deadlock", "imap", folders_asked_for_across, 0, 0},
	{"records-asked-for-in-a-ring", "deadlock", "store", records_asked_for_in_a_ring, 0, 0},
	{"lock-file-and-index", "deadlock", "deliver", lock_file_and_index, 0, 0},
	{"record-kept-by-reader", "lost-wakeup", "queue", record_kept_by_reader, 0, 0},
	{"link-of-the-dead", "lost-wakeup", "mbox", link_of_the_dead, 0, 0},
	{"index-asked-for-in-turn", NULL, "index", index_asked_for_in_turn, ZOO_PROGRESSED, 0},
	{"folder-looked-into", NULL, "queue", folder_looked_into, 0, 0},
	{0},
};
