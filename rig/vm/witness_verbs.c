/* The verbs of the witness, typed. */
#include "base/clock.h"
#include "base/hex.h"
#include "base/json.h"
#include "vm/witness.h"
#include "vm/witness_wire.h"

#include <assert.h>
#include <string.h>

#define RUN_SLACK_MS 10000 /* a busy guest is late, also with its own time limits */

static json_t *one_text(const char *key, const char *text)
{
	json_t *args = json_object();

	json_object_set_new(args, key, json_text(text));
	return args;
}

/* The member `key` of the answer, which must be of `type`. */
static int call_for(struct witness *w, const char *verb, json_t *args, const char *key,
	json_type type, int64_t deadline_ns, json_t **ret, struct err *err)
{
	auto_json json_t *answer = NULL;
	int rc = witness_call(w, verb, args, deadline_ns, &answer, err);
	json_t *value = json_object_get(answer, key);

	if (rc)
		return rc;
	if (!value || json_typeof(value) != type)
		return err_set(err, -EPROTO, "the witness's answer to '%s' has no '%s'", verb, key);
	*ret = json_incref(value);
	return 0;
}

int witness_ping(struct witness *w, int64_t deadline_ns, int64_t *ret_guest_ns, struct err *err)
{
	auto_json json_t *value = NULL;
	int rc = call_for(w, "ping", NULL, "guest_ns", JSON_INTEGER, deadline_ns, &value, err);

	if (!rc && ret_guest_ns)
		*ret_guest_ns = json_integer_value(value);
	return rc;
}

static json_t *env_object(const char *const *env)
{
	json_t *object = json_object();

	for (; env && *env; env++) {
		const char *equals = strchr(*env, '=');
		auto_free char *name = NULL;

		assert(equals);
		name = text_dup_n(*env, (size_t)(equals - *env));
		json_object_set_new(object, name, json_text(equals + 1));
	}
	return object;
}

int witness_run(struct witness *w, const struct witness_command *command,
	struct witness_result *ret, struct err *err)
{
	int64_t deadline_ns = deadline_in_ms(command->timeout_ms + RUN_SLACK_MS);
	json_t *args = one_text("command", command->line);
	auto_json json_t *answer = NULL;
	const json_t *output;
	int rc;

	json_object_set_new(args, "timeout_ms", json_integer(command->timeout_ms));
	if (command->dir)
		json_object_set_new(args, "dir", json_text(command->dir));
	json_object_set_new(args, "env", env_object(command->env));
	rc = witness_call(w, command->daemons ? "start" : "run", args, deadline_ns, &answer, err);
	if (rc)
		return rc;
	output = json_object_get(answer, "output");
	*ret = (struct witness_result){
		.status = (int)json_get_int(answer, "status", 255),
		.timed_out = json_get_bool(answer, "timed_out", false),
		.cut = json_get_bool(answer, "cut", false),
	};
	buf_add(&ret->output, json_is_string(output) ? json_string_value(output) : "",
		json_string_length(output));
	return 0;
}

int witness_scan(struct witness *w, bool stacks, int64_t deadline_ns, json_t **ret, struct err *err)
{
	return witness_call(
		w, "scan", json_pack("{sb}", "stacks", (int)stacks), deadline_ns, ret, err);
}

int witness_scan_deep(struct witness *w, int64_t deadline_ns, json_t **ret, struct err *err)
{
	return witness_call(
		w, "scan", json_pack("{sb sb}", "stacks", 1, "deep", 1), deadline_ns, ret, err);
}

int witness_freeze(struct witness *w, const char *mount, int64_t thaw_after_ms, int64_t deadline_ns,
	struct err *err)
{
	json_t *args = one_text("mount", mount);

	json_object_set_new(args, "thaw_after_ms", json_integer((json_int_t)thaw_after_ms));
	return witness_call(w, "freeze", args, deadline_ns, NULL, err);
}

int witness_thaw(struct witness *w, const char *mount, int64_t deadline_ns, struct err *err)
{
	return witness_call(w, "thaw", one_text("mount", mount), deadline_ns, NULL, err);
}

int witness_mounts(struct witness *w, int64_t deadline_ns, json_t **ret, struct err *err)
{
	return call_for(w, "mounts", NULL, "mounts", JSON_ARRAY, deadline_ns, ret, err);
}

int witness_seed(
	struct witness *w, const void *bytes, size_t len, int64_t deadline_ns, struct err *err)
{
	const unsigned char *at = bytes;
	auto_buf struct buf hex = {0};

