#include "net/imap_priv.h"

#include <string.h>

/* Whether the literal behind this piece is a whole message: FETCH of BODY[], BINARY[], RFC822. */
static bool whole_message(struct line piece)
{
	static const char *const items[] = {"BODY[]", "BINARY[]", "RFC822", "BODY[]<0>"};
	const char *brace = memrchr(piece.text, '{', piece.len);
	size_t len = brace ? (size_t)(brace - piece.text) : 0;

	if (len && piece.text[len - 1] == '~')
		len--;
	if (len && piece.text[len - 1] == ' ')
		len--;
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		size_t n = strlen(items[i]);

		if (len >= n && line_is((struct line){piece.text + len - n, n}, items[i]))
			return true;
	}
	return false;
}

static struct pending *find_tag(struct dialogue *d, struct line tag)
{
	for (struct pending *p = d->oldest; p; p = p->next)
		if (p->tag[0] && tag.len == strlen(p->tag) && !memcmp(tag.text, p->tag, tag.len))
			return p;
	return NULL;
}

static void tell_reply(struct dialogue *d, const struct pending *pending, const char *status,
	const char *text, int64_t ns)
{
	struct dialogue_event event = {
		.kind = DIALOGUE_REPLY,
		.ns = ns,
		.from = FLOW_SERVER,
		.unknown = !pending,
		.status = status,
		.text = text,
	};

	if (pending) {
		pending_event(pending, &event);
		imap_set_moment(d, pending->verb, "/reply");
		if (pending->verb[0])
			event.moment = d->moment;
	}
	dialogue_tell(d, &event);
}

static void tell_push(struct dialogue *d, const char *text, int64_t ns)
{
	struct dialogue_event event = {
		.kind = DIALOGUE_PUSH, .ns = ns, .from = FLOW_SERVER, .text = text};

	dialogue_tell(d, &event);
}

static const char *status_of(struct line word)
{
	static const char *const names[] = {"OK", "NO", "BAD", "BYE", "PREAUTH"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (line_is(word, names[i]))
			return names[i];
	return NULL;
}

static void on_continue(struct dialogue *d, const char *text, int64_t ns)
{
	struct imap *imap = d->state;
	struct pending *waits = imap->waits;

	tell_push(d, text, ns);
	if (!waits || waits->command == STARTTLS || waits->command == COMPRESS)
		return;
	d->hold = false;
	waits->owed_ns = 0;
	if (waits->command == AUTHENTICATE) {
		imap->credentials = true;
		return;
	}
	imap->waits = NULL; /* the literal comes now; an empty one is over already */
	if (!imap->sent.left && imap->sent.mail)
		imap_tell_mail(d, FLOW_CLIENT, ns);
}

static void on_untagged(struct dialogue *d, struct line rest, const char *text, int64_t ns)
{
	struct line word = line_word(&rest);
	const char *status = status_of(word);

	if (d->oldest && d->oldest->command == GREETING && !d->oldest->tag[0]) {
		tell_reply(d, d->oldest, status, text, ns);
		pending_remove(d, d->oldest);
		return;
	}
	tell_push(d, text, ns);
}

static void on_tagged(struct dialogue *d, struct line tag, struct line rest, int64_t ns)
{
	struct imap *imap = d->state;
	struct pending *pending = find_tag(d, tag);
	struct line word = line_word(&rest);
	const char *status = status_of(word);
	char text[DIALOGUE_TEXT_MAX];
	int command;

	if (!status)
		return;
	line_copy(rest, text, sizeof(text));
	if (pending && pending == imap->partial) { /* refused before it was whole */
		imap->sent.left = 0;
		imap->sent.mail = false;
		body_end(&imap->sent.body);
		imap_command_over(d, ns);
	}
	if (pending && pending == imap->waits) {
		imap->waits = NULL;
		imap->credentials = false;
		d->hold = false;
	}
	tell_reply(d, pending, status, text, ns);
	if (!pending)
		return;
	if (!pending->unsure)
		d->uncertain = false;
	command = pending->command;
	pending_remove(d, pending);
	if (command == STARTTLS && *status == 'O')
		dialogue_tls(d, ns);
	else if (command == COMPRESS && *status == 'O')
		dialogue_opaque(d, ns);
}

static void response_over(struct dialogue *d, int64_t ns)
{
	struct imap *imap = d->state;
	char first[DIALOGUE_TEXT_MAX];
	struct line rest = {first, strlen(imap->first)}, tag;

	imap->inside = false;
	memcpy(first, imap->first, rest.len + 1);
	tag = line_word(&rest);
	if (line_is(tag, "+"))
		on_continue(d, first, ns);
	else if (line_is(tag, "*"))
		on_untagged(d, rest, first, ns);
	else
		on_tagged(d, tag, rest, ns);
}

static void on_piece(struct dialogue *d, struct line line, int64_t ns)
{
	struct imap *imap = d->state;
	uint64_t size;
	bool wait;

	if (!imap->inside)
		line_copy(line, imap->first, sizeof(imap->first));
	imap->inside = true;
	if (!imap_literal(line, &size, &wait)) {
		response_over(d, ns);
		return;
	}
	imap_begin_literal(&imap->received, size, whole_message(line), ns);
	if (!size && imap->received.mail)
		imap_tell_mail(d, FLOW_SERVER, ns);
}

size_t imap_server(struct dialogue *d, const uint8_t *bytes, size_t len, int64_t ns)
{
	struct imap *imap = d->state;
	struct line line;
	size_t taken;
	bool lost = d->lines[FLOW_SERVER].skip;

	if (imap->received.left)
		return imap_take_literal(d, FLOW_SERVER, bytes, len, ns);
	if (line_take(&d->lines[FLOW_SERVER], bytes, len, &taken, &line)) {
		on_piece(d, line, ns);
		line_done(&d->lines[FLOW_SERVER]);
	}
	if (lost && !d->lines[FLOW_SERVER].skip)
		imap_unsure(d); /* the line that was passed by may have been a reply */
	return taken;
}
