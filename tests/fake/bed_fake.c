#include "tests/fake/bed_fake.h"
#include "tests/fake/bed_fake_hurts.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "mail/sink.h"

#include <poll.h>
#include <string.h>

#define GOLDEN_CYCLE "tests/golden/diagnose/flock-three.json"
#define GOLDEN_IDLE  "tests/golden/diagnose/idle-store.json"
#define GOLDEN_MAX   (1u << 20)

struct fake_bed {
	struct fake_hurts hurts; /* begins with the bed */
	struct bed_ops ops;
	struct fake *fake;
	struct bed_fake_wish *wish;
	bed_event_fn fn;
	void *arg;
	int64_t origin_ns;
	uint64_t met;
	bool refusing;
	bool armed[FAKE_RULES_MAX]; /* a rule armed has met something at once */
	bool powerless, saved;
	bool died; /* as `core_lasts_ms` wishes */
	bool sink_sick;
	struct sink *sink; /* the next hop */
	uint16_t sink_port;
};

static struct fake_bed *of(struct bed *bed)
{
	return (struct fake_bed *)bed;
}

static int64_t now(void *arg)
{
	return clock_mono_ns() - ((struct fake_bed *)arg)->origin_ns;
}

static int64_t bed_clock(struct bed *bed)
{
	return now(of(bed));
}

static void tell_reply(struct fake_bed *b, const char *moment, const char *service)
{
	auto_json json_t *json = json_pack("{ss ss sI}", "moment", moment, "service", service,
		"cell_ns", (json_int_t)(now(b) - b->wish->wire_late_ms * NS_PER_MS));

	b->fn(b->arg, BED_WIRE, json);
}

static void on_attempt(void *arg, const struct fake_attempt *attempt)
{
	struct fake_bed *b = arg;
	auto_json json_t *json = json_pack("{ss si so so so ss si sI}", "hop", attempt->hop, "conn",
		1, "token", json_text(attempt->token), "from", json_text(attempt->from), "to",
		json_text(attempt->to), "result", attempt->result, "code", attempt->code, "cell_ns",
		(json_int_t)now(b));

	if (attempt->dot_ns >= 0)
		json_object_set_new(
			json, "dot_t", json_real((double)attempt->dot_ns / (double)NS_PER_SEC));
	if (attempt->reply_ns >= 0)
		json_object_set_new(
			json, "reply_t", json_real((double)attempt->reply_ns / (double)NS_PER_SEC));
	b->fn(b->arg, BED_ATTEMPT, json);
	if (!strcmp(attempt->hop, "edge") && attempt->reply_ns >= 0)
		tell_reply(b, "smtp/reply", "smtp");
	if (!strcmp(attempt->hop, "inner") && attempt->reply_ns >= 0)
		tell_reply(b, "lmtp/reply", "lmtp");
}

/* All has been told by then: the callbacks run before the reply goes out. */
static int bed_wire_flush(struct bed *bed, int64_t deadline_ns, struct err *err)
{
	(void)bed;
	(void)deadline_ns;
	(void)err;
	return 0;
}

static void on_death(void *arg, const struct fake_death *death)
{
	struct fake_bed *b = arg;
	auto_json json_t *json =
		json_pack("{ss si}", "program", death->program, "signal", death->signal);

	b->fn(b->arg, BED_DIED, json);
}

static void on_log(void *arg, const char *line)
{
	struct fake_bed *b = arg;
	auto_json json_t *json = json_pack("{ss ss sI}", "path", "/var/log/fake.log", "line", line,
		"cell_ns", (json_int_t)now(b));

	b->fn(b->arg, BED_LOG, json);
}

static void on_wait(void *arg, int64_t waited_ns, bool answered)
{
	struct fake_bed *b = arg;
	auto_json json_t *json = json_pack("{ss ss sf sb sI}", "hop", "inner", "verb", ".",
		"waited_s", (double)waited_ns / (double)NS_PER_SEC, "answered", (int)answered,
		"cell_ns", (json_int_t)now(b));

	b->fn(b->arg, BED_WAITED, json);
}

