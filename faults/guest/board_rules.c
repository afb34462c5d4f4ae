/*
 * Rules: arm, disarm, release. A line is checked whole before the board is touched.
 */
#include "faults/guest/board_private.h"
#include "faults/guest/board_syscalls.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ERRNO_MAX 133 /* EHWPOISON, the last of Linux 6.1 */

static const char *const arm_keys[] = {"slot", "point", "action", "exe", "path", "hit", "calls",
	"errno", "signal", "bytes", "kind", "pid", "tid", "caller", "trace", NULL};
static const char *const slot_keys[] = {"slot", NULL};

static const struct {
	const char *name;
	enum board_action action;
} actions[] = {{"park", BOARD_PARK}, {"fail", BOARD_FAIL}, {"kill", BOARD_KILL},
	{"short", BOARD_SHORTEN}, {"watch", BOARD_WATCH}};

static const struct {
	const char *name;
	enum board_kind kind;
} kinds[] = {{"file", BOARD_KIND_FILE}, {"dir", BOARD_KIND_DIR}, {"socket", BOARD_KIND_SOCKET},
	{"pipe", BOARD_KIND_PIPE}, {"other", BOARD_KIND_OTHER}};

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* ---- reading the line ---- */

static int read_slot(const char *line, uint32_t *ret, char *why, size_t size)
{
	int64_t slot;

	if (board_line_number(line, "slot", 1, BOARD_SLOTS_MAX, 0, &slot) || !slot) {
		snprintf(why, size, "'slot' must be a number from 1 to %u", BOARD_SLOTS_MAX);
		return -EINVAL;
	}
	*ret = (uint32_t)slot - 1;
	return 0;
}

static bool is_name(const char *name)
{
	static const char bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-./:";

	return name[0] && name[0] != '/' && !name[strspn(name, bytes)];
}

static int read_point(const char *line, struct board_rule *rule, char *why, size_t size)
{
	if (board_line_value(line, "point", rule->name, sizeof(rule->name)) <= 0 ||
		!is_name(rule->name)) {
		snprintf(
			why, size, "'point' must be the name of a point, like posix/io/sync/fsync");
		return -EINVAL;
	}
	rule->point = board_point_find(rule->name);
	if (rule->point < 0 &&
		(!strncmp(rule->name, "posix/", 6) || !strncmp(rule->name, "libc/", 5))) {
		snprintf(why, size, "there is no point '%s'", rule->name);
		return -ENOENT;
	}
	return 0;
}

static int read_action(const char *line, struct board_rule *rule, char *why, size_t size)
{
	char text[16], unused[16];
	int there = board_line_value(line, "action", text, sizeof(text));

	rule->action =
		board_line_value(line, "errno", unused, sizeof(unused)) ? BOARD_FAIL : BOARD_PARK;
	if (!there)
		return 0;
	for (size_t i = 0; i < COUNT_OF(actions); i++)
		if (!strcmp(actions[i].name, text)) {
			rule->action = actions[i].action;
			return 0;
		}
	snprintf(why, size, "'action' must be park, fail, kill, short or watch");
	return -EINVAL;
}

static bool point_gives(int point, int errnum)
{
	if (point < 0)
		return true;
	for (const int *at = board_point_rows[point].errnos; *at; at++)
		if (*at == errnum)
			return true;
	return false;
}

static int read_errno(const char *line, struct board_rule *rule, char *why, size_t size)
{
	char text[24];

	if (board_line_value(line, "errno", text, sizeof(text)) > 0)
		for (int errnum = 1; errnum <= ERRNO_MAX; errnum++) {
			const char *name = strerrorname_np(errnum);

			if (!name || strcmp(name, text) != 0)
				continue;
			if (!point_gives(rule->point, errnum)) {
				snprintf(why, size, "'%s' cannot give %s", rule->name, text);
				return -EINVAL;
			}
			rule->value = errnum;
			return 0;
		}
	snprintf(why, size, "'errno' must be the name of an error, like EIO");
	return -EINVAL;
}

