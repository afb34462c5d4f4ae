#include "net/smtp_priv.h"

#include <string.h>

/* `last`: must be the last of a pipelined group (RFC 2920 3.1), so whoever goes on has its reply. */
static const struct verb {
	const char *name;
	enum command command;
	bool last;
	bool bare; /* takes no argument */
} verbs[] = {
	{"EHLO", HELLO, true, false},
	{"HELO", HELLO, true, false},
	{"LHLO", HELLO, true, false},
	{"MAIL", MAIL, false, false},
	{"RCPT", RCPT, false, false},
	{"DATA", DATA, true, true},
	{"BDAT", BDAT, false, false},
	{"RSET", RSET, false, true},
	{"QUIT", QUIT, true, true},
	{"AUTH", AUTH, true, false},
	{"STARTTLS", STARTTLS, true, true},
	{"NOOP", OTHER, true, false},
	{"VRFY", OTHER, true, false},
	{"EXPN", OTHER, true, false},
	{"HELP", OTHER, true, false},
	{"ETRN", OTHER, true, false},
	{"XCLIENT", OTHER, true, false},
	{"XFORWARD", OTHER, true, false},
};

static const char *const moments[2][M_NONE + 1] = {
	{"smtp/ehlo", "smtp/mail", "smtp/rcpt", "smtp/data", "smtp/dot", "smtp/reply", "smtp/quit",
		NULL},
	{"lmtp/ehlo", "lmtp/mail", "lmtp/rcpt", "lmtp/data", "lmtp/dot", "lmtp/reply", "lmtp/quit",
		NULL},
};

const char *smtp_moment(const struct dialogue *d, enum moment which)
{
	return moments[d->protocol == DIALOGUE_PROTOCOL_LMTP][which];
}

/* The reply that will tell is not to be known: nothing waits for it. */
static void without_reply(struct dialogue *d, struct pending *pending, int64_t ns)
{
	struct transaction *over = pending->over;

	dialogue_tell_unanswered(d, pending, true, ns);
	pending_remove(d, pending);
	if (over)
		over->unknown = true;
	transaction_over(d, over, ns);
}

void smtp_lose_all(struct dialogue *d, int64_t ns)
{
	struct smtp *smtp = d->state;

	d->uncertain = true;
	if (smtp->now)
		smtp->now->unknown = true;
	while (d->oldest)
		without_reply(d, d->oldest, ns);
}

static void content_over(struct dialogue *d, struct pending *pending, int64_t ns)
{
	struct smtp *smtp = d->state;
	struct transaction *t = smtp->now;
	struct dialogue_message message;
	struct dialogue_event event = {
		.kind = DIALOGUE_MESSAGE,
		.ns = ns,
		.from = FLOW_CLIENT,
		.moment = smtp_moment(d, M_DOT),
		.message = &message,
		.unknown = t->unknown,
	};

	smtp->mode = MODE_COMMAND;
	smtp->now = NULL;
	t->dot = true;
	t->dot_ns = ns;
	body_sha256(&t->body, t->sha256);
	message = transaction_message(t);
	pending->transaction = pending->over = t;
	pending->owed_ns = ns;
	pending_event(pending, &event);
	dialogue_tell(d, &event);
	if (t->unknown && d->protocol == DIALOGUE_PROTOCOL_LMTP)
		smtp_lose_all(d, ns); /* nobody knows how many replies will come */
	else if (d->uncertain)
		without_reply(d, pending, ns);
}

static void on_dot(struct dialogue *d, int64_t ns)
{
	struct pending *pending = pending_add(d, DOT, ns);

	strcpy(pending->verb, ".");
	((struct smtp *)d->state)->last_was_last = false;
	content_over(d, pending, ns);
}

void smtp_chunk_over(struct dialogue *d, int64_t ns)
{
	struct smtp *smtp = d->state;
	struct pending *pending = d->newest;

	smtp->mode = MODE_COMMAND;
	if (d->uncertain) {
		if (!smtp->chunk_last)
			return;
		pending = pending_add(d, BDAT_LAST, ns);
		strcpy(pending->verb, "BDAT");
	}
	if (!pending || (pending->command != BDAT && pending->command != BDAT_LAST)) {
		/* The server answered before the chunk's end: refused, and known to be. */
		if (smtp->chunk_last) {
			transaction_over(d, smtp->now, ns);
			smtp->now = NULL;
		}
		return;
	}
	pending->owed_ns = ns;
	if (smtp->chunk_last)
		content_over(d, pending, ns);
}

