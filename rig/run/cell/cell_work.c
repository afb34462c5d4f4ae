/*
 * Workloads: what the rig's own clients do to the store. One thread a session; every operation is in the
 * history with its outcome.
 */
#include "run/cell/cell_core.h"

#include "base/clock.h"
#include "base/log.h"
#include "mail/http.h"
#include "run/cell/cell_work.h"
#include "run/plan/mail_source.h"

#include <assert.h>
#include <string.h>

#define CONNECT_MS  30000
#define RETRY_MS    200	       /* after a connection that failed */
#define BODY_BYTES  2048       /* default size */
#define DATE_BASE_S 1767225600 /* 2026-01-01: a Date header that does not change from run to run */

struct work {
	struct step_run *step;
	pthread_mutex_t lock;
	uint32_t there, met,
		round;	/* sessions that run; that wait to meet; meetings. Cell's lock */
	uint32_t next;	/* message or round to be taken next */
	uint32_t total; /* 0: until enough */
	int64_t began_ns;
	struct mail_source *mails;
};

/* ---- what sessions share ---- */

static int64_t session_clock(void *arg)
{
	return cell_now(((struct session *)arg)->cell);
}

static int session_moment(void *arg, const char *moment, const char *tag)
{
	struct session *session = arg;

	moment_exact(session->cell, session->number, moment, tag);
	return 0;
}

struct mail_opts session_opts(struct session *session)
{
	return (struct mail_opts){
		.clock_ns = session_clock,
		.moment = session_moment,
		.arg = session,
		.starttls = step_wants_tls(session->step),
		.group = &session->cell->sessions,
	};
}

int session_connect(struct session *session, enum protocol protocol)
{
	const struct service *service = target_service_by(session->cell->target, protocol);
	struct err err = {0};
	int fd;

	if (!service)
		return -ENOENT;
	fd = session->cell->bed->ops->connect(
		session->cell->bed, service, deadline_in_ms(CONNECT_MS), &err);
	if (fd < 0)
		log_line("%s: %s", session->who, err.text);
	return fd;
}

bool session_over(struct session *session)
{
	struct cell *cell = session->cell;
	bool over;

	pthread_mutex_lock(&cell->lock);
	over = cell->faults_off || cell->enough || cell->cut || cell_ended(cell);
	pthread_mutex_unlock(&cell->lock);
	return over;
}

void session_pause(struct session *session, int64_t until_ns)
{
	struct cell *cell = session->cell;

	pthread_mutex_lock(&cell->lock);
	while (cell_now(cell) < until_ns && !cell->faults_off && !cell->enough && !cell_ended(cell))
		cell_wait(cell, until_ns);
	pthread_mutex_unlock(&cell->lock);
}

/* As long as the power is cut nobody tries. */
static void wait_for_light(struct session *session)
{
	struct cell *cell = session->cell;

	pthread_mutex_lock(&cell->lock);
	while (cell->dark && !cell->cut && !cell_ended(cell))
		cell_wait(cell, CLOCK_NEVER);
	pthread_mutex_unlock(&cell->lock);
}

bool session_turn(struct session *session, uint32_t *ret_number)
{
	struct work *work = session->work;
	double pace = session->step->pace_per_s;
	uint32_t number;

	pthread_mutex_lock(&work->lock);
	number = work->next;
	if (!work->total || work->next < work->total)
		work->next++;
	pthread_mutex_unlock(&work->lock);
	if (work->total && number >= work->total)
		return false;
	if (pace > 0)
		session_pause(session,
			work->began_ns + (int64_t)((double)number / pace * (double)NS_PER_SEC));
	wait_for_light(session);
	if (ret_number)
		*ret_number = number;
	return !session_over(session);
}

bool session_meet(struct session *session)
{
	struct cell *cell = session->cell;
	struct work *work = session->work;
	uint32_t round;
	bool met;

	pthread_mutex_lock(&cell->lock);
	round = work->round;
	work->met++;
	pthread_cond_broadcast(&cell->changed);
	while (work->round == round && work->met < work->there && !cell->faults_off &&
		!cell->enough && !cell->cut && !cell_ended(cell))
		cell_wait(cell, CLOCK_NEVER);
	met = work->round != round || work->met >= work->there;
	if (work->round == round && met) { /* the last one opens the door */
		work->round++;
		work->met = 0;
	}
	pthread_mutex_unlock(&cell->lock);
	return met;
}

char *mail_address(const char *user)
{
	return strchr(user, '@') ? text_dup(user) : text_fmt("%s@store", user);
}

static size_t body_bytes(const struct step *step)
{
	return step->size_bytes ? (size_t)step->size_bytes : BODY_BYTES;
}

/* ---- smtp ---- */

static json_t *replies_of(const struct smtp_mail *mail)
{
	json_t *replies = json_array();

	for (size_t i = 0; i < mail->rcpt_count; i++) {
		const struct smtp_rcpt *rcpt = &mail->rcpts[i];

		json_array_append_new(
			replies, json_pack("{ss ss si so}", "to", rcpt->address, "outcome",
					 mail_outcome_name(rcpt->outcome), "code", rcpt->code,
					 "text", json_text(rcpt->reply)));
	}
	return replies;
}

