#include "net/imap_priv.h"

#include <string.h>

static const struct verb {
	const char *name;
	enum command command;
} verbs[] = {
	{"APPEND", APPEND},
	{"AUTHENTICATE", AUTHENTICATE},
	{"CAPABILITY", OTHER},
	{"CHECK", OTHER},
	{"CLOSE", OTHER},
	{"COMPRESS", COMPRESS},
	{"COPY", OTHER},
	{"CREATE", OTHER},
	{"DELETE", OTHER},
	{"ENABLE", OTHER},
	{"EXAMINE", OTHER},
	{"EXPUNGE", OTHER},
	{"FETCH", OTHER},
	{"GETACL", OTHER},
	{"GETMETADATA", OTHER},
	{"GETQUOTA", OTHER},
	{"GETQUOTAROOT", OTHER},
	{"ID", OTHER},
	{"IDLE", IDLE},
	{"LIST", OTHER},
	{"LOGIN", OTHER},
	{"LOGOUT", OTHER},
	{"LSUB", OTHER},
	{"MOVE", OTHER},
	{"NAMESPACE", OTHER},
	{"NOOP", OTHER},
	{"NOTIFY", OTHER},
	{"RENAME", OTHER},
	{"SEARCH", OTHER},
	{"SELECT", OTHER},
	{"SORT", OTHER},
	{"STARTTLS", STARTTLS},
	{"STATUS", OTHER},
	{"STORE", OTHER},
	{"SUBSCRIBE", OTHER},
	{"THREAD", OTHER},
	{"UNSELECT", OTHER},
	{"UNSUBSCRIBE", OTHER},
};

bool imap_literal(struct line line, uint64_t *ret_size, bool *ret_wait)
{
	size_t end = line.len, digits;
	uint64_t size = 0, unit = 1;

	if (end < 3 || line.text[--end] != '}')
		return false;
	*ret_wait = line.text[end - 1] != '+' && line.text[end - 1] != '-';
	if (!*ret_wait)
		end--;
	for (digits = 0;
		end && digits < 18 && line.text[end - 1] >= '0' && line.text[end - 1] <= '9';
		digits++, unit *= 10)
		size += unit * (uint64_t)(line.text[--end] - '0');
	*ret_size = size;
	return digits && end && line.text[end - 1] == '{';
}

void imap_set_moment(struct dialogue *d, const char *verb, const char *suffix)
{
	size_t at = (size_t)snprintf(d->moment, sizeof(d->moment), "imap/");

	if (!strncmp(verb, "UID ", 4))
		verb += 4;
	for (; *verb && at < VERB_MAX; verb++)
		d->moment[at++] = *verb >= 'A' && *verb <= 'Z' ? (char)(*verb - 'A' + 'a') : *verb;
	snprintf(d->moment + at, sizeof(d->moment) - at, "%s", suffix);
}

/* ---- literals ---- */

void imap_begin_literal(struct literal *literal, uint64_t size, bool mail, int64_t ns)
{
	literal->left = size;
	literal->mail = mail;
	literal->first_ns = ns;
	if (mail)
		body_begin(&literal->body);
}

void imap_tell_mail(struct dialogue *d, enum flow_side from, int64_t ns)
{
	struct imap *imap = d->state;
	struct literal *literal = from == FLOW_CLIENT ? &imap->sent : &imap->received;
	struct dialogue_recipient mailbox = {.address = imap->mailbox};
	struct dialogue_message message = {
		.from_side = from,
		.from = "",
		.to = &mailbox,
		.to_count = from == FLOW_CLIENT,
		.bytes = literal->body.bytes,
		.complete = !literal->body.gap,
		.token = literal->body.token,
		.first_ns = literal->first_ns,
		.dot_ns = ns,
	};
	struct dialogue_event event = {
		.kind = DIALOGUE_MESSAGE,
		.ns = ns,
		.from = from,
		.unknown = d->uncertain,
		.message = &message,
	};

	body_sha256(&literal->body, message.sha256);
	if (from == FLOW_CLIENT && imap->partial)
		pending_event(imap->partial, &event);
	dialogue_tell(d, &event);
	body_end(&literal->body);
	literal->mail = false;
}

size_t imap_take_literal(
	struct dialogue *d, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns)
{
	struct imap *imap = d->state;
	struct literal *literal = from == FLOW_CLIENT ? &imap->sent : &imap->received;