/* "BDAT size [LAST]" */
static bool parse_chunk(struct line args, uint64_t *ret_size, bool *ret_last)
{
	struct line size = line_word(&args), last = line_word(&args);
	uint64_t n = 0;

	if (!size.len || size.len > 18 || args.len || (last.len && !line_is(last, "LAST")))
		return false;
	for (size_t i = 0; i < size.len; i++) {
		if (size.text[i] < '0' || size.text[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(size.text[i] - '0');
	}
	*ret_size = n;
	*ret_last = last.len;
	return true;
}

/* Where the bracket closes: behind a quoted local part if its quotes are balanced. */
static size_t find_bracket(struct line args)
{
	const char *plain = memchr(args.text, '>', args.len);
	bool quoted = false;

	for (size_t at = 1; at < args.len; at++) {
		if (args.text[at] == '>' && !quoted)
			return at;
		if (args.text[at] == '"')
			quoted = !quoted;
		else if (args.text[at] == '\\')
			at++;
	}
	return plain ? (size_t)(plain - args.text) : args.len;
}

/* "FROM:<a@b> SIZE=1": the address without its brackets. */
static struct line parse_path(struct line args, const char *prefix)
{
	size_t skip = line_begins(args, prefix) ? strlen(prefix) : 0;

	args.text += skip;
	args.len -= skip;
	while (args.len && *args.text == ' ') {
		args.text++;
		args.len--;
	}
	if (!args.len || *args.text != '<')
		return line_word(&args);
	return (struct line){args.text + 1, find_bracket(args) - 1};
}

static const struct verb *find_verb(struct line word)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (line_is(word, verbs[i].name))
			return &verbs[i];
	return NULL;
}

/* Whether a line may be taken for a command although nothing vouches for it. */
static bool surely_command(const struct verb *verb, struct line args)
{
	if (!verb)
		return false;
	if (verb->command == MAIL)
		return line_begins(args, "FROM:");
	if (verb->command == RCPT)
		return line_begins(args, "TO:");
	return !verb->bare || !args.len;
}

static enum moment begin_chunk(
	struct dialogue *d, struct line args, struct pending *pending, int64_t ns)
{
	struct smtp *smtp = d->state;
	enum moment which = M_NONE;

	if (!parse_chunk(args, &smtp->chunk_left, &smtp->chunk_last))
		return M_NONE; /* the server cannot read it either */
	if (!smtp->now)
		smtp->now = transaction_new((struct line){"", 0});
	if (!smtp->now->began) {
		which = M_DATA;
		smtp->now->began = true;
		smtp->now->first_ns = ns;
		body_begin(&smtp->now->body);
	}
	if (d->uncertain) { /* chunks before this one may be lost */
		smtp->now->unknown = true;
		body_gap(&smtp->now->body);
	}
	pending->command = smtp->chunk_last ? BDAT_LAST : BDAT;
	pending->transaction = smtp->now;
	pending->owed_ns = 0;
	smtp->mode = MODE_CHUNK;
	return which;
}

static enum moment apply(struct dialogue *d, struct pending *pending, struct line args, int64_t ns)
{
	struct smtp *smtp = d->state;

	switch ((enum command)pending->command) {
	case MAIL:
		pending->over = smtp->now;
		smtp->now = transaction_new(parse_path(args, "FROM:"));
		smtp->now->unknown = d->uncertain;
		pending->transaction = smtp->now;
		return M_MAIL;
	case RCPT:
		pending->transaction = smtp->now;
		if (smtp->now)
			pending->recipient = transaction_add(smtp->now, parse_path(args, "TO:"));
		return M_RCPT;
	case DATA:
		pending->transaction = smtp->now;
		if (d->uncertain) { /* the reply may never be seen, nor known for what it is */
			smtp->data_waits = true;
			smtp->mode = MODE_LOST;
		} else {
			d->hold = true;
		}
		return M_NONE;
	case BDAT:
		return begin_chunk(d, args, pending, ns);
	case AUTH:
	case STARTTLS:
		d->hold = !d->uncertain;
		return M_NONE;
	case HELLO:
	case RSET:
	case QUIT:
		pending->over = smtp->now;
		smtp->now = NULL;
		return pending->command == HELLO  ? M_EHLO
		       : pending->command == QUIT ? M_QUIT
						  : M_NONE;
	default:
		return M_NONE;
	}
}

static void name_pending(struct pending *pending, struct line word, struct line args)
{
	line_upper(word, pending->verb, sizeof(pending->verb));
	if (pending->command == AUTH)
		args = line_word(&args); /* the mechanism; credentials may follow */
	line_copy(args, pending->args, sizeof(pending->args));
}

/*
 * The client goes on after a command that must be the last of its group, and the server was heard in between:
 * so the client has that reply, and both directions stand at the beginning of a line.
 */
static void found_again(struct dialogue *d)
{
	struct smtp *smtp = d->state;

	d->uncertain = false;
	smtp->code = 0;
	line_restart(&d->lines[FLOW_SERVER]);
}

static void on_command(struct dialogue *d, struct line line, int64_t ns)
{
	struct smtp *smtp = d->state;
	struct line args = line, word = line_word(&args);
	const struct verb *verb = find_verb(word);
	struct pending *pending;
	enum moment which;

	if (d->uncertain && smtp->last_was_last && smtp->heard)
		found_again(d);
	if (d->uncertain && !surely_command(verb, args))
		return;
	if (d->found_out && d->protocol == DIALOGUE_PROTOCOL_SMTP && verb && line_is(word, "LHLO"))
		d->protocol = DIALOGUE_PROTOCOL_LMTP;
	if (d->pending_count >= DIALOGUE_PENDING_MAX)
		smtp_lose_all(d, ns);
	smtp->last_was_last = verb && verb->last;
	smtp->heard = false;
	pending = pending_add(d, verb ? (int)verb->command : OTHER, ns);
	name_pending(pending, word, args);
	which = apply(d, pending, args, ns);
	dialogue_tell_command(d, pending, smtp_moment(d, which), ns);
	if (d->uncertain)
		without_reply(d, pending, ns);
	if (smtp->mode == MODE_CHUNK && !smtp->chunk_left)
		smtp_chunk_over(d, ns);
}

static size_t take_text(struct dialogue *d, const uint8_t *bytes, size_t len, int64_t ns)
{
	struct smtp *smtp = d->state;
	bool over;
	size_t taken;

	if (!smtp->now->first_ns)
		smtp->now->first_ns = ns;
	taken = body_add_stuffed(&smtp->now->body, bytes, len, &over);
	if (over)
		on_dot(d, ns);
	return taken;
}

static size_t take_chunk(struct dialogue *d, const uint8_t *bytes, size_t len, int64_t ns)
{
	struct smtp *smtp = d->state;

	if (len > smtp->chunk_left)
		len = (size_t)smtp->chunk_left;
	body_add(&smtp->now->body, bytes, len);
	smtp->chunk_left -= len;
	if (!smtp->chunk_left)
		smtp_chunk_over(d, ns);
	return len;
}

void smtp_begin_text(struct dialogue *d)
{
	struct smtp *smtp = d->state;

	if (!smtp->now)
		smtp->now = transaction_new((struct line){"", 0});
	smtp->now->began = true;
	smtp->now->code = 0;
	smtp->now->reply_ns = 0;
	body_begin(&smtp->now->body);
	if (smtp->cut)
		body_gap(&smtp->now->body);
	smtp->cut = false;
	smtp->mode = MODE_TEXT;
}

static void on_auth_line(struct dialogue *d, int64_t ns)
{
	struct smtp *smtp = d->state;

	smtp->mode = MODE_COMMAND;
	d->hold = true;
	if (d->oldest)
		d->oldest->owed_ns = ns;
}

/* The reply to DATA is lost: a line that is surely a command is one, anything else is text. */
static void on_lost_line(struct dialogue *d, struct line line, int64_t ns)
{
	struct smtp *smtp = d->state;
	struct line args = line, word = line_word(&args);
	auto_buf struct buf text = {0};
	size_t taken = 0;

	smtp->mode = MODE_COMMAND;
	smtp->data_waits = false;
	if (line.len && line.text[0] == 0x16) {
		dialogue_opaque(d, ns);
	} else if (surely_command(find_verb(word), args)) {
		smtp->cut = false;
		on_command(d, line, ns);
	} else {
		smtp_begin_text(d);
		smtp->now->unknown = true;
		buf_add(&text, line.text, line.len);
		buf_add_str(&text, "\r\n");
		while (taken < text.len && smtp->mode == MODE_TEXT)
			taken += take_text(
				d, (const uint8_t *)text.data + taken, text.len - taken, ns);
	}
}

static void on_line(struct dialogue *d, struct line line, int64_t ns)
{
	struct smtp *smtp = d->state;

	if (smtp->mode == MODE_AUTH)
		on_auth_line(d, ns);
	else if (smtp->mode == MODE_LOST)
		on_lost_line(d, line, ns);
	else
		on_command(d, line, ns);
}

static size_t client(struct dialogue *d, const uint8_t *bytes, size_t len, int64_t ns)
{
	struct smtp *smtp = d->state;
	struct line line;
	size_t taken;

	if (smtp->mode == MODE_TEXT)
		return take_text(d, bytes, len, ns);
	if (smtp->mode == MODE_CHUNK)
		return take_chunk(d, bytes, len, ns);
	if (line_take(&d->lines[FLOW_CLIENT], bytes, len, &taken, &line)) {
		on_line(d, line, ns);
		line_done(&d->lines[FLOW_CLIENT]);
	}
	return taken;
}

static void begin(struct dialogue *d, int64_t ns)
{
	(void)ns;
	d->state = mem_zero(1, sizeof(struct smtp));
	if (!d->midstream && !d->upgraded)
		pending_add(d, GREETING, d->opened_ns);
}

static void smtp_free(struct dialogue *d)
{
	struct smtp *smtp = d->state;

	for (struct pending *p = d->oldest; p; p = p->next) {
		transaction_free(p->over);
		p->over = NULL;
	}
	transaction_free(smtp->now);
	free(smtp);
	d->state = NULL;
}

static const char *owed_token(const struct pending *pending)
{
	bool dot = pending->command == DOT || pending->command == BDAT_LAST;

	return dot && pending->over ? pending->over->body.token : "";
}

const struct protocol_ops dialogue_smtp = {
	.begin = begin,
	.client = client,
	.server = smtp_server,
	.gap = smtp_gap,
	.close = smtp_dialogue_close,
	.free = smtp_free,
	.owed_token = owed_token,
};