	for (size_t i = 0; i < len; i++)
		buf_addf(&hex, "%02x", at[i]);
	return witness_call(w, "seed", one_text("hex", buf_text(&hex)), deadline_ns, NULL, err);
}

int witness_set_clock(struct witness *w, int64_t realtime_ns, int64_t deadline_ns, struct err *err)
{
	json_t *args = json_object();

	json_object_set_new(args, "realtime_ns", json_integer(realtime_ns));
	return witness_call(w, "clock", args, deadline_ns, NULL, err);
}

int witness_signal(
	struct witness *w, int pid, int64_t start, int signal, int64_t deadline_ns, struct err *err)
{
	json_t *args = json_object();

	json_object_set_new(args, "pid", json_integer(pid));
	json_object_set_new(args, "start", json_integer(start));
	json_object_set_new(args, "signal", json_integer(signal));
	return witness_call(w, "signal", args, deadline_ns, NULL, err);
}

int witness_board(
	struct witness *w, const char *command, int64_t deadline_ns, json_t **ret, struct err *err)
{
	auto_json json_t *reply = NULL;
	json_t *json;
	int rc = call_for(w, "board", one_text("command", command), "reply", JSON_STRING,
		deadline_ns, &reply, err);

	if (rc)
		return rc;
	json = json_loads(json_string_value(reply), JSON_REJECT_DUPLICATES, NULL);
	if (!json)
		return err_set(err, -EPROTO, "the board's answer to '%s' is no JSON", command);
	if (ret)
		*ret = json;
	else
		json_decref(json);
	return 0;
}

int witness_tail(struct witness *w, const char *path, int64_t deadline_ns, struct err *err)
{
	return witness_call(w, "tail", one_text("path", path), deadline_ns, NULL, err);
}

int witness_untail(struct witness *w, const char *path, int64_t deadline_ns, struct err *err)
{
	return witness_call(w, "untail", one_text("path", path), deadline_ns, NULL, err);
}

int witness_unlink(struct witness *w, const char *path, int64_t deadline_ns, struct err *err)
{
	return witness_call(w, "unlink", one_text("path", path), deadline_ns, NULL, err);
}

int witness_read(struct witness *w, const char *path, size_t max, int64_t deadline_ns,
	struct buf *out, struct err *err)
{
	json_t *args = one_text("path", path);
	auto_json json_t *text = NULL;
	int64_t left_ms = deadline_left_ms(deadline_ns);
	int rc;

	json_object_set_new(args, "max", json_integer((json_int_t)max));
	/* The worker gives up before the caller does, so that the answer is "unreadable". */
	if (left_ms > 0)
		json_object_set_new(args, "timeout_ms", json_integer(left_ms * 3 / 4));
	rc = call_for(w, "read", args, "text", JSON_STRING, deadline_ns, &text, err);
	if (!rc)
		buf_add(out, json_string_value(text), json_string_length(text));
	return rc;
}

int witness_exits(struct witness *w, bool watch, int64_t deadline_ns, json_t **ret, struct err *err)
{
	auto_json json_t *answer = NULL;
	json_t *killed;
	int rc = witness_call(
		w, "exits", json_pack("{sb}", "watch", (int)watch), deadline_ns, &answer, err);

	if (rc || watch)
		return rc;
	killed = json_object_get(answer, "killed");
	if (!json_is_array(killed))
		return err_set(err, -EPROTO, "the witness's answer to 'exits' has no 'killed'");
	if (json_get_bool(answer, "lost", false))
		return err_set(err, -EOVERFLOW, "some exits were missed");
	*ret = json_incref(killed);
	return 0;
}

static int add_unhexed(const char *hex, size_t len, struct buf *out, struct err *err)
{
	size_t count = hex_read(hex, len, buf_reserve(out, len / 2 + 1), len / 2);

	if (count != len / 2)
		return err_set(err, -EPROTO, "the witness's answer to 'read' is no hex");
	out->len += count;
	out->data[out->len] = '\0';
	return 0;
}

int witness_read_at(struct witness *w, const char *path, int64_t offset, size_t max,
	int64_t deadline_ns, struct buf *out, struct err *err)
{
	json_t *args = one_text("path", path);
	auto_json json_t *hex = NULL;
	int64_t left_ms = deadline_left_ms(deadline_ns);
	int rc;

	json_object_set_new(args, "max", json_integer((json_int_t)max));
	json_object_set_new(args, "offset", json_integer(offset));
	json_object_set_new(args, "hex", json_true());
	if (left_ms > 0)
		json_object_set_new(args, "timeout_ms", json_integer(left_ms * 3 / 4));
	rc = call_for(w, "read", args, "hex", JSON_STRING, deadline_ns, &hex, err);
	return rc ? rc : add_unhexed(json_string_value(hex), json_string_length(hex), out, err);
}

