#include "run/bed/bed_vm_core.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "diagnose/oom.h"

#include <signal.h>
#include <string.h>

#define WAIT_TOLD_NS NS_PER_SEC /* shorter waits are nothing to tell */
#define END_MS	     2000	/* between the witness's end and the machine's */

int64_t vm_bed_clock(struct vm_bed *b, int64_t mono_ns)
{
	int64_t paused = b->machine ? machine_paused_before(b->machine, mono_ns) : b->paused_ns;

	return mono_ns - b->origin_ns - paused;
}

int64_t vm_bed_moment(struct vm_bed *b, int64_t bed_ns)
{
	return machine_moment(b->machine, bed_ns + b->origin_ns);
}

/* The wire goes on telling what it has read. */
void vm_close_machine(struct vm_bed *b)
{
	struct machine *machine = b->machine;

	b->paused_ns = machine ? machine_paused_ns(machine) : b->paused_ns;
	b->machine = NULL;
	machine_close(machine);
}

/* ---- what the machine, the witness and the wire tell ---- */

void vm_on_machine(void *arg, enum machine_event event, int64_t mono_ns)
{
	struct vm_bed *b = arg;
	auto_buf struct buf text = {0};
	auto_json json_t *json = NULL;

	(void)mono_ns;
	if (b->closing || vm_power_off(b))
		return;
	buf_addf(&text, "%s; the console's last lines:\n", machine_event_name(event));
	if (b->machine)
		machine_console_tail(b->machine, &text);
	json = json_pack("{so}", "text", json_text(buf_text(&text)));
	b->fn(b->arg, event == MACHINE_EVENT_PANIC ? BED_PANIC : BED_GONE, json);
}

static void keep_log(struct vm_bed *b, const json_t *json)
{
	const char *guest_path = json_get_text(json, "path", "log");
	const char *slash = strrchr(guest_path, '/');
	auto_free char *name = text_dup(slash ? slash + 1 : guest_path);
	auto_free char *logs = path_join(b->dir, "logs");
	auto_free char *path = NULL;
	auto_file FILE *file = NULL;

	if (!fs_name_ok(name))
		return;
	path = path_join(logs, name);
	file = fopen(path, "ae");
	if (file)
		fprintf(file, "%s\n", json_get_text(json, "line", ""));
}

/* Nobody hears of a SIGKILL but by the log. Of a control group that the rig made too small the fault tells. */
static void tell_out_of_memory(struct vm_bed *b, const json_t *stamped)
{
	struct oom_killed killed;
	auto_json json_t *died = NULL;

	if (!oom_read_killed(json_get_text(stamped, "line", ""), &killed) || killed.in_group)
		return;
	died = json_pack("{sO* sO* si so so si ss sb}", "guest_ns",
		json_object_get(stamped, "guest_ns"), "cell_ns",
		json_object_get(stamped, "cell_ns"), "pid", killed.pid, "comm",
		json_text(killed.name), "program", json_text(killed.name), "signal", SIGKILL,
		"text", "for want of memory", "oom", 1);
	b->fn(b->arg, BED_DIED, died);
}

/* The witness's line breaks before the machine's own end is known, which says more. */
static void tell_gone(struct vm_bed *b, const char *why)
{
	auto_json json_t *json = NULL;
	struct err err = {0};

	if (!b->machine || machine_wait_end(b->machine, deadline_in_ms(END_MS), &err) == -ETIMEDOUT)
		err_set(&err, -EPIPE, "%s", why);
	json = json_pack("{so}", "text", json_text(err.text));
	b->fn(b->arg, BED_GONE, json);
}

void vm_on_witness(void *arg, const char *name, const json_t *json, int64_t arrived_ns)
{
	struct vm_bed *b = arg;
	auto_json json_t *stamped = json_copy((json_t *)json);

	json_object_set_new(stamped, "cell_ns", json_integer(vm_bed_clock(b, arrived_ns)));
	if (!strcmp(name, "log")) {
		keep_log(b, json);
		b->fn(b->arg, BED_LOG, stamped);
	} else if (!strcmp(name, "kernel")) {
		b->fn(b->arg, BED_KERNEL, stamped);
		tell_out_of_memory(b, stamped);
	} else if (!strcmp(name, "exited")) {
		b->fn(b->arg, BED_EXITED, stamped);
	} else if (!strcmp(name, "died")) {
		json_object_set_new(stamped, "program",
			json_text(json_get_text(json, "exe", json_get_text(json, "comm", "?"))));
		b->fn(b->arg, BED_DIED, stamped);
	} else if (!strcmp(name, "board")) {
		b->fn(b->arg, BED_CALL, stamped);
	} else if (!strcmp(name, "key") && b->wire) {
		wire_keys(b->wire, json_get_text(json, "line", ""));
	} else if (!strcmp(name, "gone") && !b->closing && !vm_power_off(b)) {
		tell_gone(b, json_get_text(json, "error", "the witness is gone"));
	}
}

/* Towards the guest is the edge, or the agent's side of the inner hop; from it, the queue's side. */
static const char *hop_of(enum dialogue_protocol protocol, const char *server)
{
	bool guest = !strncmp(server, NETWORK_GUEST_ADDRESS ":", strlen(NETWORK_GUEST_ADDRESS) + 1);

	if (protocol == DIALOGUE_PROTOCOL_LMTP)
		return guest ? NULL : "inner";
	return guest ? "edge" : "outbound";
}