static int bed_connect(
	struct bed *bed, const struct service *service, int64_t deadline_ns, struct err *err)
{
	static const enum fake_service map[] = {
		[PROTOCOL_SMTP] = FAKE_SMTP,
		[PROTOCOL_LMTP] = FAKE_LMTP,
		[PROTOCOL_IMAP] = FAKE_IMAP,
		[PROTOCOL_POP3] = FAKE_POP3,
	};

	return fake_connect(of(bed)->fake, map[service->protocol], deadline_ns, err);
}

static int list_too_long(struct bed_fake_wish *wish, struct command_result *ret)
{
	wish->unlisted -= wish->unlisted > 0;
	ret->timed_out = true;
	return 0;
}

static void count_queue(struct fake *fake, struct buf *ret)
{
	auto_buf struct buf list = {0};
	unsigned int count = 0;

	fake_queue_list(fake, &list);
	for (const char *p = buf_text(&list); *p; p++)
		count += *p == '\n';
	buf_addf(ret, "%u\n", count);
}

static int bed_run(struct bed *bed, const char *line, const char *const *env, int64_t timeout_ms,
	bool daemons, struct command_result *ret, struct err *err)
{
	struct fake *fake = of(bed)->fake;
	int rc = 0;

	(void)env;
	*ret = (struct command_result){0};
	if (!strcmp(line, "fake-start"))
		ret->status = !fake_running(fake) && fake_start(fake, err);
	else if (!strcmp(line, "fake-stop"))
		ret->timed_out = fake_stop(fake, deadline_in_ms(timeout_ms), err) == -ETIMEDOUT;
	else if (!strcmp(line, "fake-queue") && of(bed)->wish->unlisted)
		return list_too_long(of(bed)->wish, ret);
	else if (!strcmp(line, "fake-queue"))
		fake_queue_list(fake, &ret->output);
	else if (!strcmp(line, "fake-count"))
		count_queue(fake, &ret->output);
	else if (!strcmp(line, "fake-hold") || !strcmp(line, "fake-release"))
		fake_hold_queue(fake, !strcmp(line, "fake-hold"));
	else if (!strcmp(line, "fake-restored"))
		fake_restored(fake);
	else if (!strcmp(line, "fake-die"))
		fake_kill(fake);
	else
		ret->status = 127;
	if (ret->timed_out || (!daemons && !strcmp(line, "fake-start")))
		fake_kill(fake); /* as the witness ends what is left behind */
	return rc;
}

static int bed_freeze(struct bed *bed, const char *const *mounts, struct err *err)
{
	struct fake_bed *b = of(bed);
	auto_json json_t *json = json_pack("{ss}", "text", "kernel panic - not syncing: planted");

	(void)mounts;
	(void)err;
	fake_freeze(b->fake);
	if (b->wish->panics_at_freeze)
		b->fn(b->arg, BED_PANIC, json);
	return 0;
}

static int bed_freeze_by_hand(
	struct bed *bed, const char *mount, int64_t thaw_after_ms, struct err *err)
{
	(void)thaw_after_ms;
	if (!strcmp(mount, "/proc"))
		return err_set(err, -EREMOTEIO, "'%s' has no freeze", mount);
	fake_freeze(of(bed)->fake);
	return 0;
}

static int bed_thaw(struct bed *bed, struct err *err)
{
	fake_thaw(of(bed)->fake);
	return of(bed)->wish->fails_to_thaw ? err_set(err, -EIO, "planted: the thaw failed") : 0;
}

static int bed_frozen(struct bed *bed, uint32_t *ret, struct err *err)
{
	unsigned int waiting = 0;

	(void)err;
	fake_frozen(of(bed)->fake, &waiting);
	*ret = waiting;
	return 0;
}

