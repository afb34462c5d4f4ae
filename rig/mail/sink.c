#include "mail/sink_private.h"

#include "base/clock.h"
#include "base/io.h"

#include <poll.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define DELAY_MS     1000
#define PEER_LOOK_MS 200 /* how soon a held session sees that its peer has gone */

static const char *const mode_names[SINK_MODES] = {"ok", "refuse", "not-accepting", "silent",
	"banner-late", "busy", "full", "tls-stalls", "rcpt-4yz", "rcpt-5yz", "data-4yz", "data-5yz",
	"drop", "mute", "drip", "half-close"};

const char *sink_mode_name(enum sink_mode mode)
{
	return mode_names[mode];
}

int sink_mode_parse(const char *name, enum sink_mode *ret)
{
	for (int i = 0; i < SINK_MODES; i++) {
		if (strcmp(name, mode_names[i]) != 0)
			continue;
		*ret = (enum sink_mode)i;
		return 0;
	}
	return -EINVAL;
}

int64_t sink_now(const struct sink *sink)
{
	return sink->opts.clock_ns ? sink->opts.clock_ns(sink->opts.arg) : clock_mono_ns();
}

static void wake(struct sink *sink)
{
	eventfd_write(sink->wake_fd, 1);
	pthread_cond_broadcast(&sink->changed);
}

enum sink_mode sink_meet(struct sink *sink, unsigned int met)
{
	enum sink_mode mode;
	bool fired;

	pthread_mutex_lock(&sink->lock);
	mode = sink->mode;
	fired = met & SINK_BIT(mode);
	sink->fired[mode] += fired;
	pthread_mutex_unlock(&sink->lock);
	if (fired && sink->opts.on_fired)
		sink->opts.on_fired(sink->opts.arg, mode);
	return mode;
}