int witness_bound_descriptors(struct witness *w, unsigned int slot, const char *const *programs,
	uint64_t spare, int64_t deadline_ns, struct err *err)
{
	json_t *args = json_pack("{sI}", "slot", (json_int_t)slot);
	json_t *list = programs ? json_array() : NULL;

	for (; programs && *programs; programs++)
		json_array_append_new(list, json_text(*programs));
	if (list) {
		json_object_set_new(args, "programs", list);
		json_object_set_new(args, "spare", json_integer((json_int_t)spare));
	} else {
		json_object_set_new(args, "give_back", json_true());
	}
	return witness_call(w, "descriptors", args, deadline_ns, NULL, err);
}

/* How many are bound, under `key`, and how often it was met. */
static int ask_met(struct witness *w, const char *verb, json_t *args, const char *key,
	int64_t deadline_ns, uint64_t *ret_bound, uint64_t *ret_met, struct err *err)
{
	auto_json json_t *answer = NULL;
	int rc = witness_call(w, verb, args, deadline_ns, &answer, err);

	if (rc)
		return rc;
	*ret_bound = (uint64_t)json_get_int(answer, key, 0);
	*ret_met = (uint64_t)json_get_int(answer, "met", 0);
	return 0;
}

int witness_descriptors_met(struct witness *w, unsigned int slot, int64_t deadline_ns,
	uint64_t *ret_bound, uint64_t *ret_met, struct err *err)
{
	return ask_met(w, "descriptors", json_pack("{sI}", "slot", (json_int_t)slot), "bound",
		deadline_ns, ret_bound, ret_met, err);
}

int witness_bound_quota(struct witness *w, const char *mount, const char *what, int64_t deadline_ns,
	struct err *err)
{
	json_t *args = one_text("mount", mount);

	if (what)
		json_object_set_new(args, "what", json_text(what));
	else
		json_object_set_new(args, "give_back", json_true());
	return witness_call(w, "quota", args, deadline_ns, NULL, err);
}

int witness_quota_met(struct witness *w, const char *mount, int64_t deadline_ns,
	uint64_t *ret_owners, uint64_t *ret_met, struct err *err)
{
	return ask_met(w, "quota", one_text("mount", mount), "owners", deadline_ns, ret_owners,
		ret_met, err);
}

int witness_profile(struct witness *w, int tid, int64_t deadline_ns, json_t **ret, struct err *err)
{
	return call_for(w, "profile", json_pack("{si}", "tid", tid), "samples", JSON_ARRAY,
		deadline_ns, ret, err);
}

int witness_tries(struct witness *w, const int *tids, size_t count, int ms, int64_t deadline_ns,
	json_t **ret, struct err *err)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_integer(tids[i]));
	return call_for(w, "tries", json_pack("{so si}", "tids", list, "ms", ms), "tries",
		JSON_ARRAY, deadline_ns, ret, err);
}

int witness_there(
	struct witness *w, const char *path, int64_t deadline_ns, bool *ret, struct err *err)
{
	auto_json json_t *there = NULL;
	int rc = call_for(w, "there", json_pack("{s[o]}", "paths", json_text(path)), "there",
		JSON_ARRAY, deadline_ns, &there, err);

	if (!rc)
		*ret = json_array_size(there) > 0;
	return rc;
}

int witness_link(struct witness *w, const char *name, int64_t deadline_ns, bool *ret_carrier,
	bool *ret_netem, struct err *err)
{
	auto_json json_t *answer = NULL;
	int rc = witness_call(w, "link", one_text("name", name), deadline_ns, &answer, err);
	const json_t *kinds = json_object_get(answer, "qdiscs"), *kind;
	size_t i;

	if (rc)
		return rc;
	if (!json_is_array(kinds))
		return err_set(err, -EPROTO, "the witness's answer to 'link' has no 'qdiscs'");
	*ret_carrier = json_get_bool(answer, "carrier", false);
	*ret_netem = false;
	json_array_foreach (kinds, i, kind)
		*ret_netem |= json_is_string(kind) && !strcmp(json_string_value(kind), "netem");
	return 0;
}

int witness_residue(struct witness *w, int64_t deadline_ns, json_t **ret, struct err *err)
{
	return call_for(w, "residue", NULL, "residue", JSON_ARRAY, deadline_ns, ret, err);
}