/* A refused RCPT is the recipient's own answer; that DATA, which was pipelined behind it, was refused too says
 * nothing more. */
static const char *result_of(const struct attempt *attempt, int *ret_code)
{
	*ret_code = attempt->code;
	if (attempt->result != ATTEMPT_NOT_SENT || attempt->rcpt_code < 400)
		return dialogue_attempt_name(attempt->result);
	*ret_code = attempt->rcpt_code;
	return dialogue_attempt_name(attempt->rcpt_code < 500 ? ATTEMPT_4YZ : ATTEMPT_5YZ);
}

static void tell_attempt(struct vm_bed *b, const struct attempt *attempt, int64_t ns)
{
	const char *hop = hop_of(attempt->protocol, attempt->server), *result;
	auto_json json_t *json = NULL;
	int code;

	if (!hop)
		return;
	result = result_of(attempt, &code);
	json = json_pack("{ss sI so so so ss si sI}", "hop", hop, "conn", (json_int_t)attempt->conn,
		"token", json_text(attempt->token), "from", json_text(attempt->from), "to",
		json_text(attempt->to), "result", result, "code", code, "cell_ns", (json_int_t)ns);
	if (attempt->dot_ns)
		json_object_set_new(
			json, "dot_t", json_real((double)attempt->dot_ns / (double)NS_PER_SEC));
	if (attempt->reply_ns)
		json_object_set_new(
			json, "reply_t", json_real((double)attempt->reply_ns / (double)NS_PER_SEC));
	b->fn(b->arg, BED_ATTEMPT, json);
}

/* What TLS hid may have been any number of attempts, of any mail, for anybody. */
static void tell_hidden(struct vm_bed *b, const struct dialogue_event *event)
{
	const char *hop = hop_of(event->protocol, event->server);
	auto_json json_t *json = NULL;

	if (!hop || !event->unknown ||
		(event->protocol != DIALOGUE_PROTOCOL_SMTP &&
			event->protocol != DIALOGUE_PROTOCOL_LMTP))
		return;
	json = json_pack("{ss sI ss ss ss ss si sI}", "hop", hop, "conn", (json_int_t)event->conn,
		"token", "", "from", "", "to", "", "result", dialogue_attempt_name(ATTEMPT_UNKNOWN),
		"code", 0, "cell_ns", (json_int_t)event->ns);
	b->fn(b->arg, BED_ATTEMPT, json);
}

/* The rig's own clients say themselves what they heard. */
static void tell_unheard(struct vm_bed *b, const struct dialogue_event *event)
{
	const char *hop = hop_of(event->protocol, event->server);
	auto_json json_t *json = NULL;

	if (!event->unheard_ns || !hop || !strcmp(hop, "edge"))
		return;
	json = json_pack("{ss sI sf sI}", "hop", hop, "conn", (json_int_t)event->conn, "since_t",
		(double)event->unheard_ns / (double)NS_PER_SEC, "cell_ns", (json_int_t)event->ns);
	b->fn(b->arg, BED_UNHEARD, json);
}

/* A closed leg: nobody but the wire hears of it. */
static void count_refused(struct vm_bed *b, const struct dialogue_event *event)
{
	const char *hop;

	if (event->kind != DIALOGUE_REFUSED)
		return;
	hop = hop_of(event->protocol, event->server);
	if (hop && !strcmp(hop, "inner"))
		b->refused++;
}

/* How long the queue waited for the delivery agent: until a reply, or until it gave up. */
static void tell_wait(struct vm_bed *b, const struct dialogue_event *event)
{
	bool answered = event->kind == DIALOGUE_REPLY && !event->gave_up_ns;
	int64_t end = answered ? event->ns : event->gave_up_ns;
	const char *hop = hop_of(event->protocol, event->server);
	auto_json json_t *json = NULL;

	if (!hop || strcmp(hop, "inner") || event->unknown || !event->verb || !event->sent_ns ||
		!end || end - event->sent_ns < WAIT_TOLD_NS)
		return;
	json = json_pack("{ss so sf sb sI}", "hop", hop, "verb", json_text(event->verb), "waited_s",
		(double)(end - event->sent_ns) / (double)NS_PER_SEC, "answered", (int)answered,
		"cell_ns", (json_int_t)end);
	b->fn(b->arg, BED_WAITED, json);
}

void vm_on_dialogue(void *arg, const struct dialogue_event *event)
{
	struct vm_bed *b = arg;

	if (event->moment)
		vm_power_look(b);
	count_refused(b, event);
	transcripts_event(b->transcripts, event);
	if (event->kind == DIALOGUE_REPLY || event->kind == DIALOGUE_UNANSWERED)
		tell_wait(b, event);
	if (event->kind == DIALOGUE_ATTEMPT)
		tell_attempt(b, event->attempt, event->ns);
	if (event->kind == DIALOGUE_CLOSED) {
		tell_hidden(b, event);
		tell_unheard(b, event);
	}
	if (event->moment) {
		const char *hop = hop_of(event->protocol, event->server);
		auto_json json_t *json = json_pack("{ss sI ss sI}", "moment", event->moment, "conn",
			(json_int_t)event->conn, "service", dialogue_protocol_name(event->protocol),
			"cell_ns", (json_int_t)event->ns);

		if (hop)
			json_object_set_new(json, "hop", json_string(hop));
		if (event->tag)
			json_object_set_new(json, "tag", json_text(event->tag));
		b->fn(b->arg, BED_WIRE, json);
	}
}