static json_t *recipients(const struct smtp_mail *mail)
{
	json_t *to = json_array();

	for (size_t i = 0; i < mail->rcpt_count; i++)
		json_array_append_new(to, json_string(mail->rcpts[i].address));
	return to;
}

static json_t *end_of_mail(const struct smtp_mail *mail)
{
	json_t *end = json_pack("{si so ss ss so}", "code", mail->code, "text",
		json_text(*mail->failure ? mail->failure : mail->reply), "token",
		mail->message->token, "reached", smtp_phase_name(mail->reached), "replies",
		replies_of(mail));

	if (mail->at_ns[SMTP_DOT] != MAIL_NOT_REACHED)
		json_object_set_new(end, "dot_t",
			json_real((double)mail->at_ns[SMTP_DOT] / (double)NS_PER_SEC));
	return end;
}

static bool smtp_ready(struct session *session, struct smtp *smtp)
{
	struct mail_opts opts = session_opts(session);
	int fd;

	if (smtp->alive)
		return true;
	smtp_close(smtp);
	fd = session_connect(session, PROTOCOL_SMTP);
	if (fd < 0)
		return false;
	smtp_open(smtp, fd, false, &opts);
	smtp_greet(smtp, "client.rig");
	return smtp->alive;
}

/* Where notifications go: an address of its own at the rig's sink, a user of the store, or nowhere. */
static char *return_path(const struct step *step)
{
	const char *from = step_param(step, "from");

	if (!from)
		return text_fmt("%s@sink.rig", step->label);
	return strcmp(from, "<>") ? mail_address(from) : text_dup("");
}

static void send_one(struct session *session, struct smtp *smtp, uint32_t number)
{
	const struct step *step = session->step;
	auto_free char *from = return_path(step);
	struct smtp_rcpt rcpts[SMTP_RCPTS_MAX] = {0};
	struct smtp_mail mail = {
		.from = from, .rcpts = rcpts, .notify = step_param(step, "notify")};
	struct message_spec spec = {
		.from = *from ? from : "MAILER-DAEMON@client.rig",
		.to = "rig recipients:;",
		.body_bytes = body_bytes(step),
		.date_s = DATE_BASE_S + number,
	};
	struct message message = {0};
	auto_free char *stream = text_fmt("%s.%u", step->label, number);
	struct rng rng = rng_stream(session->cell->plan->seed, stream);
	const char *source = mail_source_next(session->work->mails, number, &spec, &rng, &message);
	json_t *begin;
	uint64_t id;

	mail.message = &message;
	for (size_t i = 0; i < step->to.count && i < SMTP_RCPTS_MAX; i++)
		rcpts[mail.rcpt_count++].address = mail_address(step->to.at[i]);
	begin = json_pack("{ss ss ss so ss sI}", "service", "smtp", "token", message.token, "from",
		from, "to", recipients(&mail), "sha256", message.body_sha256, "bytes",
		(json_int_t)message.text.len);
	if (source)
		json_object_set_new(begin, "source", json_text(source));
	if (mail.notify)
		json_object_set_new(begin, "notify", json_string(mail.notify));
	id = op_begin(session->cell, session->who, "smtp-message", begin);
	mail.outcome = MAIL_NO;
	if (smtp_ready(session, smtp))
		smtp_send(smtp, &mail);
	else
		snprintf(mail.failure, sizeof(mail.failure), "%s",
			*smtp->failure ? smtp->failure : "the connection was refused");
	op_end(session->cell, id, session->who, "smtp-message", mail.outcome, end_of_mail(&mail));
	for (size_t i = 0; i < mail.rcpt_count; i++)
		free((char *)rcpts[i].address);
	message_free(&message);
}

static void smtp_session(struct session *session)
{
	struct smtp smtp = {.line.fd = -1};
	uint32_t number;

	while (session_turn(session, &number))
		send_one(session, &smtp, number);
	if (smtp.alive)
		smtp_quit(&smtp);
	smtp_close(&smtp);
}

/* ---- append ---- */

enum mail_outcome session_append(struct session *session, struct imap *imap, const char *user,
	const char *stream, uint32_t number, const char *flags, struct imap_reply *reply)
{
	auto_free char *to = mail_address(user);
	struct message_spec spec = {
		.from = "append@sink.rig",
		.to = to,
		.body_bytes = body_bytes(session->step),
		.date_s = DATE_BASE_S + number,
	};
	struct message message = {0};
	struct rng rng = rng_stream(session->cell->plan->seed, stream);
	const char *source = mail_source_next(session->work->mails, number, &spec, &rng, &message);
	uint32_t validity = 0, uid = 0;
	uint64_t id;
	json_t *begin, *end;

	begin = json_pack("{ss ss ss ss ss sI}", "service", "imap", "user", user, "mailbox",
		"INBOX", "token", message.token, "sha256", message.body_sha256, "bytes",
		(json_int_t)message.text.len);
	if (source)
		json_object_set_new(begin, "source", json_text(source));
	id = op_begin(session->cell, session->who, "imap-append", begin);
	if (flags && !strcmp(flags, APPEND_CUT))
		imap_append_cut(
			imap, "INBOX", &message, (size_t)rng_below(&rng, message.text.len), reply);
	else
		imap_append(imap, "INBOX", flags, &message, reply);
	end = json_pack("{so ss}", "text", json_text(reply->text), "token", message.token);
	if (sscanf(reply->code, "APPENDUID %u %u", &validity, &uid) == 2)
		json_object_set_new(end, "uid", json_integer(uid));
	op_end(session->cell, id, session->who, "imap-append", reply->outcome, end);
	message_free(&message);
	return reply->outcome;
}