static bool peer_gone(const struct sink_session *session)
{
	struct pollfd p = {.fd = session->line.fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

bool sink_hold(struct sink_session *session, enum sink_mode mode, int64_t deadline_ns)
{
	struct sink *sink = session->sink;
	bool gone = false;
	bool stopping;

	pthread_mutex_lock(&sink->lock);
	while (!gone && !sink->stopping && sink->mode == mode &&
		deadline_left_ms(deadline_ns) != 0) {
		int64_t look_ns = deadline_in_ms(PEER_LOOK_MS);

		cond_wait(
			&sink->changed, &sink->lock, look_ns < deadline_ns ? look_ns : deadline_ns);
		gone = peer_gone(session);
	}
	stopping = sink->stopping;
	pthread_mutex_unlock(&sink->lock);
	return !stopping && !gone;
}

static void mail_free(struct sink_mail *mail)
{
	for (size_t i = 0; i < mail->rcpt_count; i++)
		free(mail->rcpts[i]);
	free(mail->rcpts);
	free(mail->from);
	free(mail);
}

void sink_record(struct sink *sink, struct sink_mail *mail)
{
	pthread_mutex_lock(&sink->lock);
	if (sink->mail_count < SINK_MAILS_MAX) {
		if (!(sink->mail_count & (sink->mail_count - 1)))
			sink->mails = mem_grow(sink->mails,
				sink->mail_count ? sink->mail_count * 2 : 1, sizeof(*sink->mails));
		sink->mails[sink->mail_count++] = mail;
		mail->listed = true;
	}
	pthread_cond_broadcast(&sink->changed);
	pthread_mutex_unlock(&sink->lock);
}

void sink_settle(struct sink *sink, struct sink_mail *mail, int code, int64_t reply_ns)
{
	pthread_mutex_lock(&sink->lock);
	mail->code = code;
	mail->reply_ns = reply_ns;
	pthread_mutex_unlock(&sink->lock);
	if (sink->opts.on_mail)
		sink->opts.on_mail(sink->opts.arg, mail);
	if (!mail->listed)
		mail_free(mail);
}

/* Join sessions that have ended and find a free slot; NULL if all are taken. */
static struct sink_session *free_slot(struct sink *sink)
{
	struct sink_session *found = NULL;

	for (size_t i = 0; i < SINK_SESSIONS_MAX; i++) {
		struct sink_session *slot = &sink->slots[i];
		bool done;

		pthread_mutex_lock(&sink->lock);
		done = slot->done;
		pthread_mutex_unlock(&sink->lock);
		if (slot->used && done) {
			pthread_join(slot->thread, NULL);
			slot->used = false;
		}
		if (!slot->used)
			found = slot;
	}
	return found;
}

void sink_session_done(struct sink_session *session)
{
	struct sink *sink = session->sink;

	pthread_mutex_lock(&sink->lock);
	session->done = true;
	wake(sink);
	pthread_mutex_unlock(&sink->lock);
}

static void serve(struct sink *sink, struct sink_session *slot, int fd)
{
	*slot = (struct sink_session){.sink = sink};
	pthread_mutex_lock(&sink->lock);
	slot->number = ++sink->sessions;
	pthread_mutex_unlock(&sink->lock);
	line_open(&slot->line, fd, &sink->group);
	if (sink_meet(sink, SINK_BIT(SINK_REFUSE)) == SINK_REFUSE) {
		line_reset(&slot->line);
		return;
	}
	if (pthread_create(&slot->thread, NULL, sink_session_run, slot)) {
		line_close(&slot->line);
		return;
	}
	slot->used = true;
}

/* Wait for a connection (if `accepting`) or a wake-up; the connection's descriptor or -1. */
static int next_connection(struct sink *sink, bool accepting)
{
	struct pollfd p[2] = {
		{.fd = sink->wake_fd, .events = POLLIN},
		{.fd = accepting ? sink->opts.listen_fd : -1, .events = POLLIN},
	};
	eventfd_t count;
	int fd = -1;

	poll(p, 2, -1);
	if (p[0].revents)
		eventfd_read(sink->wake_fd, &count);
	if (!p[1].revents)
		return -1;
	/* A new mode is in force once sink_set_mode() has returned: look again. */
	pthread_mutex_lock(&sink->lock);
	if (sink->mode != SINK_NOT_ACCEPTING)
		fd = accept4(sink->opts.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	pthread_mutex_unlock(&sink->lock);
	return fd;
}

static void *accept_loop(void *arg)
{
	struct sink *sink = arg;

	for (;;) {
		struct sink_session *slot = free_slot(sink);
		bool stopping;
		enum sink_mode mode;
		int fd;

		pthread_mutex_lock(&sink->lock);
		stopping = sink->stopping;
		mode = sink->mode;
		pthread_mutex_unlock(&sink->lock);
		if (stopping)
			return NULL;
		fd = next_connection(sink, slot && mode != SINK_NOT_ACCEPTING);
		if (fd >= 0)
			serve(sink, slot, fd);
	}
}

struct sink *sink_start(const struct sink_opts *opts, struct err *err)
{
	struct sink *sink = mem_zero(1, sizeof(*sink));

	sink->opts = *opts;
	if (!sink->opts.name)
		sink->opts.name = "sink.rig";
	if (!sink->opts.idle_ms)
		sink->opts.idle_ms = 300000;
	if (!sink->opts.delay_ms)
		sink->opts.delay_ms = DELAY_MS;
	pthread_mutex_init(&sink->lock, NULL);
	cond_init(&sink->changed);
	line_group_init(&sink->group);
	io_prepare(sink->opts.listen_fd);
	sink->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sink->wake_fd >= 0 && !pthread_create(&sink->thread, NULL, accept_loop, sink))
		return sink;
	err_sys(err, errno, "cannot start the sink '%s'", sink->opts.name);
	cleanup_fd(&sink->wake_fd);
	cleanup_fd(&sink->opts.listen_fd);
	free(sink);
	return NULL;
}

void sink_stop(struct sink *sink)
{
	if (!sink)
		return;
	pthread_mutex_lock(&sink->lock);
	sink->stopping = true;
	wake(sink);
	pthread_mutex_unlock(&sink->lock);
	line_group_cancel(&sink->group);
	pthread_join(sink->thread, NULL);
	for (size_t i = 0; i < SINK_SESSIONS_MAX; i++)
		if (sink->slots[i].used)
			pthread_join(sink->slots[i].thread, NULL);
	cleanup_fd(&sink->opts.listen_fd);
	cleanup_fd(&sink->wake_fd);
	for (size_t i = 0; i < sink->mail_count; i++)
		mail_free(sink->mails[i]);
	free(sink->mails);
	line_group_fini(&sink->group);
	pthread_cond_destroy(&sink->changed);
	pthread_mutex_destroy(&sink->lock);
	free(sink);
}

/* Linux: TCP_INFO of a listening socket has the length of its accept queue in tcpi_unacked. */
static uint64_t backlog(const struct sink *sink)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(sink->opts.listen_fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return 0;
	return info.tcpi_unacked;
}

void sink_set_mode(struct sink *sink, enum sink_mode mode)
{
	pthread_mutex_lock(&sink->lock);
	if (sink->mode == SINK_NOT_ACCEPTING && mode != SINK_NOT_ACCEPTING)
		sink->fired[SINK_NOT_ACCEPTING] += backlog(sink);
	sink->mode = mode;
	wake(sink);
	pthread_mutex_unlock(&sink->lock);
}

void sink_set_mode_cold(struct sink *sink, enum sink_mode mode)
{
	sink_set_mode(sink, mode);
	line_group_end(&sink->group);
}

enum sink_mode sink_get_mode(struct sink *sink)
{
	return sink_meet(sink, 0);
}

void sink_set_delay(struct sink *sink, int64_t delay_ms)
{
	pthread_mutex_lock(&sink->lock);
	sink->opts.delay_ms = delay_ms ? delay_ms : DELAY_MS;
	pthread_mutex_unlock(&sink->lock);
}

int64_t sink_late_ns(struct sink *sink)
{
	int64_t delay_ms;

	pthread_mutex_lock(&sink->lock);
	delay_ms = sink->opts.delay_ms;
	pthread_mutex_unlock(&sink->lock);
	return deadline_in_ms(delay_ms);
}

uint64_t sink_fired(struct sink *sink, enum sink_mode mode)
{
	uint64_t count;

	pthread_mutex_lock(&sink->lock);
	count = sink->fired[mode];
	if (mode == SINK_NOT_ACCEPTING && sink->mode == mode)
		count += backlog(sink);
	pthread_mutex_unlock(&sink->lock);
	return count;
}

uint64_t sink_sessions(struct sink *sink)
{
	uint64_t count;

	pthread_mutex_lock(&sink->lock);
	count = sink->sessions;
	pthread_mutex_unlock(&sink->lock);
	return count;
}

size_t sink_mail_count(struct sink *sink)
{
	size_t count;

	pthread_mutex_lock(&sink->lock);
	count = sink->mail_count;
	pthread_mutex_unlock(&sink->lock);
	return count;
}

bool sink_mail_at(struct sink *sink, size_t i, struct sink_mail *ret)
{
	bool found;

	pthread_mutex_lock(&sink->lock);
	found = i < sink->mail_count;
	if (found)
		*ret = *sink->mails[i];
	pthread_mutex_unlock(&sink->lock);
	return found;
}

bool sink_wait(struct sink *sink, size_t count, int64_t deadline_ns)
{
	bool enough;

	pthread_mutex_lock(&sink->lock);
	while (sink->mail_count < count && deadline_left_ms(deadline_ns) != 0)
		cond_wait(&sink->changed, &sink->lock, deadline_ns);
	enough = sink->mail_count >= count;
	pthread_mutex_unlock(&sink->lock);
	return enough;
}
