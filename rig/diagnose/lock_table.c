#include "diagnose/lock_table.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCK_LINE_MAX 256

static const char *const kinds[] = {"dot-lock", "FLOCK", "POSIX", "OFDLCK", "LEASE", "DELEG"};

const char *lock_kind_name(enum lock_kind kind)
{
	return (size_t)kind < ARRAY_SIZE(kinds) ? kinds[kind] : "?";
}

static bool read_kind(const char *word, enum lock_kind *ret)
{
	for (size_t i = LOCK_FLOCK; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(word, kinds[i])) {
			*ret = (enum lock_kind)i;
			return true;
		}
	return false;
}

static bool read_end(const char *word, uint64_t *ret)
{
	char *end;

	if (!strcmp(word, "EOF")) {
		*ret = UINT64_MAX;
		return true;
	}
	*ret = strtoull(word, &end, 10);
	return word[0] >= '0' && word[0] <= '9' && !*end;
}

static bool read_pid(const char *word, int *ret)
{
	char *end;
	long pid = strtol(word, &end, 10);

	*ret = (int)pid;
	return end != word && !*end && pid >= -1 && pid <= INT_MAX;
}

/* `ret_id` is the number in front, by which a waiter finds the lock it stands under. */
static bool read_line(const char *line, struct file_lock *ret, long *ret_id)
{
	char kind[8], mode[8], pid[16], first[24], last[24];
	const char *rest;
	char *end;

	*ret = (struct file_lock){0};
	*ret_id = strtol(line, &end, 10);
	if (end == line || *end != ':')
		return false;
	rest = end + 1 + strspn(end + 1, " ");
	ret->waits = !strncmp(rest, "->", 2);
	if (ret->waits)
		rest += 2;
	if (sscanf(rest, "%7s %*15s %7s %15s %47s %23s %23s", kind, mode, pid, ret->inode, first,
		    last) != 6)
		return false;
	ret->write = !strcmp(mode, "WRITE");
	if (!read_kind(kind, &ret->kind))
		return false;
	/* One that is asked back is written as what shall be left of it. */
	if (!ret->write && strcmp(mode, "READ") != 0 &&
		(ret->kind < LOCK_LEASE || strcmp(mode, "UNLCK") != 0))
		return false;
	return read_pid(pid, &ret->pid) && read_end(first, &ret->first) &&
	       read_end(last, &ret->last);
}

bool lock_line_read(const char *line, struct file_lock *ret)
{
	long id;

	return read_line(line, ret, &id);
}

bool lock_is_same(const struct file_lock *a, const struct file_lock *b)
{
	return a->kind == b->kind && a->write == b->write && a->first == b->first &&
	       a->last == b->last && !strcmp(a->inode, b->inode);
}

static void add_line(struct lock_table *table, const char *line, long *held_id, size_t *held)
{
	struct file_lock lock;
	long id;

	if (table->count == LOCKS_MAX || !read_line(line, &lock, &id) ||
		(lock.waits && (!table->count || id != *held_id))) {
		table->unread++;
		return;
	}
	if (!lock.waits) {
		*held_id = id;
		*held = table->count;
	}
	lock.by = *held;
	table->at[table->count++] = lock;
}

void lock_table_parse(const char *text, struct lock_table *ret)
{
	long held_id = -1;
	size_t held = 0, len;
	char line[LOCK_LINE_MAX];

	*ret = (struct lock_table){.at = mem_zero(LOCKS_MAX, sizeof(struct file_lock))};
	for (; *text; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		if (!len)
			continue;
		snprintf(line, sizeof(line), "%.*s", len < INT_MAX ? (int)len : INT_MAX, text);
		add_line(ret, line, &held_id, &held);
	}
}

size_t lock_table_add(struct lock_table *table, const struct file_lock *lock)
{
	if (table->count == LOCKS_MAX)
		return SIZE_MAX;
	table->at[table->count] = *lock;
	return table->count++;
}

void lock_table_free(struct lock_table *table)
{
	free(table->at);
	*table = (struct lock_table){0};
}

bool lock_conflicts(const struct file_lock *waiter, const struct file_lock *held)
{
	bool flocks = waiter->kind == LOCK_FLOCK, held_flocks = held->kind == LOCK_FLOCK;

	if (waiter->kind >= LOCK_LEASE || held->kind >= LOCK_LEASE || flocks != held_flocks ||
		(waiter->kind == LOCK_DOT) != (held->kind == LOCK_DOT))
		return false;
	if (strcmp(waiter->inode, held->inode) != 0 || (!waiter->write && !held->write))
		return false;
	return flocks || (waiter->first <= held->last && held->first <= waiter->last);
}