static int bed_leg_set(struct bed *bed, const struct service *service,
	const struct leg_change *change, struct err *err)
{
	(void)service;
	(void)err;
	of(bed)->refusing = change->mode != LEG_PASS;
	fake_silence_delivery(of(bed)->fake, change->mode == LEG_SILENT);
	fake_disable_delivery(of(bed)->fake, of(bed)->refusing && change->mode != LEG_SILENT);
	return 0;
}

static uint64_t bed_leg_met(struct bed *bed, const struct service *service)
{
	struct fake_bed *b = of(bed);

	(void)service;
	if (b->refusing && fake_queue_depth(b->fake) > b->met)
		b->met = fake_queue_depth(b->fake);
	return b->met;
}

/* ---- what the fake store has not: kept as it was told, so that a heal can be missed ---- */

/* A rule on one user's files breaks the delivery to that user. */
static void break_box(struct fake_bed *b, const char *const *globs)
{
	char user[32];

	if (globs && globs[0] && sscanf(globs[0], "/srv/mail/%31[a-z0-9]/", user) == 1)
		fake_break_box(b->fake, user);
}

static int bed_arm(
	struct bed *bed, const struct call_rule *rule, int64_t *ret_at_ns, struct err *err)
{
	*ret_at_ns = bed_clock(bed);
	if (!rule->slot || rule->slot >= FAKE_RULES_MAX)
		return err_set(err, -EINVAL, "there is no slot %u", rule->slot);
	if (fake_arm(of(bed)->fake, rule->slot, rule->point, rule->hit, rule->calls))
		return 0;
	of(bed)->armed[rule->slot] = true;
	if (rule->errno_name && !rule->globs && !strncmp(rule->point, "posix/io/sync/", 14))
		fake_fail_sync(of(bed)->fake, true);
	break_box(of(bed), rule->globs);
	return 0;
}

static int bed_disarm(struct bed *bed, unsigned int slot, struct err *err)
{
	(void)err;
	if (slot < FAKE_RULES_MAX)
		of(bed)->armed[slot] = false;
	fake_disarm(of(bed)->fake, slot);
	fake_fail_sync(of(bed)->fake, false);
	fake_break_box(of(bed)->fake, NULL);
	return 0;
}

static int bed_call_status(
	struct bed *bed, unsigned int slot, struct call_status *ret, struct err *err)
{
	bool armed = slot < FAKE_RULES_MAX && of(bed)->armed[slot];

	(void)err;
	*ret = (struct call_status){0};
	if (fake_rule_status(of(bed)->fake, slot, &ret->fired, &ret->parked))
		return 0;
	*ret = (struct call_status){.hits = armed, .fired = armed, .parked = armed};
	if (armed)
		snprintf(ret->path, sizeof(ret->path), "/srv/mail/u1/1");
	return 0;
}

static int bed_save_disks(struct bed *bed, int64_t *ret_at_ns, struct err *err)
{
	(void)err;
	*ret_at_ns = now(of(bed));
	fake_save(of(bed)->fake);
	of(bed)->saved = true;
	return 0;
}

static int bed_cut_power(
	struct bed *bed, const struct power_cut *cut, int64_t *ret_at_ns, struct err *err)
{
	static const int lost[] = {[POWER_GUEST_DIES] = 0,
		[POWER_CACHE_LOST] = 2,
		[POWER_ANY_PREFIX] = 1,
		[POWER_ANY_SUBSET] = 1};

	if (cut->put_back && !of(bed)->saved)
		return err_set(err, -EINVAL, "there is no snapshot to be put back");
	*ret_at_ns = now(of(bed));
	if (!of(bed)->powerless)
		fake_cut_power(of(bed)->fake, lost[cut->model], cut->seed);
	if (cut->put_back)
		fake_put_back(of(bed)->fake);
	of(bed)->powerless = true;
	return 0;
}

static int bed_restore_power(struct bed *bed, struct power_loss *ret, struct err *err)
{
	(void)err;
	*ret = (struct power_loss){0};
	of(bed)->powerless = false;
	return 0;
}

