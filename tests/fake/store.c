#include "tests/fake/store_private.h"

#include "base/clock.h"
#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

const char *fake_service_name(enum fake_service service)
{
	static const char *const names[FAKE_SERVICES] = {"smtp", "lmtp", "imap", "pop3"};

	return names[service];
}

const char *fake_bug_name(enum fake_bug bug)
{
	static const char *const names[FAKE_BUGS] = {"loses", "keeps-refused", "duplicates",
		"bounces", "no-reply", "queue-stuck", "hangs-at-thaw", "stop-hangs", "dies",
		"corrupts", "mixes-users", "cut-deletes", "quit-keeps", "overdeletes", "lock-stays",
		"uidl-changes", "uidl-shared", "autologout", "no-bounce", "bounces-null",
		"bounces-twice", "lies", "keeps-deferred", "spreads", "stalls", "leaks",
		"acks-early", "lets-go-early", "ignores-sync", "needs-operator", "partial-file",
		"name-reused", "flags-double", "flags-lose", "litter", "lock-cycle", "no-limit",
		"skips-reply", "alarms"};

	return bug < FAKE_LOSES ? fake_imap_bug_name(bug) : names[bug - FAKE_LOSES];
}

int64_t fake_now(const struct fake *fake)
{
	return fake->opts.clock_ns ? fake->opts.clock_ns(fake->opts.arg) : clock_mono_ns();
}

struct fake *fake_new(const struct fake_opts *opts)
{
	struct fake *fake = mem_zero(1, sizeof(*fake));

	fake->opts = *opts;
	if (!fake->opts.retry_ms)
		fake->opts.retry_ms = 200;
	if (!fake->opts.silent_ms)
		fake->opts.silent_ms = 500;
	if (!fake->opts.hop_ms)
		fake->opts.hop_ms = 5000;
	pthread_mutex_init(&fake->lock, NULL);
	cond_init(&fake->changed);
	fake->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (int i = 0; i < FAKE_SERVICES; i++)
		fake->listen_fds[i] = -1;
	for (const char *const *user = opts->users; *user; user++)
		fake_box_make(fake, *user, "INBOX");
	return fake;
}

static void close_listeners(struct fake *fake)
{
	for (int i = 0; i < FAKE_SERVICES; i++)
		cleanup_fd(&fake->listen_fds[i]);
}

void fake_free(struct fake *fake)
{
	if (!fake)
		return;
	fake_kill(fake);
	for (size_t i = 0; i < fake->box_count; i++)
		fake_box_free(fake->boxes[i]);
	for (size_t i = 0; i < fake->queue_count; i++)
		fake_entry_free(fake->queue[i]);
	fake_power_free(fake);
	fake_snapshot_free(fake);
	free(fake->boxes);
	free(fake->queue);
	close_listeners(fake);
	cleanup_fd(&fake->wake_fd);
	pthread_cond_destroy(&fake->changed);
	pthread_mutex_destroy(&fake->lock);
	free(fake);
}

/* ---- bugs ---- */

void fake_plant(struct fake *fake, enum fake_bug bug, unsigned int nth, bool only_hurt)
{
	pthread_mutex_lock(&fake->lock);
	fake->bugs[bug].nth = nth;
	fake->bugs[bug].seen = 0;
	fake->bugs[bug].only_hurt = only_hurt;
	fake->bugs[bug].fired = false;
	pthread_mutex_unlock(&fake->lock);
}

bool fake_fires_locked(struct fake *fake, enum fake_bug bug, bool hurt)
{
	if (!fake->bugs[bug].nth || (fake->bugs[bug].only_hurt && !hurt))
		return false;
	if (++fake->bugs[bug].seen != fake->bugs[bug].nth)
		return false;
	return fake->bugs[bug].fired = true;
}

bool fake_lasts_locked(struct fake *fake, enum fake_bug bug)
{
	return fake_fires_locked(fake, bug, false) || fake->bugs[bug].fired;
}

bool fake_fires(struct fake *fake, enum fake_bug bug, bool hurt)
{
	bool fires;

	pthread_mutex_lock(&fake->lock);
	fires = fake_fires_locked(fake, bug, hurt);
	pthread_mutex_unlock(&fake->lock);
	return fires;
}

