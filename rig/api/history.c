#include "api/history.h"

#include "api/imap_trace.h"
#include "api/ledger.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/json_tape.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

#define READ_CHUNK 65536

static const char *const outcome_names[] = {
	[OUTCOME_OK] = "OK",
	[OUTCOME_NO] = "NO",
	[OUTCOME_MAYBE] = "MAYBE",
};

const char *outcome_name(enum outcome outcome)
{
	return (size_t)outcome < ARRAY_SIZE(outcome_names) ? outcome_names[outcome] : "?";
}

int outcome_from_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(outcome_names); i++)
		if (!strcmp(outcome_names[i], name))
			return (int)i;
	return -EINVAL;
}

bool op_waits_for_work(const char *op, const char *command)
{
	return strstr(op, "idle") || !strncasecmp(command, "IDLE", 4);
}

/* ---- loading ---- */

/* A line that was read: it holds until the next but one is. */
struct line {
	const char *text;
	size_t len;
	uint32_t number;
	const struct tape_value *data, *t, *ev; /* the line, its "t" and its "ev" */
};

struct loader {
	struct history *history;
	size_t room;
	uint32_t line;
	const char *name; /* for errors */
	struct tape tapes[2];
	struct line last; /* read, but not added yet; data NULL: none */
};

/* The bulk first: the ledger holds all that the laws ask of it. */
static const struct known_kind {
	const char *name;
	size_t len;
	bool bulk;
} known_kinds[EVENT_TYPES] = {
#define KIND(name, bulk)                     \
	{                                    \
		name, sizeof(name) - 1, bulk \
	}
	[EVENT_BEGIN] = KIND("begin", true),
	[EVENT_END] = KIND("end", true),
	[EVENT_ATTEMPT] = KIND("attempt", true),
	[EVENT_COPY] = KIND("copy", true),
	[EVENT_IMAP] = KIND("imap", true),
	[EVENT_SUNK] = KIND("sunk", true),
	[EVENT_QUEUED] = KIND("queued", true),
	[EVENT_BOX] = KIND("box", false),
	[EVENT_EXCUSED] = KIND("excused", false),
	[EVENT_FAULT] = KIND("fault", false),
	[EVENT_PHASE] = KIND("phase", false),
	[EVENT_READ] = KIND("read", false),
	[EVENT_RIG] = KIND("rig", false),
	[EVENT_SINK] = KIND("sink", false),
	[EVENT_UNHEARD] = KIND("unheard", false),
	[EVENT_UNLISTED] = KIND("unlisted", false),
	[EVENT_UNREADABLE] = KIND("unreadable", false),
#undef KIND
};

static enum event_type type_of(const struct tape_value *ev)
{
	for (int i = EVENT_OTHER + 1; i < EVENT_TYPES; i++)
		if (known_kinds[i].len == ev->len &&
			!memcmp(known_kinds[i].name, ev->text, ev->len))
			return (enum event_type)i;
	return EVENT_OTHER;
}

static struct event *next_event(struct loader *loader)
{
	struct history *history = loader->history;

	if (history->count == loader->room) {
		loader->room = loader->room ? loader->room * 2 : 256;
		history->events = mem_grow(history->events, loader->room, sizeof(*history->events));
	}
	return &history->events[history->count];
}

/* The line as it is kept: NULL where the ledger holds all of it that is asked for. */
static int keep_object(
	struct loader *loader, struct event *event, const struct line *line, struct err *err)
{
	json_error_t why;

	event->data = NULL;
	if (loader->history->count >= HISTORY_OBJECTS_MAX && event->bulk)
		return 0;
	event->data = json_loadb(line->text, line->len, JSON_REJECT_DUPLICATES, &why);
	if (event->data)
		return 0;
	return err_set(
		err, -EINVAL, "'%s' line %u is no JSON: %s", loader->name, line->number, why.text);
}

static int read_line(
	struct loader *loader, const char *text, size_t len, struct line *ret, struct err *err)
{
	struct tape *tape = &loader->tapes[loader->line++ % ARRAY_SIZE(loader->tapes)];
	const struct tape_value *data, *t, *ev;
	const char *why;
	size_t at;

	if (len > HISTORY_LINE_MAX)
		return err_set(err, -EFBIG, "'%s' line %u is longer than %u bytes", loader->name,
			loader->line, HISTORY_LINE_MAX);
	if (loader->line > HISTORY_EVENTS_MAX)
		return err_set(err, -EFBIG, "'%s' has more than %u events", loader->name,
			HISTORY_EVENTS_MAX);
	data = tape_read(tape, text, len, &why, &at);
	if (!data)
		return err_set(err, -EINVAL, "'%s' line %u is no JSON: %s, at byte %zu",
			loader->name, loader->line, why, at + 1);
	t = tape_get(data, "t");
	ev = tape_get(data, "ev");
	if (!t || (t->type != JSON_REAL && t->type != JSON_INTEGER) || !tape_string(ev) || !ev->len)
		return err_set(err, -EINVAL, "'%s' line %u has no \"t\" or no \"ev\"", loader->name,
			loader->line);
	*ret = (struct line){text, len, loader->line, data, t, ev};
	return 0;
}

