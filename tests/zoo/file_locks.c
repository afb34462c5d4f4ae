/* Troubles around flock(), fcntl() locks and lock files. */
#include "tests/zoo/parts_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* ---- cycles ---- */

static long ring;

static void flock_in_ring(long i)
{
	int mine = zoo_open_numbered("ring", i), next = zoo_open_numbered("ring", (i + 1) % ring);

	zoo_must(!flock(mine, LOCK_EX));
	zoo_meet((int)ring);
	zoo_stand();
	flock(next, LOCK_EX);
}

static void flock_ring(long count)
{
	ring = count;
	zoo_stands((int)count);
	for (long i = 0; i < count; i++)
		zoo_fork_run(flock_in_ring, i);
	zoo_wait_for_children();
}

static void flock_cross(void)
{
	flock_ring(2);
}

static void flock_three(void)
{
	flock_ring(3);
}

static void flock_self(void)
{
	int fd = zoo_open_file("self");

	zoo_stands(1);
	zoo_locked_file("self", LOCK_EX);
	zoo_stand();
	flock(fd, LOCK_EX);
}

static void ofd_lock(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	fcntl(fd, F_OFD_SETLKW, &lock);
}

static void ofd_member(long i)
{
	int mine = zoo_open_file(i ? "ofd-b" : "ofd-a");
	int other = zoo_open_file(i ? "ofd-a" : "ofd-b");

	ofd_lock(mine);
	zoo_meet(2);
	zoo_stand();
	ofd_lock(other);
}

static void ofd_cross(void)
{
	zoo_stands(2);
	zoo_fork_run(ofd_member, 0);
	zoo_fork_run(ofd_member, 1);
	zoo_wait_for_children();
}

/* Two lock each other's record. The kernel refuses one of them (EDEADLK); that one keeps its own and waits to be
 * told by the other that it may go on. */
static int told[2][2];

static void posix_member(long i)
{
	int mine = zoo_open_numbered("record", i), other = zoo_open_numbered("record", 1 - i);

	close(told[i][1]);
	close(told[1 - i][0]);
	zoo_must(zoo_posix_lock(mine, F_WRLCK));
	zoo_meet(2);
	zoo_stand();
	if (!zoo_posix_lock(other, F_WRLCK) && errno == EDEADLK)
		zoo_read(told[i][0]);
}

static void posix_refused(void)
{
	zoo_must(!pipe2(told[0], O_CLOEXEC) && !pipe2(told[1], O_CLOEXEC));
	zoo_stands(2);
	zoo_fork_run(posix_member, 0);
	zoo_fork_run(posix_member, 1);
	for (int i = 0; i < 4; i++)
		close(told[i / 2][i % 2]);
	zoo_wait_for_children();
}

/* ---- chains ---- */

static int queue_length;

static void posix_waiter(long i)
{
	int fd = zoo_open_file("queue");

	(void)i;
	zoo_meet(queue_length);
	zoo_ready();
	zoo_posix_lock(fd, F_WRLCK);
}

static void stopped_holder(long i)
{
	(void)i;
	zoo_posix_lock(zoo_open_file("queue"), F_WRLCK);
	zoo_meet(queue_length);
	zoo_stand();
	raise(SIGSTOP);
}

static void queue_behind_stopped(void)
{
	queue_length = 1 + zoo_vary(1, 5);
	zoo_stands(queue_length);
	zoo_fork_run(stopped_holder, 0);
	for (int i = 1; i < queue_length; i++)
		zoo_fork_run(posix_waiter, i);
	zoo_wait_for_children();
}

static void event_holder(long count)
{
	sem_t never;

	sem_init(&never, 0, 0);
	zoo_locked_file("held", LOCK_EX);
	zoo_meet((int)count);
	zoo_stand();
	sem_wait(&never);
}

static void queue_behind_event(void)
{
	zoo_with_victims(event_holder, zoo_vary(1, 6));
}

static void reader_holder(long count)
{
	int fd = zoo_quiet_peer();

	zoo_locked_file("held", LOCK_EX);
	zoo_meet((int)count);
	zoo_stand();
	zoo_receive(fd);
}

static void queue_behind_reader(void)
{
	zoo_with_victims(reader_holder, zoo_vary(1, 6));
}

