#include "tests/fake/store_private.h"

#include "base/clock.h"
#include "mail/smtp.h"

#include <inttypes.h>
#include <string.h>

void fake_entry_free(struct fake_entry *entry)
{
	for (size_t i = 0; i < entry->to_count; i++)
		free(entry->to[i]);
	free(entry->to);
	free(entry->from);
	buf_free(&entry->text);
	free(entry);
}

void fake_enqueue(struct fake *fake, const char *from, char *const *to, size_t to_count,
	const struct buf *text, const char *token)
{
	struct fake_entry *entry = mem_zero(1, sizeof(*entry));

	entry->from = text_dup(from);
	entry->to = mem_zero(to_count, sizeof(*entry->to));
	entry->to_count = to_count;
	for (size_t i = 0; i < to_count; i++)
		entry->to[i] = text_dup(to[i]);
	buf_add(&entry->text, text->data, text->len);
	snprintf(entry->token, sizeof(entry->token), "%s", token);
	pthread_mutex_lock(&fake->lock);
	entry->id = ++fake->next_id;
	fake->queue = mem_grow(fake->queue, fake->queue_count + 1, sizeof(*fake->queue));
	fake->queue[fake->queue_count++] = entry;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
}

static void hop_attempt(struct fake *fake, const struct fake_entry *entry, const char *hop,
	const char *to, const struct smtp_mail *mail)
{
	const struct smtp_rcpt *rcpt = &mail->rcpts[0];

	fake_tell_attempt(fake,
		&(struct fake_attempt){
			.hop = hop,
			.token = entry->token,
			.from = entry->from,
			.to = to,
			.result = mail->dot_sent || rcpt->code >= 400 ? fake_result(rcpt->code)
								      : "not-sent",
			.code = rcpt->code,
			.dot_ns = mail->at_ns[SMTP_DOT],
			.reply_ns = rcpt->reply_ns,
		});
}

/* Hand one recipient over by LMTP or SMTP: the code, or a negative errno when none came. */
static int over_tcp(struct fake *fake, const struct fake_entry *entry, const char *to, bool lmtp)
{
	int64_t deadline_ns = deadline_in_ms(fake->opts.hop_ms);
	int fd = lmtp ? fake->opts.hop_connect(fake->opts.arg, deadline_ns, NULL)
		      : fake->opts.outbound(fake->opts.arg, deadline_ns, NULL);
	struct mail_opts opts = {
		.reply_ms = fake->opts.hop_ms,
		.clock_ns = fake->opts.clock_ns,
		.arg = fake->opts.arg,
		.group = &fake->group,
	};
	struct smtp_rcpt rcpt = {.address = to};
	struct message message = {.text = entry->text}; /* borrowed */
	struct smtp_mail mail = {
		.from = entry->from, .rcpts = &rcpt, .rcpt_count = 1, .message = &message};

	if (fd < 0)
		return fd;
	smtp_once(fd, lmtp, "fake.store", &opts, &mail);
	hop_attempt(fake, entry, lmtp ? "inner" : "outbound", to, &mail);
	return rcpt.code ? rcpt.code : mail.code >= 400 ? mail.code : -EIO;
}

static bool delivery_disabled(struct fake *fake)
{
	bool disabled;

	pthread_mutex_lock(&fake->lock);
	disabled = fake->disabled;
	pthread_mutex_unlock(&fake->lock);
	return disabled;
}

/* 0 once the agent speaks, -ETIMEDOUT when the store's own limit is over. */
static int wait_for_agent(struct fake *fake)
{
	bool unlimited = fake_fires(fake, FAKE_NO_LIMIT, true), waited = false, answered;
	int64_t began_ns = clock_mono_ns(), limit = deadline_in_ms(fake->opts.silent_ms);

	pthread_mutex_lock(&fake->lock);
	while (fake->silent && !fake->stopping && (unlimited || deadline_left_ms(limit) != 0)) {
		waited = true;
		cond_wait(&fake->changed, &fake->lock, unlimited ? CLOCK_NEVER : limit);
	}
	answered = !fake->silent;
	pthread_mutex_unlock(&fake->lock);
	if (waited && fake->opts.on_wait)
		fake->opts.on_wait(fake->opts.arg, clock_mono_ns() - began_ns, answered);
	return answered ? 0 : -ETIMEDOUT;
}