static int add_last(struct loader *loader, struct err *err)
{
	struct history *history = loader->history;
	struct line line = loader->last;
	enum event_type type;
	struct event *event;
	int rc;

	loader->last = (struct line){0};
	if (!line.data)
		return 0;
	type = type_of(line.ev);
	event = next_event(loader);
	*event = (struct event){
		.t = line.t->type == JSON_REAL ? line.t->real : (double)line.t->integer,
		.line = line.number,
		.bulk = known_kinds[type].bulk,
		.type = (uint8_t)type,
		.kind = type ? known_kinds[type].name : ledger_kind(history->ledger, line.ev->text),
	};
	rc = keep_object(loader, event, &line, err);
	if (rc)
		return rc;
	ledger_add(history->ledger, event, line.data);
	imap_trace_add(history->trace, event, line.data);
	history->count++;
	return 0;
}

/* A line is added once the next was read: what that one will ask for comes from memory meanwhile. */
static int next_line(struct loader *loader, const char *text, size_t len, struct err *err)
{
	struct line line;
	int rc = read_line(loader, text, len, &line, err);

	if (rc)
		return rc;
	ledger_expect(loader->history->ledger, line.data);
	rc = add_last(loader, err);
	loader->last = line;
	return rc;
}

/* Whole lines of `text`; what follows the last newline stays. Returns bytes used or an error. */
static ssize_t add_lines(struct loader *loader, const char *text, size_t len, struct err *err)
{
	size_t used = 0;
	int rc;

	while (used < len) {
		const char *line = text + used, *newline = memchr(line, '\n', len - used);

		if (!newline)
			break;
		rc = next_line(loader, line, (size_t)(newline - line), err);
		if (rc)
			return rc;
		used += (size_t)(newline - line) + 1;
	}
	rc = add_last(loader, err);
	return rc ? rc : (ssize_t)used;
}

/* Most laws ask for a handful of lines of a kind or two. */
static void gather_rare(struct history *history)
{
	for (size_t i = 0; i < history->count; i++)
		history->rare_count += !history->events[i].bulk;
	history->rare = mem_zero(history->rare_count, sizeof(struct event *));
	for (size_t i = 0, n = 0; i < history->count; i++)
		if (!history->events[i].bulk)
			history->rare[n++] = &history->events[i];
}

static void finish(struct history *history)
{
	ledger_finish(history->ledger);
	gather_rare(history);
}

static struct history *history_new(void)
{
	struct history *history = mem_zero(1, sizeof(*history));

	history->ledger = ledger_new();
	history->trace = imap_trace_new(history->ledger);
	return history;
}

static void free_tapes(struct loader *loader)
{
	for (size_t i = 0; i < ARRAY_SIZE(loader->tapes); i++)
		tape_free(&loader->tapes[i]);
}

static int load_fd(struct loader *loader, int fd, struct err *err)
{
	auto_buf struct buf pending = {0};

	for (;;) {
		ssize_t n = read(fd, buf_reserve(&pending, READ_CHUNK), READ_CHUNK), used;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "cannot read '%s'", loader->name);
		/* A worker that was killed leaves half a line at the end: that line never was. */
		if (n == 0)
			return 0;
		pending.len += (size_t)n;
		used = add_lines(loader, pending.data, pending.len, err);
		if (used < 0)
			return (int)used;
		buf_consume(&pending, (size_t)used);
		if (pending.len > HISTORY_LINE_MAX)
			return err_set(err, -EFBIG, "'%s' line %u is longer than %u bytes",
				loader->name, loader->line + 1, HISTORY_LINE_MAX);
	}
}

int history_load(const char *path, struct history **ret, struct err *err)
{
	struct loader loader = {.history = history_new(), .name = path};
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 ? err_sys(err, errno, "cannot open '%s'", path) : load_fd(&loader, fd, err);

	free_tapes(&loader);
	if (rc) {
		history_free(loader.history);
		return rc;
	}
	finish(loader.history);
	*ret = loader.history;
	return 0;
}

struct history *history_from_lines(const char *text, struct err *err)
{
	struct loader loader = {.history = history_new(), .name = "history"};
	size_t len = strlen(text);
	ssize_t used = add_lines(&loader, text, len, err);
	int rc = used < 0 ? (int)used : 0;

	if (!rc && (size_t)used < len)
		rc = next_line(&loader, text + used, len - (size_t)used, err);
	if (!rc)
		rc = add_last(&loader, err);
	free_tapes(&loader);
	if (rc) {
		history_free(loader.history);
		return NULL;
	}
	finish(loader.history);
	return loader.history;
}