/* A chain of three locks; the last holder is stopped. */
static void chain_link(long i)
{
	int mine = zoo_open_numbered("link", i), next = zoo_open_numbered("link", i + 1);

	zoo_must(!flock(mine, LOCK_EX));
	zoo_meet((int)ring);
	if (i == ring - 1) {
		zoo_stand();
		raise(SIGSTOP);
	}
	zoo_ready();
	flock(next, LOCK_EX);
}

static void chain_to_stopped(void)
{
	ring = zoo_vary(3, 5);
	zoo_stands((int)ring);
	for (long i = 0; i < ring; i++)
		zoo_fork_run(chain_link, i);
	zoo_wait_for_children();
}

static void parked_holder(long count)
{
	zoo_locked_file("held", LOCK_EX);
	atomic_store(&zoo_board->parked, zoo_tid());
	zoo_meet((int)count);
	zoo_stand();
	zoo_stand_for_ever();
}

static void queue_behind_fault(void)
{
	zoo_with_victims(parked_holder, zoo_vary(1, 4));
}

/* Shared locks keep a writer out: the reader that has one waits for an event. */
static void shared_lock_holder(long i)
{
	sem_t *never = zoo_never();

	(void)i;
	zoo_locked_file("index", LOCK_SH);
	zoo_meet(queue_length);
	zoo_stand();
	sem_wait(never);
}

static void exclusive_victim(long i)
{
	int fd = zoo_open_file("index");

	(void)i;
	zoo_meet(queue_length);
	zoo_ready();
	flock(fd, LOCK_EX);
}

static void writer_behind_reader(void)
{
	queue_length = 1 + zoo_vary(1, 3);
	zoo_stands(queue_length);
	zoo_fork_run(shared_lock_holder, 0);
	for (int i = 1; i < queue_length; i++)
		zoo_fork_run(exclusive_victim, i);
	zoo_wait_for_children();
}

/* ---- lock files ---- */

static void make_lock_file(const char *name, int pid)
{
	int fd = open(zoo_path(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", pid);

	zoo_must(fd >= 0 && write(fd, text, (size_t)len) == len);
	close(fd);
}

/* As lock files are waited for: try, sleep, try again. */
static void try_lock_file(long i)
{
	const struct timespec pause = {.tv_nsec = 200000000};

	(void)i;
	zoo_meet(queue_length);
	zoo_ready();
	while (open(zoo_path("mailbox.lock"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0)
		nanosleep(&pause, NULL);
}

static void lock_file_holder(long i)
{
	sem_t *never = zoo_never();

	(void)i;
	make_lock_file("mailbox.lock", (int)getpid());
	zoo_meet(queue_length);
	zoo_stand();
	sem_wait(never);
}

static void dot_lock_held(void)
{
	queue_length = 1 + zoo_vary(1, 4);
	zoo_stands(queue_length);
	zoo_fork_run(lock_file_holder, 0);
	for (int i = 1; i < queue_length; i++)
		zoo_fork_run(try_lock_file, i);
	zoo_wait_for_children();
}

const struct zoo_case zoo_file_locks[] = {
	{"flock-cross", "deadlock", "deliver", flock_cross, 0, 0},
	{"flock-three", "deadlock", "relay", flock_three, 0, 0},
	{"flock-self", "deadlock", "deliver", flock_self, 0, 0},
	{"ofd-cross", "deadlock", "deliver", ofd_cross, 0, 0},
	{"posix-refused", "deadlock", "deliver", posix_refused, 0, 0},
	{"queue-behind-stopped", "stopped", "queue", queue_behind_stopped, 0, 0},
	{"queue-behind-event", "lost-wakeup", "queue", queue_behind_event, 0, 0},
	{"queue-behind-reader", "lost-wakeup", "queue", queue_behind_reader, 0, 0},
	{"chain-to-stopped", "stopped", "deliver", chain_to_stopped, 0, 0},
	{"writer-behind-reader", "lost-wakeup", "index", writer_behind_reader, 0, 0},
	{"queue-behind-fault", "blocked-on-fault", "queue", queue_behind_fault, 0, 0},
	{"dot-lock-held", "lost-wakeup", "mbox", dot_lock_held, 0, 0},
	{0},
};
