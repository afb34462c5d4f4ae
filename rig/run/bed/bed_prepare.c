#include "run/bed/bed_prepare.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "mail/imap.h"
#include "mail/smtp.h"
#include "run/bed/bed_legs.h"
#include "run/bed/bed_spec.h"
#include "run/plan/target_load.h"
#include "run/plan/target_reach.h"
#include "vm/qga.h"
#include "vm/witness.h"

#include <poll.h>
#include <string.h>

#define BOOT_MS	     120000
#define PROVISION_MS 300000
#define WARM_MS	     60000
#define TRY_MS	     2000
#define PAUSE_MS     50
#define QUEUE_TRIES  1200

/* Part of the template's key: raise it when what is done here changes what a clone begins with. */
#define PREPARED 5

struct preparing {
	struct bed_spec *spec;
	struct machine *machine;
	struct witness *witness;
	struct legs *legs;
	bool noted; /* what it has loaded */
};

char *bed_prepare_key(const struct target *target)
{
	auto_json json_t *json = target_to_json(target), *settings = json_array();
	auto_free char *text = NULL;
	char *hex = mem_zero(1, HASH_HEX_SIZE);

	/* Laws, limits and words for people do not change what boots. */
	json_object_del(json, "summary");
	json_object_del(json, "objectives");
	json_object_del(json, "exceptions");
	json_object_del(json, "dir");
	json_object_del(json, "timers");
	for (size_t i = 0; i < target->settings.count; i++)
		json_array_append_new(settings, json_string(target->settings.at[i]));
	if (json_array_size(settings))
		json_object_set(json, "settings", settings);
	json_object_set_new(json, "prepared", json_integer(PREPARED));
	text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	hash_bytes(text, strlen(text), hex);
	return hex;
}

static void say(struct preparing *p, const char *what)
{
	p->spec->template.say(p->spec, what);
}

/* ---- commands ---- */

/* "NAME=word word ...". Caller frees. */
static char *env_of(const char *name, const struct text_list *words)
{
	struct buf text = {0};

	buf_addf(&text, "%s=", name);
	for (size_t i = 0; i < words->count; i++)
		buf_addf(&text, "%s%s", i ? " " : "", words->at[i]);
	return buf_steal(&text);
}

static int command(struct preparing *p, const char *name, int64_t timeout_ms, bool daemons,
	struct buf *out, struct err *err)
{
	const struct target *target = p->spec->target;
	const char *line = target_command(target, name);
	auto_free char *users = env_of("RIG_USERS", &target->users),
		       *settings = env_of("RIG_SETTINGS", &target->settings);
	const char *const env[] = {users, settings, NULL};
	struct witness_command command = {.line = line,
		.dir = "/run/rig/target",
		.timeout_ms = timeout_ms,
		.env = env,
		.daemons = daemons};
	struct witness_result result = {0};
	int rc;

	if (!line)
		return 0;
	rc = witness_run(p->witness, &command, &result, err);
	if (!rc && result.timed_out)
		rc = err_set(err, -ETIMEDOUT,
			"command '%s' of target '%s' did not end within %lld ms", name,
			p->spec->target->name, (long long)timeout_ms);
	else if (!rc && result.status)
		rc = err_set(err, -EIO, "command '%s' of target '%s' ended with %d: %s", name,
			p->spec->target->name, result.status, buf_text(&result.output));
	if (!rc && out)
		buf_add(out, buf_text(&result.output), result.output.len);
	buf_free(&result.output);
	return rc;
}

/* ---- banners ---- */

static int connect_to(struct preparing *p, const struct service *service, struct err *err)
{
	return network_connect(
		machine_network(p->machine), service->port, deadline_in_ms(TRY_MS), err);
}

static bool has_banner(struct preparing *p, const struct service *service)
{
	auto_close int fd = connect_to(p, service, NULL);
	char c;

	if (fd < 0)
		return false;
	if (service->protocol == PROTOCOL_HTTP)
		return true;
	return io_read(fd, &c, 1, deadline_in_ms(TRY_MS)) == 1;
}

