#include "run/cell/cell_trace.h"

#include <string.h>

#define TOLD_MAX       128   /* responses in one line */
#define TOLD_BYTES_MAX 65536 /* of their texts in one line */

static void record(struct tracer *tracer, int64_t at_ns, json_t *line)
{
	json_object_set_new(line, "s", json_integer((json_int_t)tracer->number));
	history_add_at(tracer->cell->recorder, at_ns, "imap", line);
}

void tracer_flush(struct tracer *tracer)
{
	if (!tracer->told)
		return;
	record(tracer, tracer->told_ns, json_pack("{so}", "told", tracer->told));
	tracer->told = NULL;
	tracer->told_bytes = 0;
}

/* The command as sent, but for a password. */
static void on_sent(void *arg, const char *tag, const char *command, const struct message *message)
{
	struct tracer *tracer = arg;
	json_t *line = json_pack("{ss}", "sent", tag);

	tracer_flush(tracer);
	if (message) {
		json_object_set_new(line, "token", json_string(message->token));
		json_object_set_new(line, "sha256", json_string(message->body_sha256));
		json_object_set_new(line, "bytes", json_integer((json_int_t)message->text.len));
	} else {
		json_object_set_new(line, "command", json_text(command));
	}
	record(tracer, cell_now(tracer->cell), line);
}

static void put_number(json_t *object, const char *key, uint64_t number)
{
	if (number)
		json_object_set_new(object, key, json_integer((json_int_t)number));
}

static json_t *fetch(const struct imap_event *event)
{
	json_t *object = json_pack("{sI}", "fetch", (json_int_t)event->number);

	put_number(object, "uid", event->uid);
	put_number(object, "modseq", event->modseq);
	put_number(object, "size", event->size);
	if (event->flags)
		json_object_set_new(object, "flags", json_text(event->flags));
	if (event->section[0])
		json_object_set_new(object, "section", json_text(event->section));
	if (event->nil_body)
		json_object_set_new(object, "nil", json_true());
	if (event->body) {
		json_object_set_new(object, "token", json_text(event->body->token));
		json_object_set_new(object, "sha256", json_string(event->body->body_sha256));
		put_number(object, "bytes", event->body->size_bytes);
		json_object_set_new(object, "whole", json_boolean(event->body->whole));
	}
	return object;
}

static json_t *status(const struct imap_event *event)
{
	json_t *object = json_pack("{so}", "status", json_text(event->name ? event->name : ""));

	json_object_set_new(object, "messages", json_integer(event->messages));
	put_number(object, "uidnext", event->uidnext);
	put_number(object, "uidvalidity", event->uidvalidity);
	put_number(object, "highestmodseq", event->modseq);
	return object;
}

/* What stands in brackets: "OK [UIDNEXT 5] predicted". */
static json_t *code(const struct imap_event *event)
{
	const char *from = strchr(event->text, '['), *to = from ? strchr(from, ']') : NULL;

	if (!to)
		return json_pack("{sb}", "lost", 1);
	return json_pack("{so}", "code", json_text_n(from + 1, (size_t)(to - from) - 1));
}

static json_t *vanished(const struct imap_event *event)
{
	json_t *object;

	if (!event->set)
		return json_pack("{sb}", "lost", 1);
	object = json_pack("{so}", "vanished", json_text(event->set));
	if (event->earlier)
		json_object_set_new(object, "earlier", json_true());
	return object;
}

/* NULL for what no law asks about. */
static json_t *told(const struct imap_event *event)
{
	switch (event->kind) {
	case IMAP_EXISTS:
		return json_pack("{sI}", "exists", (json_int_t)event->number);
	case IMAP_EXPUNGE:
		return json_pack("{sI}", "expunge", (json_int_t)event->number);
	case IMAP_VANISHED:
		return vanished(event);
	case IMAP_FETCH:
		return fetch(event);
	case IMAP_STATUS:
		return status(event);
	case IMAP_CODE:
		return code(event);
	case IMAP_BYE:
		return json_pack("{so}", "bye", json_text(event->text));
	case IMAP_CAPABILITY:
		return json_pack("{so}", "capability", json_text(event->text));
	case IMAP_OTHER:
		if (!strncasecmp(event->text, "ENABLED", 7))
			return json_pack("{so}", "enabled", json_text(event->text + 7));
		return NULL;
	default:
		return NULL;
	}
}

static void on_told(void *arg, const struct imap_event *event)
{
	struct tracer *tracer = arg;
	json_t *object = told(event);

	if (!object)
		return;
	if (!tracer->told)
		tracer->told = json_array();
	json_array_append_new(tracer->told, object);
	tracer->told_ns = event->at_ns;
	tracer->told_bytes += (event->set ? strlen(event->set) : 0) +
			      (event->flags ? strlen(event->flags) : 0) + strlen(event->text);
	if (json_array_size(tracer->told) >= TOLD_MAX || tracer->told_bytes >= TOLD_BYTES_MAX)
		tracer_flush(tracer);
}

static void on_done(void *arg, const char *tag, const struct imap_reply *reply)
{
	struct tracer *tracer = arg;
	const char *word = reply->outcome == MAIL_OK ? "OK" : reply->bad ? "BAD" : "NO";
	json_t *line = json_pack("{so ss so}", "done", json_text(tag), "status", word, "text",
		json_text(reply->text));

	tracer_flush(tracer);
	if (reply->code[0])
		json_object_set_new(line, "code", json_text(reply->code));
	record(tracer, reply->reply_ns, line);
}

static const char *why(int rc)
{
	switch (rc) {
	case 0:
		return "client";
	case -ECANCELED:
		return "rig";
	case -ECONNABORTED:
		return "broken-off";
	case -ETIMEDOUT:
		return "gave-up";
	case -EPROTO:
	case -EMSGSIZE:
		return "garbage";
	default:
		return "store";
	}
}

static void on_over(void *arg, int rc)
{
	struct tracer *tracer = arg;

	tracer_flush(tracer);
	if (tracer->number)
		record(tracer, cell_now(tracer->cell),
			json_pack("{ss so}", "closed", why(rc), "text",
				json_text(rc ? strerror(-rc) : "")));
	tracer->number = 0;
}

void tracer_open(struct tracer *tracer, struct cell *cell, struct imap *imap, const char *who,
	const char *user)
{
	*tracer = (struct tracer){
		.cell = cell,
		.number = history_new_id(cell->recorder),
		.watch = {on_sent, on_told, on_done, on_over, tracer},
	};
	record(tracer, cell_now(cell), json_pack("{s{ss ss}}", "open", "who", who, "user", user));
	imap->watch = &tracer->watch;
}
