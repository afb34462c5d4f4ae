#include "net/smtp_priv.h"

#include <string.h>

static void tell_reply(
	struct dialogue *d, const struct pending *pending, int code, const char *moment, int64_t ns)
{
	struct smtp *smtp = d->state;
	struct dialogue_message message;
	struct dialogue_event event = {
		.kind = DIALOGUE_REPLY,
		.ns = ns,
		.moment = moment,
		.from = FLOW_SERVER,
		.unknown = d->uncertain,
		.code = code,
		.text = smtp->text,
	};

	if (pending) {
		pending_event(pending, &event);
		if (pending->over && pending->over->dot) {
			message = transaction_message(pending->over);
			event.message = &message;
		}
	}
	dialogue_tell(d, &event);
}

/* Nothing was asked. If part of the text is missing, the dot was there too; and who accepts the text has taken for
 * the dot what is none by the standard (bare LF or CR around it). */
static void on_unasked(struct dialogue *d, int code, int64_t ns)
{
	struct smtp *smtp = d->state;
	bool in_content = smtp->mode == MODE_TEXT || smtp->mode == MODE_CHUNK;

	tell_reply(d, NULL, code, NULL, ns);
	if (smtp->data_waits &&
		code == 354) { /* only DATA gets that: replies and commands meet again */
		smtp->data_waits = false;
		d->uncertain = false;
		smtp_begin_text(d);
		smtp->now->unknown = true;
	} else if (smtp->mode == MODE_TEXT && (smtp->now->body.gap || code / 100 == 2)) {
		d->uncertain = true;
		smtp->last_was_last = false;
		smtp->mode = MODE_COMMAND;
		smtp->now->unknown = true;
		transaction_over(d, smtp->now, ns);
		smtp->now = NULL;
	} else if (in_content) { /* refused before its end */
		smtp->now->code = code;
		smtp->now->reply_ns = ns;
	}
}

static void set_code(struct dialogue_recipient *to, int code, int64_t ns)
{
	to->code = code;
	to->reply_ns = ns;
}

/* LMTP answers once for each accepted recipient (RFC 2033 4.2), SMTP once for all. */
static void on_final(struct dialogue *d, struct pending *pending, int code, int64_t ns)
{
	struct transaction *t = pending->over;
	bool lmtp = d->protocol == DIALOGUE_PROTOCOL_LMTP;

	t->code = code;
	t->reply_ns = ns;
	t->answered++;
	for (; t->next < t->count; t->next++) {
		struct dialogue_recipient *to = &t->recipients[t->next];

		if (to->rcpt_code >= 400)
			continue;
		set_code(to, code, ns);
		if (lmtp) {
			t->next++;
			break;
		}
	}
	tell_reply(d, pending, code, smtp_moment(d, M_REPLY), ns);
	if (lmtp && t->answered < t->accepted)
		return;
	pending_remove(d, pending);
	transaction_over(d, t, ns);
}

static void on_rcpt(struct pending *pending, int code)
{
	struct transaction *t = pending->transaction;

	if (!t)
		return;
	if (code / 100 == 2)
		t->accepted++;
	if (pending->recipient < t->count)
		t->recipients[pending->recipient].rcpt_code = code;
}

static void on_data(struct dialogue *d, const struct pending *pending, int code, int64_t ns)
{
	struct smtp *smtp = d->state;

	d->hold = false;
	if (code / 100 == 3) {
		tell_reply(d, pending, code, smtp_moment(d, M_DATA), ns);
		smtp_begin_text(d);
		return;
	}
	tell_reply(d, pending, code, NULL, ns);
	if (smtp->now) {
		smtp->now->code = code;
		smtp->now->reply_ns = ns;
	}
}

/* Part of the content was refused before its end was seen. */
static void on_chunk(struct pending *pending, int code, int64_t ns)
{
	if (pending->transaction && code / 100 != 2) {
		pending->transaction->code = code;
		pending->transaction->reply_ns = ns;
	}
}

static void on_starttls(struct dialogue *d, int code, int64_t ns)
{
	struct smtp *smtp = d->state;

	d->hold = false;
	if (code / 100 != 2)
		return;
	transaction_over(d, smtp->now, ns);
	smtp->now = NULL;
	dialogue_tls(d, ns);
}

static void on_auth(struct dialogue *d, struct pending *pending, int code)
{
	struct smtp *smtp = d->state;

	d->hold = false;
	if (code / 100 == 3) {
		smtp->mode = MODE_AUTH;
		pending->owed_ns = 0;
	}
}