static int wait_banners(struct preparing *p, int64_t deadline, struct err *err)
{
	const struct target *target = p->spec->target;

	for (size_t i = 0; i < target->service_count; i++) {
		const struct service *service = &target->services[i];

		if (service->seen == SEEN_HIDDEN)
			continue;
		while (!has_banner(p, service)) {
			int rc = machine_check(p->machine, err);

			if (rc)
				return rc;
			if (!deadline_left_ms(deadline))
				return err_set(err, -ETIMEDOUT,
					"service '%s' of target '%s' was not ready within %lld ms",
					service->name, target->name,
					(long long)target->ready_within_ms);
			poll(NULL, 0, PAUSE_MS); /* nothing tells when a port begins to listen */
		}
	}
	return 0;
}

/* ---- warm up ---- */

static int deliver_one(struct preparing *p, const char *user, struct err *err)
{
	const struct service *smtp = target_service_by(p->spec->target, PROTOCOL_SMTP);
	auto_free char *to = text_fmt("%s@store", user);
	struct smtp_rcpt rcpt = {.address = to};
	struct mail_opts opts = {.reply_ms = WARM_MS};
	struct rng rng = rng_stream(0, user);
	struct message_spec spec = {.from = "warm@sink.rig", .to = to, .body_bytes = 100};
	struct message message = {0};
	struct smtp_mail mail = {
		.from = "warm@sink.rig", .rcpts = &rcpt, .rcpt_count = 1, .message = &message};
	int fd = smtp ? connect_to(p, smtp, err) : -ENOENT;

	if (fd < 0)
		return smtp ? fd : 0;
	message_make(&message, &rng, &spec);
	smtp_once(fd, false, "client.rig", &opts, &mail);
	message_free(&message);
	if (mail.outcome != MAIL_OK)
		return err_set(err, -EIO, "the first mail to '%s' was not taken: %s", user,
			*mail.failure ? mail.failure : mail.reply);
	return 0;
}

static int wait_queue_empty(struct preparing *p, struct err *err)
{
	int rc = 0;

	if (!target_command(p->spec->target, "queue_list"))
		return 0;
	for (int i = 0; i < QUEUE_TRIES && !rc; i++) {
		struct buf out = {0};
		bool empty;

		rc = command(p, "queue_list", WARM_MS, false, &out, err);
		empty = !out.len;
		buf_free(&out);
		if (!rc && empty)
			return 0;
		poll(NULL, 0, PAUSE_MS);
	}
	return rc ? rc : err_set(err, -ETIMEDOUT, "the first mails stayed in the queue");
}

/* The first mapping of a process that is executable is its program, which has the lowest address. */
#define LOADED                                                         \
	"grep -H ' r-xp .* /' /proc/[0-9]*/maps 2>/dev/null | awk '{ " \
	"split($1, at, \":\"); if (at[1] != f) { f = at[1]; e = $6 } " \
	"else if (!seen[e \" \" $6]++) print e, $6 }'"

/* Which libraries its processes have by now. Without it only what they load later is not known to be reached. Once:
 * best while a session is open, which has a process of its own in many stores. */
static void note_loaded(struct preparing *p)
{
	struct witness_command command = {.line = LOADED, .timeout_ms = WARM_MS};
	struct witness_result result = {0};
	struct err err = {0};
	int rc;

	if (p->noted)
		return;
	p->noted = true;
	rc = witness_run(p->witness, &command, &result, &err);
	if (!rc && !result.timed_out && !result.status)
		rc = target_reach_keep_loaded(
			p->spec->target, p->spec->root, buf_text(&result.output), &err);
	if (rc)
		log_line("what the store has loaded is not known: %s", err.text);
	buf_free(&result.output);
}

/* The warm-up mail is removed again: a clone begins with empty mailboxes. */
static int empty_mailbox(struct preparing *p, const char *user, struct err *err)
{
	const struct service *service = target_service_by(p->spec->target, PROTOCOL_IMAP);
	struct mail_opts opts = {.reply_ms = WARM_MS};
	struct imap_reply reply = {0};
	struct imap imap = {.line.fd = -1};
	int fd = service ? connect_to(p, service, err) : -ENOENT;
	enum mail_outcome outcome;

	if (fd < 0)
		return service ? fd : 0;
	imap_open(&imap, fd, &opts);
	outcome = imap_greet(&imap, &reply);
	if (outcome == MAIL_OK)
		outcome = imap_login(&imap, user, user, &reply);
	if (outcome == MAIL_OK)
		outcome = imap_select(&imap, "INBOX", false, &reply);
	if (outcome == MAIL_OK && imap.exists)
		outcome = imap_command(&imap, &reply, "STORE 1:* +FLAGS.SILENT (\\Deleted)");
	if (outcome == MAIL_OK && imap.exists)
		outcome = imap_command(&imap, &reply, "EXPUNGE");
	note_loaded(p);
	if (outcome == MAIL_OK)
		outcome = imap_logout(&imap, &reply);
	if (outcome != MAIL_OK)
		err_set(err, -EIO, "the first IMAP session of '%s' failed: %s", user,
			*reply.failure ? reply.failure : reply.text);
	imap_reply_free(&reply);
	imap_close(&imap);
	return outcome == MAIL_OK ? 0 : -EIO;
}