bool fake_bug_fired(struct fake *fake, enum fake_bug bug)
{
	bool fired;

	pthread_mutex_lock(&fake->lock);
	fired = fake->bugs[bug].fired;
	pthread_mutex_unlock(&fake->lock);
	return fired;
}

static void hang_locked(struct fake *fake)
{
	while (!fake->stopping && !fake->killed)
		cond_wait(&fake->changed, &fake->lock, CLOCK_NEVER);
}

void fake_hang(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	hang_locked(fake);
	pthread_mutex_unlock(&fake->lock);
}

void fake_stall(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	if (fake->disabled && fake_fires_locked(fake, FAKE_STALLS, true))
		while (fake->disabled && !fake->stopping && !fake->killed)
			cond_wait(&fake->changed, &fake->lock, CLOCK_NEVER);
	pthread_mutex_unlock(&fake->lock);
}

void fake_die(struct fake *fake, const char *program)
{
	struct fake_death death = {.signal = SIGSEGV};

	snprintf(death.program, sizeof(death.program), "%s", program);
	pthread_mutex_lock(&fake->lock);
	if (fake->death_count < FAKE_DEATHS_MAX)
		fake->deaths[fake->death_count++] = death;
	pthread_mutex_unlock(&fake->lock);
	if (fake->opts.on_death)
		fake->opts.on_death(fake->opts.arg, &death);
}

size_t fake_deaths(struct fake *fake, struct fake_death *out, size_t max)
{
	size_t count;

	pthread_mutex_lock(&fake->lock);
	count = fake->death_count;
	if (out)
		memcpy(out, fake->deaths, (count < max ? count : max) * sizeof(*out));
	pthread_mutex_unlock(&fake->lock);
	return count;
}

void fake_tell_attempt(struct fake *fake, const struct fake_attempt *attempt)
{
	if (fake->opts.on_attempt)
		fake->opts.on_attempt(fake->opts.arg, attempt);
}

const char *fake_result(int code)
{
	return code >= 500 ? "5yz" : code >= 400 ? "4yz" : code >= 200 ? "2yz" : "none";
}

/* ---- freeze ---- */

int fake_write_gate(struct fake *fake, bool *ret_hurt)
{
	bool hurt = false;
	int rc;

	pthread_mutex_lock(&fake->lock);
	while (fake->frozen && !fake->killed) {
		if (!hurt)
			fake->freeze_waiters++;
		hurt = true;
		pthread_cond_broadcast(&fake->changed);
		cond_wait(&fake->changed, &fake->lock, CLOCK_NEVER);
	}
	fake->freeze_waiters -= hurt;
	if (hurt && fake_fires_locked(fake, FAKE_HANGS_AT_THAW, true)) {
		hang_locked(fake);
		rc = -ECANCELED;
	} else {
		rc = fake->killed ? -ECANCELED : 0;
	}
	pthread_mutex_unlock(&fake->lock);
	*ret_hurt |= hurt;
	return rc;
}

static void set(struct fake *fake, bool *what, bool value)
{
	pthread_mutex_lock(&fake->lock);
	*what = value;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
}

void fake_freeze(struct fake *fake)
{
	set(fake, &fake->frozen, true);
}

void fake_thaw(struct fake *fake)
{
	set(fake, &fake->frozen, false);
}

bool fake_frozen(struct fake *fake, unsigned int *ret_waiting)
{
	bool frozen;

	pthread_mutex_lock(&fake->lock);
	frozen = fake->frozen;
	if (ret_waiting)
		*ret_waiting = fake->freeze_waiters;
	pthread_mutex_unlock(&fake->lock);
	return frozen;
}

bool fake_wait_frozen(struct fake *fake, unsigned int waiting, int64_t deadline_ns)
{
	bool enough;

	pthread_mutex_lock(&fake->lock);
	while (fake->freeze_waiters < waiting && deadline_left_ms(deadline_ns) != 0)
		cond_wait(&fake->changed, &fake->lock, deadline_ns);
	enough = fake->freeze_waiters >= waiting;
	pthread_mutex_unlock(&fake->lock);
	return enough;
}

