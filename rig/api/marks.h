/*
 * The highest value reported up to each line of a history: what "reported before" is asked of. Values
 * come in the order of their lines. One thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct mark {
	uint32_t line; /* that reported it */
	uint64_t high; /* the highest so far */
};

struct marks {
	struct mark *at;
	size_t count, room;
};

void marks_free(struct marks *marks);
void marks_add(struct marks *marks, uint32_t line, uint64_t value);
/* The mark that was highest before `line`, or NULL if there was none. */
const struct mark *marks_before(const struct marks *marks, uint32_t line);

/* One for each index that is asked for: of a mailbox, say. */
struct marks_table {
	struct marks *at;
	size_t room;
};

struct marks *marks_of(struct marks_table *table, uint32_t index); /* good until the next */
void marks_table_free(struct marks_table *table);