static int inside(
	struct fake *fake, const struct fake_entry *entry, const char *user, const char *to)
{
	int64_t dot_ns = fake_now(fake);
	int code = wait_for_agent(fake) || delivery_disabled(fake)
			   ? -ECONNREFUSED
			   : fake_deliver(fake, user, entry->text.data, entry->text.len);

	if (code == 250 && fake_fires(fake, FAKE_SKIPS_REPLY, false)) {
		fake_tell_attempt(fake, &(struct fake_attempt){.hop = "inner",
						.token = entry->token,
						.from = entry->from,
						.to = to,
						.result = "none",
						.dot_ns = dot_ns,
						.reply_ns = MAIL_NOT_REACHED});
		return -ETIMEDOUT;
	}
	if (code == 250 && fake_fires(fake, FAKE_LETS_GO_EARLY, false))
		fake_not_flushed(fake, entry->token, true);
	if (code > 0)
		fake_tell_attempt(fake, &(struct fake_attempt){
						.hop = "inner",
						.token = entry->token,
						.from = entry->from,
						.to = to,
						.result = fake_result(code),
						.code = code,
						.dot_ns = dot_ns,
						.reply_ns = fake_now(fake),
					});
	return code;
}

/* One attempt for one recipient: the code, or a negative errno when there was none. */
static int attempt(struct fake *fake, const struct fake_entry *entry, const char *to)
{
	auto_free char *user = fake_user_of(fake, to);

	if (!user)
		return fake->opts.outbound ? over_tcp(fake, entry, to, false) : 550;
	if (fake->opts.hop_connect)
		return over_tcp(fake, entry, to, true);
	return inside(fake, entry, user, to);
}

/* A notification to the return path, which quotes the failed message (RFC 3464). */
static void bounce(struct fake *fake, const struct fake_entry *entry, const char *to)
{
	struct buf text auto_buf = {0};
	char *back = entry->from;
	auto_free char *other = text_fmt("%s@store", fake->opts.users[0]);
	unsigned int times = fake_fires(fake, FAKE_BOUNCES_TWICE, false) ? 2 : 1;

	if (fake_fires(fake, FAKE_NO_BOUNCE, false))
		return;
	if (!back[0] && entry->token[0] && fake_fires(fake, FAKE_BOUNCES_NULL, false))
		back = other;
	if (!back[0])
		return;
	buf_addf(&text,
		"From: MAILER-DAEMON\r\nTo: <%s>\r\nSubject: Undelivered\r\nAuto-Submitted: "
		"auto-replied\r\n"
		"Content-Type: multipart/report; report-type=delivery-status; "
		"boundary=b\r\n\r\n--b\r\n"
		"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; "
		"fake.store\r\n\r\n"
		"Final-Recipient: rfc822; %s\r\nAction: failed\r\nStatus: 5.0.0\r\n\r\n--b\r\n"
		"Content-Type: message/rfc822\r\n\r\n",
		back, to);
	buf_add(&text, entry->text.data, entry->text.len);
	buf_add_str(&text, "\r\n--b--\r\n");
	while (times--)
		fake_enqueue(fake, "", &back, 1, &text, "");
}

static void recipient_done(struct fake *fake, struct fake_entry *entry, size_t i)
{
	pthread_mutex_lock(&fake->lock);
	free(entry->to[i]);
	memmove(&entry->to[i], &entry->to[i + 1], (entry->to_count - i - 1) * sizeof(*entry->to));
	entry->to_count--;
	pthread_mutex_unlock(&fake->lock);
}