static int bed_unlink(struct bed *bed, const char *path, struct err *err)
{
	(void)bed;
	return path[0] == '/' ? 0 : err_set(err, -EINVAL, "'%s' is no path", path);
}

static int bed_sink_set(struct bed *bed, const char *mode, int64_t delay_ms, struct err *err)
{
	enum sink_mode parsed;

	if (sink_mode_parse(mode, &parsed))
		return err_set(err, -EINVAL, "the sink has no mode '%s'", mode);
	sink_set_delay(of(bed)->sink, delay_ms);
	sink_set_mode(of(bed)->sink, parsed);
	of(bed)->sink_sick = parsed != SINK_OK;
	return 0;
}

static int to_sink(void *arg, int64_t deadline_ns, struct err *err)
{
	return io_connect_tcp("127.0.0.1", ((struct fake_bed *)arg)->sink_port, deadline_ns, err);
}

static json_t *sunk_json(const struct sink_mail *mail)
{
	const struct message_seen *seen = &mail->seen;
	json_t *to = json_array();

	for (size_t i = 0; i < mail->rcpt_count; i++)
		json_array_append_new(to, json_text(mail->rcpts[i]));
	return json_pack("{so so ss ss ss ss ss sb}", "from", json_text(mail->from), "to", to,
		"token", seen->token, "sha256", seen->body_sha256, "bounce_of",
		seen->report ? seen->quoted : "", "failed", seen->failed, "action", seen->action,
		"kept", (int)mail->kept);
}

static int bed_sunk(struct bed *bed, json_t **ret, struct err *err)
{
	struct sink_mail mail;

	(void)err;
	*ret = json_array();
	for (size_t i = 0; sink_mail_at(of(bed)->sink, i, &mail); i++)
		json_array_append_new(*ret, sunk_json(&mail));
	return 0;
}

static uint64_t bed_sink_met(struct bed *bed)
{
	return ++of(bed)->hurts.requests;
}

static void add_hurts(const struct fake_bed *b, json_t *ret)
{
	const struct {
		bool is;
		const char *text;
	} hurts[] = {
		{b->powerless, "the power is cut"},
		{b->sink_sick, "the sink misbehaves"},
		{b->refusing, "a leg does not pass"},
		{fake_frozen(b->fake, NULL), "frozen"},
	};

	fake_hurts_residue(&b->hurts, ret);
	for (size_t i = 0; i < ARRAY_SIZE(hurts); i++)
		if (hurts[i].is)
			json_array_append_new(ret, json_string(hurts[i].text));
	for (size_t i = 0; i < FAKE_RULES_MAX; i++)
		if (b->armed[i])
			json_array_append_new(ret, json_string("a point is still armed"));
}

static int bed_residue(struct bed *bed, json_t **ret, struct err *err)
{
	(void)err;
	*ret = json_array();
	add_hurts(of(bed), *ret);
	if (of(bed)->wish->scanning)
		json_array_append_new(*ret, json_string("planted: a scan is still running"));
	if (of(bed)->wish->leaves_residue)
		json_array_append_new(*ret, json_string("planted: a point is still armed"));
	return 0;
}

static uint64_t bed_frames_lost(struct bed *bed)
{
	return of(bed)->wish->loses_frames;
}

static int bed_watch_kills(struct bed *bed, bool on, json_t *ret, struct err *err)
{
	(void)err;
	if (!on && of(bed)->wish->stops_by_force)
		json_array_append_new(ret, json_string("imap (pid 312)"));
	return 0;
}

static int bed_files(struct bed *bed, const char *const *globs, bool live,
	void (*each)(void *arg, const char *path, const char *bytes, size_t len), void *arg,
	struct err *err)
{
	(void)globs;
	(void)live;
	(void)err;
	fake_files(of(bed)->fake, each, arg);
	return 0;
}