void history_free(struct history *history)
{
	if (!history)
		return;
	for (size_t i = 0; i < history->count; i++)
		json_decref(history->events[i].data);
	free(history->rare);
	free(history->events);
	imap_trace_free(history->trace);
	ledger_free(history->ledger);
	free(history);
}

bool history_reached_end(const struct history *history)
{
	return history->ledger->ended;
}

uint32_t history_first_trouble(const struct history *history)
{
	return history->ledger->first_trouble_line;
}

/* ---- recording ---- */

struct recorder {
	pthread_mutex_t lock;
	int fd;
	char *path;
	cell_clock_fn clock;
	void *arg;
	uint32_t lines;
	uint64_t ids;
	struct err failure; /* the first */
	int failed;
};

int recorder_open(
	struct recorder **ret, const char *path, cell_clock_fn clock, void *arg, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
	struct recorder *recorder;

	if (fd < 0)
		return err_sys(err, errno, "cannot make '%s'", path);
	recorder = mem_zero(1, sizeof(*recorder));
	*recorder = (struct recorder){.fd = fd, .path = text_dup(path), .clock = clock, .arg = arg};
	pthread_mutex_init(&recorder->lock, NULL);
	*ret = recorder;
	return 0;
}

int recorder_close(struct recorder *recorder, struct err *err)
{
	int rc;

	if (!recorder)
		return 0;
	if (fdatasync(recorder->fd) && errno != EINVAL && errno != EROFS && !recorder->failed)
		recorder->failed =
			err_sys(&recorder->failure, errno, "cannot flush '%s'", recorder->path);
	rc = recorder->failed;
	if (rc && err)
		*err = recorder->failure;
	close(recorder->fd);
	pthread_mutex_destroy(&recorder->lock);
	free(recorder->path);
	free(recorder);
	return rc;
}

/* Lock held. A short write is completed: nobody else appends to this file. */
static void write_line(struct recorder *recorder, const char *bytes, size_t len)
{
	while (len && !recorder->failed) {
		ssize_t n = write(recorder->fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			recorder->failed = err_sys(
				&recorder->failure, errno, "cannot write '%s'", recorder->path);
			return;
		}
		bytes += n;
		len -= (size_t)n;
	}
}

/* "t" and "ev" first, then the keys of `object`, as one text with its newline. */
static char *line_text(double t, const char *kind, json_t *object)
{
	json_t *line = json_pack("{sf ss}", "t", t, "ev", kind);
	char *text;

	if (!line || json_object_update_missing(line, object))
		abort();
	text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(15));
	json_decref(line);
	if (!text)
		abort();
	return text;
}

/* What cannot be recorded is rig trouble, in the place where the line would have stood. */
static char *trouble_text(double t, const char *kind, const char *why)
{
	json_t *object = json_object();
	auto_free char *text = text_fmt("a '%s' line cannot be recorded: %s", kind, why);
	char *line;

	json_object_set_new(object, "trouble", json_string("history"));
	json_object_set_new(object, "text", json_text(text));
	line = line_text(t, "rig", object);
	json_decref(object);
	return line;
}

static uint32_t record(struct recorder *recorder, int64_t cell_ns, const char *kind, json_t *object,
	const char *why)
{
	double t = (double)(cell_ns / 1000) / 1e6; /* whole microseconds */
	char *text =
		json_is_object(object) ? line_text(t, kind, object) : trouble_text(t, kind, why);
	size_t len = strlen(text);
	uint32_t line;

	json_decref(object);
	if (len >= HISTORY_LINE_MAX) {
		free(text);
		text = trouble_text(t, kind, "it is too long");
		len = strlen(text);
	}
	text[len] = '\n'; /* where the NUL stood: the line goes out in one write */
	pthread_mutex_lock(&recorder->lock);
	write_line(recorder, text, len + 1);
	line = ++recorder->lines;
	pthread_mutex_unlock(&recorder->lock);
	free(text);
	return line;
}

uint32_t history_add(struct recorder *recorder, const char *kind, const char *fmt, ...)
{
	json_error_t why = {0};
	json_t *object;
	va_list ap;

	va_start(ap, fmt);
	object = json_vpack_ex(&why, 0, fmt, ap);
	va_end(ap);
	return record(recorder, recorder->clock(recorder->arg), kind, object, why.text);
}

uint32_t history_add_at(
	struct recorder *recorder, int64_t cell_ns, const char *kind, json_t *object)
{
	return record(recorder, cell_ns, kind, object, "it is no object");
}

uint64_t history_new_id(struct recorder *recorder)
{
	uint64_t id;

	pthread_mutex_lock(&recorder->lock);
	id = ++recorder->ids;
	pthread_mutex_unlock(&recorder->lock);
	return id;
}