static int read_signal(const char *line, struct board_rule *rule, char *why, size_t size)
{
	char text[24];

	if (board_line_value(line, "signal", text, sizeof(text)) > 3 || !strncmp(text, "SIG", 3))
		for (int sig = 1; sig < 32; sig++) {
			const char *name = sigabbrev_np(sig);

			if (name && !strcmp(name, text + 3)) {
				rule->value = sig;
				return 0;
			}
		}
	snprintf(why, size, "'signal' must be the name of a signal, like SIGKILL");
	return -EINVAL;
}

static int read_value(const char *line, struct board_rule *rule, char *why, size_t size)
{
	unsigned int can = rule->point < 0 ? BOARD_CAN_PARK : board_point_rows[rule->point].can;
	int64_t bytes;

	switch (rule->action) {
	case BOARD_FAIL:
		return read_errno(line, rule, why, size);
	case BOARD_KILL:
		return read_signal(line, rule, why, size);
	case BOARD_SHORTEN:
		if (!(can & BOARD_CAN_SHORTEN)) {
			snprintf(why, size, "'%s' cannot be short", rule->name);
			return -EINVAL;
		}
		if (board_line_number(line, "bytes", 1, INT_MAX, 0, &bytes) || !bytes) {
			snprintf(why, size, "'bytes' must be a number, 1 or more");
			return -EINVAL;
		}
		rule->value = (int32_t)bytes;
		return 0;
	case BOARD_PARK:
		if (can & BOARD_CAN_PARK)
			return 0;
		snprintf(why, size, "'%s' never blocks, so it cannot be parked", rule->name);
		return -EINVAL;
	default:
		return 0;
	}
}

static int read_kinds(const char *line, struct board_rule *rule, char *why, size_t size)
{
	char text[64], *save = NULL;
	int there = board_line_value(line, "kind", text, sizeof(text));
	char *word = there > 0 ? strtok_r(text, ",", &save) : NULL;

	for (; word; word = strtok_r(NULL, ",", &save)) {
		size_t i = 0;

		while (i < COUNT_OF(kinds) && strcmp(kinds[i].name, word) != 0)
			i++;
		if (i == COUNT_OF(kinds))
			break;
		rule->kinds |= 1u << kinds[i].kind;
	}
	if (!there || (there > 0 && !word && rule->kinds))
		return 0;
	snprintf(why, size, "'kind' must be of file, dir, socket, pipe and other");
	return -EINVAL;
}

static int read_numbers(const char *line, struct board_rule *rule, char *why, size_t size)
{
	int64_t hit, calls, pid, tid;
	char text[8];

	if (board_line_value(line, "calls", text, sizeof(text)) > 0 && !strcmp(text, "all"))
		calls = 0;
	else if (board_line_number(line, "calls", 1, UINT32_MAX, 1, &calls)) {
		snprintf(why, size, "'calls' must be a number, 1 or more, or all");
		return -EINVAL;
	}
	if (board_line_number(line, "hit", 1, UINT32_MAX, 1, &hit) ||
		board_line_number(line, "pid", 1, INT32_MAX, 0, &pid) ||
		board_line_number(line, "tid", 1, INT32_MAX, 0, &tid)) {
		snprintf(why, size, "'hit', 'pid' and 'tid' must be numbers, 1 or more");
		return -EINVAL;
	}
	rule->hit = (uint32_t)hit;
	rule->calls = (uint32_t)calls;
	rule->pid = (int32_t)pid;
	rule->tid = (int32_t)tid;
	return 0;
}

static int read_globs(
	const char *line, const char *key, char to[BOARD_RULE_SIZE], char *why, size_t size)
{
	if (board_line_value(line, key, to, BOARD_RULE_SIZE) >= 0)
		return 0;
	snprintf(why, size, "'%s' must be globs with commas between, %u bytes at most", key,
		BOARD_RULE_SIZE - 1);
	return -EINVAL;
}