static void append_one(
	struct session *session, struct imap *imap, const char *user, uint32_t number)
{
	auto_free char *stream = text_fmt("%s.%u", session->step->label, number);
	struct imap_reply reply auto_imap_reply = {0};

	session_append(session, imap, user, stream, number, NULL, &reply);
}

static void append_session(struct session *session)
{
	const char *user = session_user(session);
	struct imap imap = {.line.fd = -1};
	uint32_t number;

	while (session_turn(session, &number)) {
		if (!session_login(session, &imap, user)) {
			session_pause(session, cell_now(session->cell) + RETRY_MS * NS_PER_MS);
			continue;
		}
		append_one(session, &imap, user, number);
	}
	imap_close(&imap);
}

/* ---- http ---- */

static void http_session(struct session *session)
{
	struct mail_opts opts = session_opts(session);
	uint32_t number;

	while (session_turn(session, &number)) {
		struct http_result result = {.outcome = MAIL_NO};
		uint64_t id = op_begin(session->cell, session->who, "http-get",
			json_pack("{ss}", "service", "http"));
		int fd = session_connect(session, PROTOCOL_HTTP);

		if (fd >= 0)
			http_get(fd, "store", "/", &opts, &result);
		op_end(session->cell, id, session->who, "http-get", result.outcome,
			json_pack("{si so}", "code", result.status, "text",
				json_text(result.failure)));
	}
}

/* ---- all ---- */

/* `finite` without `messages`: the default number. Open-ended ones end when everything else has. */
static const struct work_kind {
	const char *name;
	uint32_t messages; /* default; 0: open-ended */
	void (*session)(struct session *session);
} kinds[] = {
	{"smtp", 20, smtp_session},
	{"append", 10, append_session},
	{"imap", 0, imap_session},
	{"imap-sessions", 60, mixed_session},
	{"imap-moves", 60, mixed_session},
	{"idle", 0, idle_session},
	{"pop3", 0, pop3_session},
	{"pop3-delete", 0, pop3_session},
	{"rounds", 12, rounds_session},
	{"http", 0, http_session},
};

static const struct work_kind *kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

bool work_known(const char *name)
{
	return kind_find(name) != NULL;
}

static uint32_t work_total(const struct step *step)
{
	if (step->send.count)
		return 1;
	return step->messages ? step->messages : kind_find(step->what)->messages;
}

uint32_t session_rounds(const struct session *session)
{
	return work_total(session->step);
}

bool work_finite(const struct step *step)
{
	return work_total(step) != 0;
}

static void *session_main(void *arg)
{
	struct session *session = arg;

	kind_find(session->step->what)->session(session);
	pthread_mutex_lock(&session->cell->lock);
	session->work->there--;
	pthread_cond_broadcast(&session->cell->changed);
	pthread_mutex_unlock(&session->cell->lock);
	return NULL;
}

void work_run(struct step_run *step)
{
	/* The sessions of a round are one after the other's business. */
	bool alone = !strcmp(step->step->what, "rounds");
	uint32_t count = step->step->sessions && !alone ? step->step->sessions : 1;
	struct work work = {.step = step, .total = work_total(step->step)};
	struct session sessions[CELL_SESSIONS_MAX] = {0};
	uint32_t started = 0;
	struct err err = {0};

	count = count < CELL_SESSIONS_MAX ? count : CELL_SESSIONS_MAX;
	work.there = count;
	if (mail_source_open(&work.mails, step->step, &err))
		cell_trouble(step->cell, "set-up", "%s", err.text);
	work.began_ns = cell_now(step->cell);
	pthread_mutex_init(&work.lock, NULL);
	for (; started < count; started++) {
		struct session *session = &sessions[started];

		session->cell = step->cell;
		session->run = step;
		session->step = step->step;
		session->work = &work;
		session->number = started + 1;
		snprintf(session->who, sizeof(session->who), "%.40s.%u", step->step->label,
			started + 1);
		if (pthread_create(&session->thread, NULL, session_main, session)) {
			cell_trouble(step->cell, "set-up", "cannot start session %s", session->who);
			break;
		}
	}
	for (uint32_t i = 0; i < started; i++)
		pthread_join(sessions[i].thread, NULL);
	mail_source_close(work.mails);
	pthread_mutex_destroy(&work.lock);
	pthread_mutex_lock(&step->cell->lock);
	if (step->is_workload && work_finite(step->step))
		step->cell->running_finite--;
	pthread_cond_broadcast(&step->cell->changed);
	pthread_mutex_unlock(&step->cell->lock);
}