static void on_asked(struct dialogue *d, struct pending *pending, int code, int64_t ns)
{
	enum command command = (enum command)pending->command;
	struct transaction *over = pending->over;

	if (over && over->dot && (command == DOT || command == BDAT_LAST)) {
		on_final(d, pending, code, ns);
		return;
	}
	if (command == DATA)
		on_data(d, pending, code, ns);
	else
		tell_reply(d, pending, code, NULL, ns);
	if (command == RCPT)
		on_rcpt(pending, code);
	else if (command == BDAT || command == BDAT_LAST)
		on_chunk(pending, code, ns);
	else if (command == AUTH)
		on_auth(d, pending, code);
	if (command == AUTH && code / 100 == 3)
		return;
	pending_remove(d, pending);
	transaction_over(d, over, ns);
	if (command == STARTTLS)
		on_starttls(d, code, ns);
}

static bool parse_code(struct line line, int *ret_code, bool *ret_more)
{
	int code = 0;

	if (line.len < 3 || (line.len > 3 && line.text[3] != ' ' && line.text[3] != '-'))
		return false;
	for (int i = 0; i < 3; i++) {
		if (line.text[i] < '0' || line.text[i] > '9')
			return false;
		code = code * 10 + line.text[i] - '0';
	}
	*ret_code = code;
	*ret_more = line.len > 3 && line.text[3] == '-';
	return true;
}

/* The first line of a reply gives its text, its last line ends it. What is no reply line is passed by. */
static void on_line(struct dialogue *d, struct line line, int64_t ns)
{
	struct smtp *smtp = d->state;
	bool more, first = !smtp->code;
	int code;

	if (!parse_code(line, &code, &more))
		return;
	smtp->heard = true;
	if (first) {
		line.text += line.len < 4 ? line.len : 4;
		line.len -= line.len < 4 ? line.len : 4;
		line_copy(line, smtp->text, sizeof(smtp->text));
	}
	smtp->code = more ? code : 0;
	if (more)
		return;
	if (d->oldest && !d->uncertain)
		on_asked(d, d->oldest, code, ns);
	else
		on_unasked(d, code, ns);
}

size_t smtp_server(struct dialogue *d, const uint8_t *bytes, size_t len, int64_t ns)
{
	struct line line;
	size_t taken;

	if (line_take(&d->lines[FLOW_SERVER], bytes, len, &taken, &line)) {
		on_line(d, line, ns);
		line_done(&d->lines[FLOW_SERVER]);
	}
	return taken;
}

/* ---- gaps and the end ---- */

static void client_gap(struct dialogue *d, uint64_t bytes, int64_t ns)
{
	struct smtp *smtp = d->state;

	if (smtp->mode == MODE_TEXT) {
		body_gap(&smtp->now->body);
		return;
	}
	if (smtp->mode == MODE_CHUNK && bytes <= smtp->chunk_left) {
		body_gap(&smtp->now->body);
		smtp->chunk_left -= bytes;
		if (!smtp->chunk_left)
			smtp_chunk_over(d, ns);
		return;
	}
	line_gap(&d->lines[FLOW_CLIENT]);
	if (smtp->now && smtp->now->began)
		body_gap(&smtp->now->body); /* a whole chunk may be lost */
	smtp_lose_all(d, ns);
	smtp->last_was_last = smtp->data_waits = false;
	if (smtp->mode == MODE_CHUNK) {
		transaction_over(d, smtp->now, ns);
		smtp->now = NULL;
	}
	smtp->mode = d->hold || smtp->mode == MODE_LOST ? MODE_LOST : MODE_COMMAND;
	smtp->cut = smtp->mode == MODE_LOST;
	d->hold = false;
}

void smtp_gap(struct dialogue *d, enum flow_side from, uint64_t bytes, int64_t ns)
{
	struct smtp *smtp = d->state;

	if (from == FLOW_CLIENT) {
		client_gap(d, bytes, ns);
		return;
	}
	line_gap(&d->lines[FLOW_SERVER]);
	smtp->code = 0;
	smtp->heard = true;
	smtp_lose_all(d, ns);
	if (d->hold || smtp->mode == MODE_AUTH)
		smtp->mode = MODE_LOST;
	d->hold = smtp->data_waits = false;
}

void smtp_dialogue_close(struct dialogue *d, int64_t ns)
{
	struct smtp *smtp = d->state;

	while (d->oldest) {
		struct transaction *over = d->oldest->over;

		dialogue_tell_unanswered(d, d->oldest, d->uncertain, ns);
		pending_remove(d, d->oldest);
		transaction_over(d, over, ns);
	}
	if (smtp->now && (smtp->now->body.gap || d->held.len)) /* the dot may be in there */
		smtp->now->unknown = true;
	transaction_over(d, smtp->now, ns);
	smtp->now = NULL;
}