static int warm_up(struct preparing *p, struct err *err)
{
	const struct text_list *users = &p->spec->target->users;
	int rc = 0;

	for (size_t i = 0; i < users->count && !rc; i++)
		rc = deliver_one(p, users->at[i], err);
	if (!rc)
		rc = wait_queue_empty(p, err);
	for (size_t i = 0; i < users->count && !rc; i++)
		rc = empty_mailbox(p, users->at[i], err);
	return rc;
}

/* A clone's logs begin with the clone: a step that waits for a line must not find an old one. */
static int empty_logs(struct preparing *p, struct err *err)
{
	const struct target *target = p->spec->target;
	int rc = 0;

	for (size_t i = 0; i < target->log_count && !rc; i++) {
		auto_free char *line = text_fmt("[ ! -e '%s' ] || truncate -s 0 '%s'",
			target->logs[i].path, target->logs[i].path);
		struct witness_command command = {.line = line, .timeout_ms = WARM_MS};
		struct witness_result result = {0};

		rc = witness_run(p->witness, &command, &result, err);
		buf_free(&result.output);
	}
	return rc;
}

/* Ends when the guest's CPU was idle for 19 of 20 parts of two seconds, or after 20 s of trying. */
#define SETTLE                                                                \
	"for i in 0 1 2 3 4 5 6 7 8 9; do read -r up idle </proc/uptime; "    \
	"from=${idle%.*}${idle#*.}; sleep 2; read -r up idle </proc/uptime; " \
	"[ $((${idle%.*}${idle#*.} - from)) -lt 190 ] || exit 0; done"

/*
 * What the warm-up left to do (processes that end, queues that are looked through) would else be in the
 * template, and every clone of it would do that first: its first greeting then comes twice as late. A store
 * that is never idle is taken as it is.
 */
static int settle(struct preparing *p, struct err *err)
{
	struct witness_command command = {.line = SETTLE, .timeout_ms = WARM_MS};
	struct witness_result result = {0};
	int rc = witness_run(p->witness, &command, &result, err);

	buf_free(&result.output);
	return rc;
}

static int start_store(struct preparing *p, struct err *err)
{
	int64_t deadline;
	int rc = qga_ping(machine_qga(p->machine), deadline_in_ms(BOOT_MS), err);

	if (rc)
		return rc;
	say(p, "provisioning");
	rc = command(p, "provision", PROVISION_MS, false, NULL, err);
	if (!rc && p->spec->target->settings.count)
		rc = command(p, "configure", PROVISION_MS, false, NULL, err);
	if (rc)
		return rc;
	say(p, "starting");
	deadline = deadline_in_ms(p->spec->target->ready_within_ms);
	rc = command(p, "start", p->spec->target->ready_within_ms, true, NULL, err);
	if (!rc)
		rc = wait_banners(p, deadline, err);
	if (rc)
		return rc;
	say(p, "warming up");
	rc = warm_up(p, err);
	if (!rc)
		rc = empty_logs(p, err);
	if (!rc)
		note_loaded(p);
	return rc ? rc : settle(p, err);
}

int bed_prepare(struct machine *machine, void *arg, struct err *err)
{
	struct preparing p = {.spec = arg, .machine = machine};
	int rc = legs_open(&p.legs, p.spec->target, machine, NULL, NULL, err);

	if (!rc)
		rc = witness_attach(machine_take_witness_fd(machine), NULL, NULL,
			deadline_in_ms(BOOT_MS), &p.witness, err);
	if (!rc)
		rc = start_store(&p, err);
	if (rc && machine_check(machine, NULL))
		machine_check(machine, err); /* why the agents were silent */
	witness_close(p.witness);
	legs_close(p.legs);
	return rc;
}