static const char *shown_now(struct fake_bed *b)
{
	struct bed_fake_wish *wish = b->wish;
	bool bad = fake_bug_fired(b->fake, wish->bug) || (wish->always_hangs && wish->scans);

	if (!wish->hangs || !bad)
		return wish->healthy;
	return wish->then && wish->branches ? wish->then : wish->hangs;
}

static int bed_scan(struct bed *bed, bool deep, json_t **ret, struct err *err)
{
	struct fake_bed *b = of(bed);
	auto_free char *path = text_fmt("tests/golden/diagnose/%s.json", shown_now(b));
	auto_json json_t *golden = json_load_path(path, GOLDEN_MAX, err);

	if (!golden)
		return -EIO;
	b->wish->scanning++;
	if (b->wish->scan_lasts_ms)
		poll(NULL, 0, b->wish->scan_lasts_ms);
	b->wish->scanning--;
	b->wish->scans++;
	b->wish->deep_scans += deep;
	if (b->wish->core_lasts_ms && !b->died && fake_frozen(b->fake, NULL)) {
		auto_json json_t *died = json_pack("{si ss si ss}", "pid", 77, "exe", "/x/helper",
			"signal", 11, "core", "/run/rig/cores/core.77");

		b->died = true;
		b->fn(b->arg, BED_DIED, died);
	}
	*ret = json_incref(json_object_get(golden, "scan"));
	json_object_set_new(*ret, "took_ns", json_integer(b->wish->scan_took_ns));
	json_object_set_new(*ret, "frozen", json_boolean(fake_frozen(b->fake, NULL)));
	return 0;
}

static int bed_core(struct bed *bed, const char *path, json_t **ret, struct err *err)
{
	(void)path;
	(void)err;
	poll(NULL, 0, of(bed)->wish->core_lasts_ms);
	*ret = json_pack("{s[s]}", "frames", "help");
	return 0;
}

static int bed_watched_evidence(struct bed *bed, const char *dir, struct err *err)
{
	auto_free char *path = path_join(dir, "scan.json");
	auto_json json_t *scan = NULL;
	int rc = bed_scan(bed, true, &scan, err);

	if (!rc)
		rc = fs_mkdir_p(dir, err);
	return rc ? rc : json_save_path(path, scan, err);
}

static int bed_branch(struct bed *bed, const char *name, const json_t *scan, const int *tids,
	size_t count, json_t **ret, struct err *err)
{
	(void)name;
	if (of(bed)->wish->branch_fails || !json_object_get(scan, "tasks") || !count || !tids[0])
		return err_set(err, -ENOSPC, "planted: there is no room for a copy");
	of(bed)->wish->branches++;
	*ret = json_pack("{sf sI}", "still_s", 0.125, "branch_bytes", (json_int_t)1 << 20);
	return 0;
}

static int bed_adjudicate(struct bed *bed, const char *name, const struct bed_patience *patience,
	json_t **ret, struct err *err)
{
	struct bed_fake_wish *wish = of(bed)->wish;

	(void)name;
	if (patience->over() || patience->host_ms <= 0)
		return err_set(err, -EINTR, "planted: no patience");
	wish->adjudged++;
	*ret = json_pack("{ss ss sf sf}", "recovery", wish->recovery, "event", "planted", "guest_s",
		21600.0, "host_s", 0.5);
	if (!strcmp(wish->recovery, "after_guest_s"))
		json_object_set_new(*ret, "after_guest_s", json_integer(9000));
	return 0;
}

/* A scan of real processes, idle ones, or ones that wait for each other. */
static int bed_evidence(struct bed *bed, const char *dir, struct err *err)
{
	bool cycle = fake_fires(of(bed)->fake, FAKE_LOCK_CYCLE, false);
	auto_json json_t *golden =
		json_load_path(cycle ? GOLDEN_CYCLE : GOLDEN_IDLE, GOLDEN_MAX, err);
	auto_free char *path = path_join(dir, "scan.json");
	int rc = golden ? fs_mkdir_p(dir, err) : -EIO;

	return rc ? rc : json_save_path(path, json_object_get(golden, "scan"), err);
}

