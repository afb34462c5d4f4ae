#include "api/uid_set.h"

#include "base/buf.h"

#include <string.h>

/* A number or `*` at *at. */
static bool number(const char **at, uint32_t last, uint32_t *ret, bool *ret_open)
{
	uint64_t value = 0;
	const char *p = *at;

	if (*p == '*') {
		*at = p + 1;
		*ret_open = true;
		*ret = last;
		return true;
	}
	for (; *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (uint64_t)(*p - '0');
		if (value > UINT32_MAX)
			return false;
	}
	if (p == *at || !value)
		return false;
	*at = p;
	*ret = (uint32_t)value;
	return true;
}

/* One range at *at, and the comma behind it; in the order written. */
static bool range(const char **at, uint32_t last, struct uid_range *ret, bool *ret_open)
{
	if (!number(at, last, &ret->from, ret_open))
		return false;
	ret->to = ret->from;
	if (**at == ':') {
		(*at)++;
		if (!number(at, last, &ret->to, ret_open))
			return false;
	}
	if (!**at)
		return true;
	return *(*at)++ == ',' && **at;
}

static int by_start(const void *a, const void *b)
{
	uint32_t x = ((const struct uid_range *)a)->from, y = ((const struct uid_range *)b)->from;

	return (x > y) - (x < y);
}

static void merge(struct uid_set *set)
{
	size_t kept = 0;

	if (!set->count)
		return;
	qsort(set->ranges, set->count, sizeof(*set->ranges), by_start);
	for (size_t i = 0; i < set->count; i++) {
		struct uid_range *last = kept ? &set->ranges[kept - 1] : NULL;

		if (last && set->ranges[i].from <= last->to) {
			if (set->ranges[i].to > last->to)
				last->to = set->ranges[i].to;
		} else {
			set->ranges[kept++] = set->ranges[i];
		}
	}
	set->count = kept;
}

int uid_set_parse(struct uid_set *set, const char *text, uint32_t last)
{
	*set = (struct uid_set){0};
	if (!*text)
		return -EINVAL;
	while (*text) {
		struct uid_range one;

		if (set->count == UID_SET_RANGES_MAX || !range(&text, last, &one, &set->open)) {
			uid_set_free(set);
			return -EINVAL;
		}
		if (!one.from || !one.to) /* `*` of an empty mailbox */
			continue;
		if (one.from > one.to)
			one = (struct uid_range){one.to, one.from};
		if (!(set->count & (set->count - 1)))
			set->ranges = mem_grow(
				set->ranges, set->count ? set->count * 2 : 1, sizeof(*set->ranges));
		set->ranges[set->count++] = one;
	}
	merge(set);
	return 0;
}

void uid_set_free(struct uid_set *set)
{
	free(set->ranges);
	*set = (struct uid_set){0};
}

bool uid_set_next(const struct uid_set *set, uint64_t from, uint32_t *ret)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (set->ranges[middle].to < from)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == set->count)
		return false;
	*ret = set->ranges[low].from > from ? set->ranges[low].from : (uint32_t)from;
	return true;
}

bool uid_set_has(const struct uid_set *set, uint32_t wanted)
{
	uint32_t next;

	return uid_set_next(set, wanted, &next) && next == wanted;
}

uint64_t uid_set_size(const struct uid_set *set)
{
	uint64_t size = 0;

	for (size_t i = 0; i < set->count; i++)
		size += (uint64_t)set->ranges[i].to - set->ranges[i].from + 1;
	return size;
}

int uid_list_parse(const char *text, uint32_t *out, size_t max)
{
	size_t count = 0;

	while (*text) {
		struct uid_range one;
		bool open = false;
		int64_t step;

		if (!range(&text, 0, &one, &open) || open)
			return -EINVAL;
		step = one.from <= one.to ? 1 : -1;
		for (int64_t n = one.from; n != (int64_t)one.to + step; n += step) {
			if (count == max)
				return -EINVAL;
			out[count++] = (uint32_t)n;
		}
	}
	return (int)count;
}
