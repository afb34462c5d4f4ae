#include "base/units.h"

#include "base/buf.h"
#include "base/clock.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX	18 /* so that every number read fits 63 bits */
#define WORD_MAX	64 /* longer words are never a misspelling of a name */
#define BEGINNING_MIN	3  /* letters from which on a beginning names something */
#define SHOW_MAX	80 /* how much of a wrong value is repeated in the sentence */
#define DURATION_MAX_MS (INT64_MAX / NS_PER_MS) /* fits nanoseconds too */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit durations[] = {
	{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit sizes[] = {
	{"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};
static const struct unit rates[] = {{"/s", 1}, {"/min", 60}, {"/h", 3600}, {NULL, 0}};

/* What one kind of quantity is called and how it is said right. */
struct kind {
	const char *noun;
	const struct unit *units;
	const char *usual; /* the unit to propose for a bare number */
	const char *example;
};

static const struct kind kind_duration = {"duration", durations, "s", "3s, 250ms or 10min"};
static const struct kind kind_size = {"size", sizes, "KiB", "64KiB or 256MiB"};
static const struct kind kind_rate = {"rate", rates, "/s", "10/s or 30/min"};

/* "for: 3", or "3" without a subject; bounded and printable. Caller frees. */
static char *subject(const char *what, const char *text)
{
	struct buf buf = {0};
	size_t len = strlen(text);

	if (what)
		buf_addf(&buf, "%s: ", what);
	buf_add_escaped(&buf, text, len < SHOW_MAX ? len : SHOW_MAX);
	if (len > SHOW_MAX)
		buf_add_str(&buf, "...");
	return buf_steal(&buf);
}

static size_t digits_of(const char *text)
{
	size_t n = 0;

	while (text[n] >= '0' && text[n] <= '9')
		n++;
	return n;
}

static const struct unit *find_unit(const struct unit *units, const char *name)
{
	for (const struct unit *u = units; u->name; u++)
		if (!strcmp(u->name, name))
			return u;
	return NULL;
}

static int refuse_unit(const struct kind *kind, const char *said, const char *unit, struct err *err)
{
	auto_free char *shown = subject(NULL, unit);
	auto_buf struct buf names = {0};

	for (const struct unit *u = kind->units; u->name; u++)
		buf_addf(&names, " %s", u->name);
	return err_set(err, -EINVAL, "'%s' has the unknown unit '%s'; there are:%s", said, shown,
		names.data);
}

/* Number and unit apart: 0, or -EINVAL with the way to say it. */
static int split_quantity(const struct kind *kind, const char *what, const char *text,
	uint64_t *ret_number, const struct unit **ret_unit, struct err *err)
{
	auto_free char *said = subject(what, text);
	size_t n = digits_of(text);
	const struct unit *unit;

	if (!n)
		return err_set(
			err, -EINVAL, "'%s' is no %s; say %s", said, kind->noun, kind->example);
	if (n > DIGITS_MAX)
		return err_set(err, -EINVAL, "'%s' is too large", said);
	if (n > 1 && text[0] == '0')
		return err_set(err, -EINVAL, "'%s' has a leading zero; leave it out", said);
	if (!text[n])
		return err_set(err, -EINVAL, "'%s' has no unit; say %s%s", said, text, kind->usual);
	if (text[n] == '.')
		return err_set(err, -EINVAL, "'%s' is no whole number; take a smaller unit", said);
	unit = find_unit(kind->units, text + n);
	if (!unit)
		return refuse_unit(kind, said, text + n, err);
	*ret_number = strtoull(text, NULL, 10);
	*ret_unit = unit;
	return 0;
}

static int scaled(const struct kind *kind, const char *what, const char *text, uint64_t max,
	uint64_t *ret, struct err *err)
{
	const struct unit *unit = NULL;
	uint64_t number = 0;
	int rc = split_quantity(kind, what, text, &number, &unit, err);

	if (rc)
		return rc;
	if (number > max / unit->factor) {
		auto_free char *said = subject(what, text);

		return err_set(err, -EINVAL, "'%s' is too large", said);
	}
	*ret = number * unit->factor;
	return 0;
}

int parse_duration_ms(const char *what, const char *text, int64_t *ret_ms, struct err *err)
{
	uint64_t ms = 0;
	int rc = scaled(&kind_duration, what, text, (uint64_t)DURATION_MAX_MS, &ms, err);

	if (!rc)
		*ret_ms = (int64_t)ms;
	return rc;
}

int parse_size_bytes(const char *what, const char *text, uint64_t *ret_bytes, struct err *err)
{
	return scaled(&kind_size, what, text, INT64_MAX, ret_bytes, err);
}

int parse_rate(const char *what, const char *text, double *ret_per_s, struct err *err)
{
	const struct unit *unit = NULL;
	uint64_t number = 0;
	int rc = split_quantity(&kind_rate, what, text, &number, &unit, err);

	if (rc)
		return rc;
	if (!number) {
		auto_free char *said = subject(what, text);

		return err_set(err, -EINVAL, "'%s' would be never; say 1/min or more", said);
	}
	*ret_per_s = (double)number / (double)unit->factor;
	return 0;
}

int parse_percent(const char *what, const char *text, double *ret_ratio, struct err *err)
{
	auto_free char *said = subject(what, text);
	size_t whole = digits_of(text), end = whole;
	double value;

	if (text[end] == '.')
		end += 1 + digits_of(text + end + 1);
	if (!whole || text[end - 1] == '.' || (text[end] && strcmp(text + end, "%") != 0))
		return err_set(err, -EINVAL, "'%s' is no percentage; say 1%% or 0.5%%", said);
	if (whole > 1 && text[0] == '0')
		return err_set(err, -EINVAL, "'%s' has a leading zero; leave it out", said);
	if (!text[end])
		return err_set(err, -EINVAL, "'%s' has no unit; say %.*s%%", said, SHOW_MAX, text);
	value = strtod(text, NULL);
	if (value > 100)
		return err_set(err, -EINVAL, "'%s' is more than 100%%", said);
	*ret_ratio = value / 100;
	return 0;
}

int parse_count(const char *what, const char *text, uint64_t max, uint64_t *ret, struct err *err)
{
	auto_free char *said = subject(what, text);
	size_t n = digits_of(text);
	uint64_t value;

	if (!n)
		return err_set(err, -EINVAL, "'%s' is no count; say a bare number", said);
	if (text[n]) {
		auto_free char *unit = subject(NULL, text + n);

		return err_set(err, -EINVAL, "'%s' is a count and takes no '%s'; say %.*s", said,
			unit, (int)(n < SHOW_MAX ? n : SHOW_MAX), text);
	}
	if (n > 1 && text[0] == '0')
		return err_set(err, -EINVAL, "'%s' has a leading zero; leave it out", said);
	value = n > DIGITS_MAX ? UINT64_MAX : strtoull(text, NULL, 10);
	if (value > max)
		return err_set(
			err, -EINVAL, "'%s' is more than %llu", said, (unsigned long long)max);
	*ret = value;
	return 0;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Edit distance with swapped neighbours as one edit (optimal string alignment): 'nht' is 1 from
 * 'nth'. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= b_len; j++)
		last[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *spare = before;

		now[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t swap = last[j - 1] + (a[i - 1] != b[j - 1]);

			now[j] = least(swap, least(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = least(now[j], before[j - 2] + 1);
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[b_len];
}

/* The first of `names` that begins with `word`. */
static const char *longer_name(const char *word, size_t len, const char *const *names)
{
	for (; *names; names++)
		if (!strncmp(*names, word, len))
			return *names;
	return NULL;
}

const char *nearest_name(const char *word, const char *const *names)
{
	const char *best = NULL;
	size_t len = strlen(word), best_d = SIZE_MAX;

	if (!len || len > WORD_MAX)
		return NULL;
	for (const char *const *at = names; *at; at++) {
		size_t name_len = strlen(*at), d;

		if (name_len > WORD_MAX)
			continue;
		d = distance(word, len, *at, name_len);
		/* Near: one edit for every three letters, at least one, and never the whole word.
		 */
		if (d < best_d && d <= (len < 6 ? 1 : len / 3) && d < least(len, name_len)) {
			best = *at;
			best_d = d;
		}
	}
	return best || len < BEGINNING_MIN ? best : longer_name(word, len, names);
}