/* A name as a symbol table has it. */
static int read_caller(const char *line, struct board_rule *rule, char *why, size_t size)
{
	static const char bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_.$@";
	int there = board_line_value(line, "caller", rule->caller, sizeof(rule->caller));

	if (!there || (there > 0 && rule->caller[0] && !rule->caller[strspn(rule->caller, bytes)]))
		return 0;
	snprintf(why, size, "'caller' must be the name of a function, %u bytes at most",
		BOARD_NAME_SIZE - 1);
	return -EINVAL;
}

/* What only who is inside can do, nobody can from outside. */
static int read_trace(const char *line, struct board_rule *rule, char *why, size_t size)
{
	int r = read_globs(line, "trace", rule->trace, why, size);

	if (r || !rule->trace[0])
		return r;
	if (rule->action == BOARD_PARK || rule->caller[0] ||
		!board_syscall_at(rule->name, rule->action == BOARD_SHORTEN)) {
		snprintf(why, size,
			"'%s' cannot be traced: no system call, a park, or with a caller",
			rule->name);
		return -EINVAL;
	}
	return 0;
}

static int read_rule(const char *line, struct board_rule *rule, char *why, size_t size)
{
	char word[64];
	int r;

	if (board_line_unknown(line, arm_keys, word, sizeof(word))) {
		snprintf(why, size, "arm does not know '%s'", word);
		return -EINVAL;
	}
	if ((r = read_slot(line, &rule->slot, why, size)) ||
		(r = read_point(line, rule, why, size)) ||
		(r = read_action(line, rule, why, size)) ||
		(r = read_value(line, rule, why, size)) ||
		(r = read_kinds(line, rule, why, size)) ||
		(r = read_numbers(line, rule, why, size)) ||
		(r = read_caller(line, rule, why, size)) ||
		(r = read_globs(line, "exe", rule->exe, why, size)) ||
		(r = read_globs(line, "path", rule->path, why, size)))
		return r;
	return read_trace(line, rule, why, size);
}

/* ---- the board ---- */

/* Whoever is parked by the slot goes on. */
static int64_t let_go(uint32_t slot)
{
	int64_t released = 0;

	for (size_t i = 0; i < BOARD_PARKS_MAX; i++) {
		struct board_park *park = &board_now->parks[i];
		struct board_task unused;
		uint32_t parked = BOARD_PARKED;

		if (park->slot != slot || !board_park_owner(park, &unused) ||
			!atomic_compare_exchange_strong(&park->word, &parked, BOARD_RELEASED))
			continue;
		syscall(SYS_futex, &park->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
		released++;
	}
	return released;
}

static int64_t count_parked(uint32_t slot)
{
	struct board_task unused;
	int64_t count = 0;

	for (size_t i = 0; i < BOARD_PARKS_MAX; i++)
		count += board_now->parks[i].slot == slot &&
			 board_park_owner(&board_now->parks[i], &unused);
	return count;
}

static uint32_t count_names(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < BOARD_NAMES_MAX; i++)
		count += atomic_load(&board_now->armed[BOARD_FIRST_NAME + i]) != 0;
	return count;
}

static int64_t disarm(uint32_t slot)
{
	struct board_slot *at = &board_now->slots[slot];

	if (atomic_load(&at->epoch) % 2)
		atomic_fetch_add(&at->epoch, 1);
	board_trace_disarm(slot);
	/* The board may be damaged: the bit goes wherever it is. */
	for (uint32_t i = 0; i < BOARD_ANY_NAME; i++)
		atomic_fetch_and(&board_now->armed[i], ~(1u << slot));
	atomic_store(&board_now->armed[BOARD_ANY_NAME], count_names());
	return let_go(slot);
}

