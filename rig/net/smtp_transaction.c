#include "net/smtp_priv.h"

#include <string.h>

struct transaction *transaction_new(struct line from)
{
	struct transaction *t = mem_zero(1, sizeof(*t));
	char text[DIALOGUE_ADDRESS_MAX + 1];

	line_copy(from, text, sizeof(text));
	t->from = text_dup(text);
	return t;
}

void transaction_free(struct transaction *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		free(t->recipients[i].address);
	free(t->recipients);
	free(t->from);
	body_end(&t->body);
	free(t);
}

size_t transaction_add(struct transaction *t, struct line address)
{
	char text[DIALOGUE_ADDRESS_MAX + 1];

	if (t->count == DIALOGUE_RECIPIENTS_MAX) {
		t->more++;
		return SIZE_MAX;
	}
	if (t->count == t->size) {
		t->size = t->size ? t->size * 2 : 4;
		t->recipients = mem_grow(t->recipients, t->size, sizeof(*t->recipients));
	}
	line_copy(address, text, sizeof(text));
	t->recipients[t->count] = (struct dialogue_recipient){.address = text_dup(text)};
	return t->count++;
}

/* A client that had closed its end, by its own time limit or because it was killed, has not heard this reply: as if
 * none had come. One that only half-closed may have; then the answer is as cautious as it is wrong. */
static bool unheard(const struct dialogue *d, const struct dialogue_recipient *to)
{
	return to->code && d->client_ended && to->reply_ns >= d->client_ended_ns;
}

static enum dialogue_result result_of(
	const struct dialogue *d, const struct transaction *t, const struct dialogue_recipient *to)
{
	if (t->unknown)
		return ATTEMPT_UNKNOWN;
	if (!t->dot || to->rcpt_code >= 400)
		return ATTEMPT_NOT_SENT;
	if (unheard(d, to))
		return ATTEMPT_NONE;
	switch (to->code / 100) {
	case 0:
		return ATTEMPT_NONE;
	case 2:
		return ATTEMPT_2YZ;
	case 4:
		return ATTEMPT_4YZ;
	case 5:
		return ATTEMPT_5YZ;
	default:
		return ATTEMPT_UNKNOWN;
	}
}

struct dialogue_message transaction_message(const struct transaction *t)
{
	struct dialogue_message message = {
		.from_side = FLOW_CLIENT,
		.from = t->from,
		.to = t->recipients,
		.to_count = t->count,
		.to_more = t->more,
		.bytes = t->body.bytes,
		.complete = t->dot && !t->body.gap,
		.token = t->body.token,
		.first_ns = t->first_ns,
		.dot_ns = t->dot_ns,
		.code = t->code,
		.reply_ns = t->reply_ns,
	};

	strcpy(message.sha256, t->sha256);
	return message;
}

static void tell_attempt(struct dialogue *d, const struct transaction *t,
	const struct dialogue_recipient *to, int64_t ns)
{
	bool sent = t->dot && to->rcpt_code < 400;
	struct attempt attempt = {
		.conn = d->conn,
		.protocol = d->protocol,
		.client = d->client,
		.server = d->server,
		.token = t->body.token,
		.from = t->from,
		.to = to->address,
		.result = to->result,
		.rcpt_code = to->rcpt_code,
		.code = sent	 ? to->code
			: t->dot ? 0
				 : t->code,
		.dot_ns = sent ? t->dot_ns : 0,
		.reply_ns = sent     ? to->reply_ns
			    : t->dot ? 0
				     : t->reply_ns,
	};
	struct dialogue_event event = {
		.kind = DIALOGUE_ATTEMPT,
		.ns = ns,
		.from = FLOW_SERVER,
		.unknown = t->unknown,
		.attempt = &attempt,
	};

	dialogue_tell(d, &event);
}

void transaction_over(struct dialogue *d, struct transaction *t, int64_t ns)
{
	struct dialogue_message message;
	struct dialogue_event event = {
		.kind = DIALOGUE_RESULT,
		.ns = ns,
		.from = FLOW_SERVER,
		.message = &message,
	};

	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		t->recipients[i].result = result_of(d, t, &t->recipients[i]);
	message = transaction_message(t);
	event.unknown = t->unknown;
	event.code = t->code;
	if (t->began)
		dialogue_tell(d, &event);
	for (size_t i = 0; i < t->count; i++)
		tell_attempt(d, t, &t->recipients[i], ns);
	transaction_free(t);
}