void fake_disable_delivery(struct fake *fake, bool disabled)
{
	set(fake, &fake->disabled, disabled);
}

void fake_silence_delivery(struct fake *fake, bool silent)
{
	set(fake, &fake->silent, silent);
}

void fake_break_box(struct fake *fake, const char *user)
{
	pthread_mutex_lock(&fake->lock);
	snprintf(fake->broken, sizeof(fake->broken), "%s", user ? user : "");
	pthread_mutex_unlock(&fake->lock);
}

void fake_hold_queue(struct fake *fake, bool hold)
{
	set(fake, &fake->hold, hold);
}

/* ---- sessions ---- */

void fake_idle_deadline(struct fake_session *session)
{
	session->line.deadline_ns = deadline_in_ms(FAKE_IDLE_MS);
}

static void one_less(struct fake *fake)
{
	fake->live--;
	pthread_cond_broadcast(&fake->changed);
}

static void *session_run(void *arg)
{
	struct fake_session *session = arg;
	struct fake *fake = session->fake;

	if (session->service == FAKE_IMAP)
		fake_imap(session);
	else if (session->service == FAKE_POP3)
		fake_pop3(session);
	else
		fake_smtp(session);
	line_close(&session->line);
	pthread_mutex_lock(&fake->lock);
	session->done = true;
	fake->leaked += session->service == FAKE_IMAP && fake->bugs[FAKE_LEAKS].nth;
	one_less(fake);
	pthread_mutex_unlock(&fake->lock);
	return NULL;
}

static void *runner_run(void *arg)
{
	struct fake *fake = arg;

	fake_queue_run(fake);
	pthread_mutex_lock(&fake->lock);
	one_less(fake);
	pthread_mutex_unlock(&fake->lock);
	return NULL;
}

/* Under the lock. More than FAKE_SESSIONS_MAX are closed at once. */
static void serve(struct fake *fake, enum fake_service service, int fd)
{
	for (size_t i = 0; i < FAKE_SESSIONS_MAX; i++) {
		struct fake_session *slot = &fake->sessions[i];

		if (slot->used && slot->done) {
			pthread_join(slot->thread, NULL); /* done was its last word */
			slot->used = false;
		}
		if (slot->used)
			continue;
		*slot = (struct fake_session){.fake = fake, .service = service};
		line_open(&slot->line, fd, &fake->group);
		slot->used = !pthread_create(&slot->thread, NULL, session_run, slot);
		fake->live += slot->used;
		if (!slot->used)
			line_close(&slot->line);
		return;
	}
	close(fd);
}

static void *accept_loop(void *arg)
{
	struct fake *fake = arg;

	for (;;) {
		struct pollfd p[FAKE_SERVICES + 1];
		bool stopping;

		for (int i = 0; i < FAKE_SERVICES; i++)
			p[i] = (struct pollfd){.fd = fake->listen_fds[i], .events = POLLIN};
		p[FAKE_SERVICES] = (struct pollfd){.fd = fake->wake_fd, .events = POLLIN};
		poll(p, FAKE_SERVICES + 1, -1);
		pthread_mutex_lock(&fake->lock);
		stopping = fake->stopping;
		for (int i = 0; i < FAKE_SERVICES && !stopping; i++) {
			int fd = p[i].revents
					 ? accept4(fake->listen_fds[i], NULL, NULL, SOCK_CLOEXEC)
					 : -1;

			if (fd >= 0)
				serve(fake, (enum fake_service)i, fd);
		}
		pthread_mutex_unlock(&fake->lock);
		if (stopping)
			return NULL;
	}
}

/* ---- life ---- */

/* A stopped store's ports refuse, and stay its own: once free, any other process may be given them. */
static void refuse_all(struct fake *fake)
{
	for (int i = 0; i < FAKE_SERVICES; i++)
		shutdown(fake->listen_fds[i], SHUT_RD);
}

static int listen_to_all(struct fake *fake, struct err *err)
{
	for (int i = 0; i < FAKE_SERVICES; i++) {
		int fd = fake->listen_fds[i];

		if (fd < 0)
			fd = io_listen_tcp("127.0.0.1", 0, &fake->ports[i], err);
		else if (listen(fd, FAKE_SESSIONS_MAX))
			return err_sys(err, errno, "cannot listen again");
		if (fd < 0)
			return fd;
		fake->listen_fds[i] = fd;
	}
	return 0;
}