static int bed_measure(struct bed *bed, json_t **ret, struct err *err)
{
	size_t sessions, locks;

	(void)err;
	fake_level(of(bed)->fake, &sessions, &locks);
	*ret = json_pack("{si sI sI sI si}", "processes", 1, "threads", (json_int_t)sessions,
		"descriptors", (json_int_t)sessions, "locks", (json_int_t)locks, "memory_kib", 0);
	return 0;
}

static void bed_close(struct bed *bed)
{
	of(bed)->wish->closed++;
	fake_free(of(bed)->fake);
	sink_stop(of(bed)->sink);
	free(bed);
}

static int bed_processor_wait(struct bed *bed, uint64_t *ret_ns, struct err *err)
{
	(void)err;
	*ret_ns = (uint64_t)bed_clock(bed);
	return 0;
}

static const struct bed_ops fake_ops = {
	.name = "fake",
	.connect = bed_connect,
	.run = bed_run,
	.clock_ns = bed_clock,
	.save_disks = bed_save_disks,
	.cut_power = bed_cut_power,
	.restore_power = bed_restore_power,
	.freeze = bed_freeze,
	.freeze_by_hand = bed_freeze_by_hand,
	.thaw = bed_thaw,
	.frozen = bed_frozen,
	.leg_set = bed_leg_set,
	.leg_met = bed_leg_met,
	.residue = bed_residue,
	.arm = bed_arm,
	.disarm = bed_disarm,
	.call_status = bed_call_status,
	.unlink = bed_unlink,
	.sink_set = bed_sink_set,
	.sink_met = bed_sink_met,
	.sunk = bed_sunk,
	.watch_kills = bed_watch_kills,
	.frames_lost = bed_frames_lost,
	.wire_flush = bed_wire_flush,
	.measure = bed_measure,
	.evidence = bed_evidence,
	.files = bed_files,
	.close = bed_close,
};

int bed_fake_open(struct bed **ret, const struct plan *plan, const char *dir, bed_event_fn on_event,
	void *event_arg, void *arg, struct err *err)
{
	static const char *const users[] = {"u1", "u2", NULL};
	struct bed_fake_wish *wish = arg;
	struct fake_bed *b = mem_zero(1, sizeof(*b));
	struct fake_opts opts = {
		.users = users,
		.clock_ns = now,
		.on_attempt = on_attempt,
		.on_death = on_death,
		.on_log = on_log,
		.on_wait = on_wait,
		.outbound = to_sink,
		.arg = b,
	};
	struct sink_opts sink = {0};

	(void)dir;
	b->ops = fake_ops;
	fake_hurts_ops(&b->ops);
	if (wish->healthy) {
		b->ops.scan = bed_scan;
		b->ops.evidence = bed_watched_evidence;
		b->ops.branch = bed_branch;
		b->ops.adjudicate = bed_adjudicate;
	}
	if (wish->core_lasts_ms)
		b->ops.core = bed_core;
	if (wish->starves)
		b->ops.processor_wait = bed_processor_wait;
	b->hurts.bed = (struct bed){.ops = &b->ops, .target = plan->target};
	b->wish = wish;
	b->fn = on_event;
	b->arg = event_arg;
	b->origin_ns = clock_mono_ns();
	b->fake = fake_new(&opts);
	*ret = &b->hurts.bed;
	sink.listen_fd = io_listen_tcp("127.0.0.1", 0, &b->sink_port, err);
	b->sink = sink.listen_fd < 0 ? NULL : sink_start(&sink, err);
	if (!b->sink)
		return -EIO;
	if (wish->fails_to_open)
		return err_set(err, -EIO, "planted: there is no machine");
	if (wish->nth && plan->kind == PLAN_CELL)
		fake_plant(b->fake, wish->bug, wish->nth, wish->only_hurt);
	return fake_start(b->fake, err);
}