/* Try every recipient that is left; those that are done go. True if one must wait. */
static bool try_entry(struct fake *fake, struct fake_entry *entry)
{
	for (size_t i = 0; i < entry->to_count;) {
		int code = attempt(fake, entry, entry->to[i]);
		bool transient = code < 0 || (code >= 400 && code < 500);

		if (transient && code != -ECANCELED && fake_fires(fake, FAKE_BOUNCES, true))
			code = 554;
		else if (transient)
			i++;
		if (code >= 500)
			bounce(fake, entry, entry->to[i]);
		if (code >= 500 || !transient)
			recipient_done(fake, entry, i);
	}
	return entry->to_count;
}

/* Under the lock: an entry that is due, or NULL and when to look again. */
static struct fake_entry *due(struct fake *fake, int64_t *ret_next_ns)
{
	int64_t now_ns = clock_mono_ns();

	*ret_next_ns = CLOCK_NEVER;
	for (size_t i = 0; i < fake->queue_count && !fake->hold; i++) {
		struct fake_entry *entry = fake->queue[i];

		if (entry->next_ns <= now_ns)
			return entry;
		if (entry->next_ns < *ret_next_ns)
			*ret_next_ns = entry->next_ns;
	}
	return NULL;
}

static void remove_entry(struct fake *fake, struct fake_entry *entry)
{
	for (size_t i = 0; i < fake->queue_count; i++) {
		if (fake->queue[i] != entry)
			continue;
		memmove(&fake->queue[i], &fake->queue[i + 1],
			(fake->queue_count - i - 1) * sizeof(*fake->queue));
		fake->queue_count--;
		break;
	}
	fake_entry_free(entry);
}

static void run_entry(struct fake *fake, struct fake_entry *entry)
{
	bool wait = try_entry(fake, entry);
	bool stuck = wait && fake_fires(fake, FAKE_QUEUE_STUCK, true);

	pthread_mutex_lock(&fake->lock);
	entry->active = false;
	if (wait) {
		entry->deferred = true;
		entry->next_ns = stuck ? CLOCK_NEVER : deadline_in_ms(fake->opts.retry_ms);
	} else {
		remove_entry(fake, entry);
	}
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
}

void *fake_queue_run(void *arg)
{
	struct fake *fake = arg;

	pthread_mutex_lock(&fake->lock);
	while (!fake->stopping) {
		int64_t next_ns;
		struct fake_entry *entry = due(fake, &next_ns);

		if (!entry) {
			cond_wait(&fake->changed, &fake->lock, next_ns);
			continue;
		}
		entry->active = true;
		pthread_mutex_unlock(&fake->lock);
		run_entry(fake, entry);
		pthread_mutex_lock(&fake->lock);
	}
	pthread_mutex_unlock(&fake->lock);
	return NULL;
}

size_t fake_queue_depth(struct fake *fake)
{
	size_t depth;

	pthread_mutex_lock(&fake->lock);
	depth = fake->queue_count;
	pthread_mutex_unlock(&fake->lock);
	return depth;
}

void fake_queue_list(struct fake *fake, struct buf *out)
{
	pthread_mutex_lock(&fake->lock);
	for (size_t i = 0; i < fake->queue_count; i++) {
		const struct fake_entry *entry = fake->queue[i];

		buf_addf(out, "Q%06u %s", entry->id,
			fake->hold	  ? "hold"
			: entry->active	  ? "active"
			: entry->deferred ? "deferred"
					  : "incoming");
		for (size_t k = 0; k < entry->to_count; k++)
			buf_addf(out, " %s", entry->to[k]);
		buf_addc(out, '\n');
	}
	pthread_mutex_unlock(&fake->lock);
}

bool fake_wait_drained(struct fake *fake, int64_t deadline_ns)
{
	bool empty;

	pthread_mutex_lock(&fake->lock);
	while (fake->queue_count && deadline_left_ms(deadline_ns) != 0)
		cond_wait(&fake->changed, &fake->lock, deadline_ns);
	empty = !fake->queue_count;
	pthread_mutex_unlock(&fake->lock);
	return empty;
}