int fake_start(struct fake *fake, struct err *err)
{
	eventfd_t count;
	int rc;

	if (fake->running)
		return 0;
	if (fake->beyond_help)
		return err_set(err, -EUCLEAN, "the database is dirty: an operator must repair it");
	rc = listen_to_all(fake, err);
	if (rc) {
		close_listeners(fake);
		return rc;
	}
	eventfd_read(fake->wake_fd, &count);
	fake_boxes_restart(fake);
	line_group_init(&fake->group);
	fake->stopping = fake->killed = false;
	fake->running = true;
	fake->live = 1;
	if (pthread_create(&fake->runner, NULL, runner_run, fake) ||
		pthread_create(&fake->acceptor, NULL, accept_loop, fake))
		abort();
	return 0;
}

/* No new session, and an end to those there are. */
static void begin_stop(struct fake *fake)
{
	bool first;

	pthread_mutex_lock(&fake->lock);
	first = !fake->stopping;
	fake->stopping = true;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
	if (!first)
		return;
	eventfd_write(fake->wake_fd, 1);
	pthread_join(fake->acceptor, NULL);
	refuse_all(fake);
	line_group_cancel(&fake->group);
}

static void end_stop(struct fake *fake)
{
	for (size_t i = 0; i < FAKE_SESSIONS_MAX; i++) {
		if (fake->sessions[i].used)
			pthread_join(fake->sessions[i].thread, NULL);
		fake->sessions[i].used = false;
	}
	pthread_join(fake->runner, NULL);
	line_group_fini(&fake->group);
	set(fake, &fake->running, false);
}

int fake_stop(struct fake *fake, int64_t deadline_ns, struct err *err)
{
	bool ended;

	if (!fake_running(fake))
		return 0;
	begin_stop(fake);
	pthread_mutex_lock(&fake->lock);
	if (fake_fires_locked(fake, FAKE_STOP_HANGS, false) || fake->bugs[FAKE_STOP_HANGS].fired)
		while (!fake->killed && deadline_left_ms(deadline_ns) != 0)
			cond_wait(&fake->changed, &fake->lock, deadline_ns);
	while (fake->live && deadline_left_ms(deadline_ns) != 0)
		cond_wait(&fake->changed, &fake->lock, deadline_ns);
	ended = !fake->live && !fake->bugs[FAKE_STOP_HANGS].fired;
	pthread_mutex_unlock(&fake->lock);
	if (!ended)
		return err_set(err, -ETIMEDOUT, "the store did not stop");
	end_stop(fake);
	return 0;
}

void fake_kill(struct fake *fake)
{
	if (!fake_running(fake))
		return;
	set(fake, &fake->killed, true);
	begin_stop(fake);
	end_stop(fake);
}

bool fake_running(struct fake *fake)
{
	bool running;

	pthread_mutex_lock(&fake->lock);
	running = fake->running;
	pthread_mutex_unlock(&fake->lock);
	return running;
}

uint16_t fake_port(struct fake *fake, enum fake_service service)
{
	return fake->ports[service];
}

int fake_connect(struct fake *fake, enum fake_service service, int64_t deadline_ns, struct err *err)
{
	return io_connect_tcp("127.0.0.1", fake->ports[service], deadline_ns, err);
}

void fake_level(struct fake *fake, size_t *ret_sessions, size_t *ret_locks)
{
	pthread_mutex_lock(&fake->lock);
	*ret_sessions = fake->live - 1 + fake->leaked; /* the runner is none */
	*ret_locks = 0;
	for (size_t i = 0; i < fake->box_count; i++)
		*ret_locks += fake->boxes[i]->locked;
	pthread_mutex_unlock(&fake->lock);
}

size_t fake_copies(struct fake *fake, const char *user)
{
	size_t count = 0;

	pthread_mutex_lock(&fake->lock);
	for (size_t i = 0; i < fake->box_count; i++)
		if (!strcmp(fake->boxes[i]->user, user))
			count += fake->boxes[i]->count;
	pthread_mutex_unlock(&fake->lock);
	return count;
}
