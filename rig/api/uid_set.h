/*
 * A set of message numbers or UIDs as IMAP writes it ("3,5:7,9:*", RFC 9051, 9: sequence-set), parsed
 * into sorted ranges. Owned by its user. Hostile text: what is no set gives an error, long ones are
 * bounded.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UID_SET_RANGES_MAX 16384

struct uid_range {
	uint32_t from, to; /* from <= to, none is 0 */
};

struct uid_set {
	struct uid_range *ranges; /* ascending, not overlapping */
	size_t count;
	bool open; /* `*` stands in it */
};

/* `last` is what `*` means; 0: nothing. 0, or -EINVAL (the set is then empty). */
int uid_set_parse(struct uid_set *set, const char *text, uint32_t last);
void uid_set_free(struct uid_set *set);
bool uid_set_has(const struct uid_set *set, uint32_t number);
uint64_t uid_set_size(const struct uid_set *set); /* numbers in it */
/* The lowest number in it that is not below `from`; false: none is. */
bool uid_set_next(const struct uid_set *set, uint64_t from, uint32_t *ret);

/*
 * The numbers of a set in the order in which it is written, as COPYUID pairs them (RFC 4315, 3).
 * At the most `max` of them; their count, or -EINVAL if it is no set, has a `*`, or has more.
 */
int uid_list_parse(const char *text, uint32_t *out, size_t max);