	if (len > literal->left)
		len = (size_t)literal->left;
	if (literal->mail)
		body_add(&literal->body, bytes, len);
	literal->left -= len;
	if (!literal->left && literal->mail)
		imap_tell_mail(d, from, ns);
	return len;
}

/* ---- commands ---- */

static void lose(struct dialogue *d, struct pending *pending, int64_t ns)
{
	struct imap *imap = d->state;

	if (imap->partial == pending)
		imap->partial = NULL;
	if (imap->waits == pending)
		imap->waits = NULL;
	dialogue_tell_unanswered(d, pending, true, ns);
	pending_remove(d, pending);
}

void imap_command_over(struct dialogue *d, int64_t ns)
{
	struct imap *imap = d->state;
	struct pending *pending = imap->partial;

	imap->partial = NULL;
	pending->owed_ns = pending->command == IDLE ? 0 : ns;
	imap_set_moment(d, pending->verb, "");
	dialogue_tell_command(d, pending, d->moment, ns);
	if (pending->command == AUTHENTICATE || pending->command == STARTTLS ||
		pending->command == COMPRESS) {
		imap->waits = pending;
		d->hold = true;
	}
}

static void begin_literal(struct dialogue *d, uint64_t size, bool wait, int64_t ns)
{
	struct imap *imap = d->state;
	struct pending *pending = imap->partial;
	bool mail = pending->command == APPEND && imap->has_mailbox;

	imap->has_mailbox = true;
	imap_begin_literal(&imap->sent, size, mail, ns);
	if (wait) {
		imap->waits = pending;
		pending->owed_ns = ns;
		d->hold = true;
	} else if (!size && mail) {
		imap_tell_mail(d, FLOW_CLIENT, ns);
	}
}

/* The mailbox of APPEND: an atom or a quoted string; a literal leaves the arguments empty here. */
static void note_mailbox(struct imap *imap, struct line args)
{
	struct line word = args;
	size_t end = 1;

	if (args.len && args.text[0] == '"') {
		while (end < args.len && args.text[end] != '"')
			end += args.text[end] == '\\' ? 2 : 1;
		word = (struct line){args.text + 1, end < args.len ? end - 1 : args.len - 1};
	} else {
		word = line_word(&args);
	}
	imap->has_mailbox = word.len && word.text[0] != '{';
	line_copy(imap->has_mailbox ? word : (struct line){"", 0}, imap->mailbox,
		sizeof(imap->mailbox));
}

bool dialogue_is_tag(const char *text, size_t len)
{
	if (!len || len >= DIALOGUE_TAG_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~' || strchr("(){%*\"\\+", text[i]))
			return false;
	return true;
}

static const struct verb *find_verb(struct line word)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (line_is(word, verbs[i].name))
			return &verbs[i];
	return NULL;
}

static void name_command(
	struct imap *imap, struct pending *pending, struct line word, struct line args)
{
	const struct verb *verb;
	char name[VERB_MAX - 4];
	bool uid = line_is(word, "UID");

	if (uid)
		word = line_word(&args);
	verb = find_verb(word);
	line_upper(word, name, sizeof(name));
	snprintf(pending->verb, sizeof(pending->verb), "%s%s", uid ? "UID " : "", name);
	pending->command = verb ? (int)verb->command : OTHER;
	if (pending->command == APPEND)
		note_mailbox(imap, args);
	if (pending->command == AUTHENTICATE || line_is(word, "LOGIN"))
		args = line_word(&args); /* the rest is credentials */
	line_copy(args, pending->args, sizeof(pending->args));
}

/* The first piece of a command. While nothing vouches for the position only known verbs count. */
static void on_first_piece(struct dialogue *d, struct line line, int64_t ns)
{
	struct imap *imap = d->state;
	struct line rest = line, tag = line_word(&rest), args = rest, word = line_word(&args);
	uint64_t size;
	bool wait;

	if (!dialogue_is_tag(tag.text, tag.len) || !word.len)
		return;
	if (d->uncertain && !find_verb(word) && !line_is(word, "UID"))
		return;
	if (d->pending_count >= DIALOGUE_PENDING_MAX)
		lose(d, d->oldest, ns);
	imap->partial = pending_add(d, OTHER, ns);
	line_copy(tag, imap->partial->tag, sizeof(imap->partial->tag));
	name_command(imap, imap->partial, word, args);
	imap->partial->owed_ns = 0;
	if (imap_literal(line, &size, &wait))
		begin_literal(d, size, wait, ns);
	else
		imap_command_over(d, ns);
}

