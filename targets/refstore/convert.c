#include "convert.h"

#include "settings.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX    4096u
#define NAME_LEN_MAX 128u
#define WHOLE_LINE   UINT32_MAX /* instead of a name's number: the text is the whole field */

static struct {
	pthread_mutex_t names_lock, scratch_lock;
	char *names[NAMES_MAX];
	uint32_t count;
	struct bytes scratch;
	pthread_mutex_t slots_lock;
	pthread_cond_t slot_free;
	int converting;
	_Atomic unsigned int waiting; /* told to whoever asks, whoever holds the locks */
} convert = {
	.names_lock = PTHREAD_MUTEX_INITIALIZER,
	.scratch_lock = PTHREAD_MUTEX_INITIALIZER,
	.slots_lock = PTHREAD_MUTEX_INITIALIZER,
	.slot_free = PTHREAD_COND_INITIALIZER,
};

/* ---- conversion threads ---- */

static void enter(void)
{
	convert.waiting++;
	pthread_mutex_lock(&convert.slots_lock);
	while (convert.converting >= setting(SET_CONVERSION_THREADS))
		pthread_cond_wait(&convert.slot_free, &convert.slots_lock);
	convert.converting++;
	pthread_mutex_unlock(&convert.slots_lock);
}

static void leave(void)
{
	pthread_mutex_lock(&convert.slots_lock);
	convert.converting--;
	pthread_cond_signal(&convert.slot_free);
	pthread_mutex_unlock(&convert.slots_lock);
}

/* ---- names ---- */

static void record_name(struct record *record, uint32_t number)
{
	record_u32(record, 'N');
	record_u32(record, number);
	record_text(record, convert.names[number]);
}

/* With names_lock held: the number of the name, a new one if need be, or WHOLE_LINE. */
static uint32_t number_of(const char *name, size_t len)
{
	struct record record = {0};

	for (uint32_t i = 0; i < convert.count; i++)
		if (!strncmp(convert.names[i], name, len) && !convert.names[i][len])
			return i;
	if (convert.count == NAMES_MAX || len > NAME_LEN_MAX || memchr(name, '\0', len))
		return WHOLE_LINE;
	convert.names[convert.count] = strndup(name, len);
	if (!convert.names[convert.count])
		abort();
	record_name(&record, convert.count);
	wal_append(&record);
	bytes_free(&record.bytes);
	return convert.count++;
}

void convert_apply_name(struct fields *fields)
{
	uint32_t number = field_u32(fields);
	const char *name = field_text(fields);

	if (fields->bad || number > convert.count || number >= NAMES_MAX)
		return;
	free(convert.names[number]);
	convert.names[number] = must_copy(name);
	convert.count += number == convert.count;
}

void convert_dump_names(struct bytes *out)
{
	pthread_mutex_lock(&convert.names_lock);
	for (uint32_t i = 0; i < convert.count; i++) {
		struct record record = {0};

		record_name(&record, i);
		record_frame(&record, out);
		bytes_free(&record.bytes);
	}
	pthread_mutex_unlock(&convert.names_lock);
}

/* ---- internet format to store format ---- */

static void put_u32(struct bytes *out, uint32_t value)
{
	bytes_add(out, &value, sizeof(value));
}

/* The length of a field with its folded lines; 0: the header ends here. */
static size_t field_length(const char *at, const char *end)
{
	const char *p = at;

	if (p < end && (*p == '\r' || *p == '\n'))
		return 0;
	do {
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			return 0;
		p++;
	} while (p < end && (*p == ' ' || *p == '\t'));
	return (size_t)(p - at);
}

static void encode_field(const char *field, size_t len, struct bytes *out)
{
	const char *colon = memchr(field, ':', len);
	size_t name_len = colon ? (size_t)(colon - field) : 0;
	uint32_t number = colon ? number_of(field, name_len) : WHOLE_LINE;

	if (number == WHOLE_LINE)
		name_len = 0;
	put_u32(out, number);
	put_u32(out, (uint32_t)(len - name_len));
	bytes_add(out, field + name_len, len - name_len);
}

static void encode(const char *mail, size_t len, struct bytes *out)
{
	const char *at = mail, *end = mail + len;
	size_t part;

	while (at < end && (part = field_length(at, end))) {
		encode_field(at, part, out);
		at += part;
	}
	put_u32(out, WHOLE_LINE);
	put_u32(out, (uint32_t)(end - at));
	bytes_add(out, at, (size_t)(end - at));
}

static void take_scratch(struct bytes *ret)
{
	bytes_add(ret, convert.scratch.data, convert.scratch.len);
	convert.scratch.len = 0;
}

/* The names for the whole message, then the scratch buffer. */
void convert_in(const char *mail, size_t len, struct bytes *ret_stored)
{
	enter();
	pthread_mutex_lock(&convert.names_lock);
	mark("refstore/convert/in");
	pthread_mutex_lock(&convert.scratch_lock);
	convert.waiting--;
	encode(mail, len, &convert.scratch);
	take_scratch(ret_stored);
	pthread_mutex_unlock(&convert.scratch_lock);
	pthread_mutex_unlock(&convert.names_lock);
	leave();
}

/* ---- store format to internet format ---- */

static void decode(const char *stored, size_t len, struct bytes *out)
{
	struct fields fields = {stored, stored + len, false};

	while (fields.at < fields.end && !fields.bad) {
		uint32_t number = field_u32(&fields);
		size_t part;
		const char *text = field_blob(&fields, &part);

		if (number < convert.count)
			bytes_addf(out, "%s", convert.names[number]);
		bytes_add(out, text, part);
	}
}

/* As shipped this way takes the scratch buffer first, and the names only once it has it. */
void convert_out(const char *stored, size_t len, struct bytes *ret_mail)
{
	bool shipped = setting(SET_F2);
	pthread_mutex_t *first = shipped ? &convert.scratch_lock : &convert.names_lock;
	pthread_mutex_t *second = shipped ? &convert.names_lock : &convert.scratch_lock;

	enter();
	pthread_mutex_lock(first);
	mark("refstore/convert/out");
	pthread_mutex_lock(second);
	convert.waiting--;
	decode(stored, len, &convert.scratch);
	take_scratch(ret_mail);
	pthread_mutex_unlock(second);
	pthread_mutex_unlock(first);
	leave();
}

unsigned int conversions_waiting(void)
{
	return convert.waiting;
}