/* The name's place among the store's own points; a new name takes one that is not in use. */
static int place_name(const char *name)
{
	uint32_t hash = board_hash(name);
	int free = -1;

	for (uint32_t i = 0; i < BOARD_NAMES_MAX; i++) {
		struct board_name *at = &board_now->names[i];

		if (atomic_load(&at->hash) == hash && !strncmp(at->name, name, BOARD_NAME_SIZE))
			return (int)(BOARD_FIRST_NAME + i);
		if (free < 0 && !atomic_load(&board_now->armed[BOARD_FIRST_NAME + i]))
			free = (int)i;
	}
	if (free < 0)
		return -1;
	atomic_store(&board_now->names[free].hash, 0);
	memset(board_now->names[free].name, 0, BOARD_NAME_SIZE);
	memcpy(board_now->names[free].name, name, strlen(name));
	atomic_store(&board_now->names[free].hash, hash);
	return (int)BOARD_FIRST_NAME + free;
}

static void write_rule(const struct board_rule *rule)
{
	struct board_slot *slot = &board_now->slots[rule->slot];

	slot->point = (uint32_t)rule->point;
	slot->action = rule->action;
	slot->value = rule->value;
	slot->pid = rule->pid;
	slot->tid = rule->tid;
	slot->kinds = rule->kinds;
	slot->hit = rule->hit;
	slot->calls = rule->calls;
	memcpy(slot->caller, rule->caller, sizeof(slot->caller));
	memcpy(slot->exe, rule->exe, sizeof(slot->exe));
	memcpy(slot->path, rule->path, sizeof(slot->path));
	atomic_store(&slot->met, 0);
	atomic_store(&slot->hits, 0);
	atomic_store(&slot->fired, 0);
	atomic_store(&slot->strangers, 0);
	atomic_store(&slot->missed, 0);
	atomic_store(&slot->first_ns, 0);
	atomic_store(&slot->last_ns, 0);
	atomic_store(&slot->first_pid, 0);
	atomic_store(&slot->first_tid, 0);
	atomic_store(&slot->first_path_set, 0);
}

int board_rules_arm(const char *line, struct board_reply *reply, char *why, size_t size)
{
	struct board_rule rule = {0};
	int r = read_rule(line, &rule, why, size);

	if (r)
		return r;
	disarm(rule.slot);
	if (rule.point < 0)
		rule.point = place_name(rule.name);
	if (rule.point < 0) {
		snprintf(why, size, "%u points of stores are armed; that is all there is room for",
			BOARD_NAMES_MAX);
		return -ENOSPC;
	}
	write_rule(&rule);
	atomic_fetch_add(&board_now->slots[rule.slot].epoch, 1);
	atomic_fetch_or(&board_now->armed[rule.point], 1u << rule.slot);
	atomic_store(&board_now->armed[BOARD_ANY_NAME], count_names());
	rule.epoch = atomic_load(&board_now->slots[rule.slot].epoch);
	r = rule.trace[0] ? board_trace_arm(&rule, why, size) : 0;
	if (r) {
		disarm(rule.slot);
		return r;
	}
	board_put_open(reply, NULL, '{');
	board_put_int(reply, "slot", rule.slot + 1);
	board_put_text(reply, "point", rule.name);
	board_put_close(reply, '}');
	return 0;
}

static int let_go_command(
	const char *line, struct board_reply *reply, char *why, size_t size, bool for_good)
{
	char word[64];
	uint32_t slot;
	int64_t parked, released;
	int r = read_slot(line, &slot, why, size);

	if (r)
		return r;
	if (board_line_unknown(line, slot_keys, word, sizeof(word))) {
		snprintf(why, size, "this command does not know '%s'", word);
		return -EINVAL;
	}
	/* Who has said that it is parked and does not wait yet goes on by itself, unseen by let_go(). */
	parked = count_parked(slot);
	if (!for_good)
		atomic_fetch_add(&board_now->slots[slot].releases, 1);
	released = for_good ? disarm(slot) : let_go(slot);
	board_put_open(reply, NULL, '{');
	board_put_int(reply, "released", parked > released ? parked : released);
	board_put_close(reply, '}');
	return 0;
}

int board_rules_disarm(const char *line, struct board_reply *reply, char *why, size_t size)
{
	return let_go_command(line, reply, why, size, true);
}

int board_rules_release(const char *line, struct board_reply *reply, char *why, size_t size)
{
	return let_go_command(line, reply, why, size, false);
}
