#include "api/marks.h"

#include "base/buf.h"

void marks_free(struct marks *marks)
{
	free(marks->at);
	*marks = (struct marks){0};
}

void marks_add(struct marks *marks, uint32_t line, uint64_t value)
{
	const struct mark *last = marks->count ? &marks->at[marks->count - 1] : NULL;
	struct mark mark = {line, value};

	if (last && last->high >= value)
		return;
	if (marks->count == marks->room) {
		marks->room = marks->room ? marks->room * 2 : 16;
		marks->at = mem_grow(marks->at, marks->room, sizeof(*marks->at));
	}
	marks->at[marks->count++] = mark;
}

const struct mark *marks_before(const struct marks *marks, uint32_t line)
{
	size_t from = 0, to = marks->count;

	while (from < to) {
		size_t middle = (from + to) / 2;

		if (marks->at[middle].line < line)
			from = middle + 1;
		else
			to = middle;
	}
	return from ? &marks->at[from - 1] : NULL;
}

struct marks *marks_of(struct marks_table *table, uint32_t index)
{
	size_t room = table->room ? table->room : 64;

	while (room <= index)
		room *= 2;
	if (room > table->room) {
		table->at = mem_grow(table->at, room, sizeof(*table->at));
		for (; table->room < room; table->room++)
			table->at[table->room] = (struct marks){0};
	}
	return &table->at[index];
}

void marks_table_free(struct marks_table *table)
{
	for (size_t i = 0; i < table->room; i++)
		marks_free(&table->at[i]);
	free(table->at);
	*table = (struct marks_table){0};
}