static void on_done(struct dialogue *d, int64_t ns)
{
	struct dialogue_event event = {
		.kind = DIALOGUE_COMMAND, .ns = ns, .moment = "imap/done", .from = FLOW_CLIENT};

	for (struct pending *p = d->oldest; p; p = p->next)
		if (p->command == IDLE && !p->owed_ns) {
			p->owed_ns = ns;
			pending_event(p, &event);
			event.verb = "DONE";
			event.args = "";
			event.sent_ns = ns;
			dialogue_tell(d, &event);
			return;
		}
}

static void on_piece(struct dialogue *d, struct line line, int64_t ns)
{
	struct imap *imap = d->state;
	uint64_t size;
	bool wait;

	if (imap->credentials) {
		imap->credentials = false;
		d->hold = imap->waits;
		if (imap->waits)
			imap->waits->owed_ns = ns;
	} else if (line_is(line, "DONE") && !imap->partial) {
		on_done(d, ns);
	} else if (!imap->partial) {
		on_first_piece(d, line, ns);
	} else if (imap_literal(line, &size, &wait)) {
		begin_literal(d, size, wait, ns);
	} else {
		imap_command_over(d, ns);
	}
}

static size_t client(struct dialogue *d, const uint8_t *bytes, size_t len, int64_t ns)
{
	struct imap *imap = d->state;
	struct line line;
	size_t taken;

	if (imap->sent.left)
		return imap_take_literal(d, FLOW_CLIENT, bytes, len, ns);
	if (line_take(&d->lines[FLOW_CLIENT], bytes, len, &taken, &line)) {
		on_piece(d, line, ns);
		line_done(&d->lines[FLOW_CLIENT]);
	}
	return taken;
}

/* ---- gaps and the end ---- */

/* True if the gap lies inside a literal, whose length is known: then nothing but its bytes is lost. */
static bool gap_in_literal(struct dialogue *d, enum flow_side from, uint64_t bytes, int64_t ns)
{
	struct imap *imap = d->state;
	struct literal *literal = from == FLOW_CLIENT ? &imap->sent : &imap->received;

	if (!literal->left || bytes > literal->left)
		return false;
	literal->left -= bytes;
	if (literal->mail)
		body_gap(&literal->body);
	if (literal->mail && !literal->left)
		imap_tell_mail(d, from, ns);
	return true;
}

void imap_unsure(struct dialogue *d)
{
	for (struct pending *p = d->oldest; p; p = p->next)
		p->unsure = true;
}

static void gap(struct dialogue *d, enum flow_side from, uint64_t bytes, int64_t ns)
{
	struct imap *imap = d->state;
	struct literal *literal = from == FLOW_CLIENT ? &imap->sent : &imap->received;

	if ((from == FLOW_SERVER || !d->hold) && gap_in_literal(d, from, bytes, ns))
		return;
	d->uncertain = true;
	imap_unsure(d);
	literal->left = 0;
	literal->mail = false;
	body_end(&literal->body);
	line_gap(&d->lines[from]);
	if (imap->partial && (from == FLOW_CLIENT || d->hold)) {
		imap->sent.left = 0;
		lose(d, imap->partial, ns);
	}
	if (from == FLOW_SERVER)
		imap->inside = false;
	imap->credentials = false;
	imap->waits = NULL;
	d->hold = false;
}

static void imap_close(struct dialogue *d, int64_t ns)
{
	while (d->oldest) {
		dialogue_tell_unanswered(d, d->oldest, d->uncertain, ns);
		pending_remove(d, d->oldest);
	}
}

static void begin(struct dialogue *d, int64_t ns)
{
	(void)ns;
	d->state = mem_zero(1, sizeof(struct imap));
	if (!d->midstream && !d->upgraded)
		pending_add(d, GREETING, d->opened_ns);
}

static void imap_free(struct dialogue *d)
{
	struct imap *imap = d->state;

	body_end(&imap->sent.body);
	body_end(&imap->received.body);
	free(imap);
	d->state = NULL;
}

static const char *owed_token(const struct pending *pending)
{
	(void)pending;
	return "";
}

const struct protocol_ops dialogue_imap = {
	.begin = begin,
	.client = client,
	.server = imap_server,
	.gap = gap,
	.close = imap_close,
	.free = imap_free,
	.owed_token = owed_token,
};
