/* What a forwarder does to a dialogue of SMTP or LMTP that it passes on: pure, no descriptor is touched here. */
#include "mail/forwarder_private.h"

#include "base/clock.h"

#include <string.h>

static const char end_of_content[] = "\r\n.\r\n";

/* RFC 5321 4.1.1.4: the content ends with CRLF . CRLF, and the CRLF of the line before counts. */
static void content_byte(struct hurt *hurt, char c)
{
	if (c == end_of_content[hurt->tail])
		hurt->tail++;
	else
		hurt->tail = c == '\r' ? 1 : 0;
	if (hurt->tail < sizeof(end_of_content) - 1)
		return;
	hurt->in_content = false;
	hurt->after_dot = true;
	hurt->met = false;
	hurt->replies_seen = 0;
}

void hurt_said(struct hurt *hurt, const char *bytes, size_t len)
{
	/* All replies to the last dot have passed: this is the next transaction. */
	if (len && !hurt->in_content && hurt->replies_seen && !hurt->met)
		hurt->after_dot = false;
	for (size_t i = 0; i < len && hurt->in_content; i++)
		content_byte(hurt, bytes[i]);
}

/* One byte of a reply; true: a whole reply ends with it (its last line has no hyphen after the code). */
static bool reply_byte(struct hurt *hurt, char c)
{
	bool last = hurt->last_of_reply;

	if (c != '\n') {
		if (hurt->column < sizeof(hurt->code))
			hurt->code[hurt->column] = c;
		else if (hurt->column == sizeof(hurt->code))
			hurt->last_of_reply = c != '-';
		hurt->column += hurt->column <= sizeof(hurt->code);
		return false;
	}
	if (last && !memcmp(hurt->code, "354", sizeof(hurt->code))) {
		hurt->in_content = true;
		hurt->tail = 2; /* the dot may come first */
	}
	hurt->column = 0;
	hurt->last_of_reply = false;
	return last;
}

/* So many bytes that `replies` whole replies end; all if there are not so many. */
static size_t take_replies(struct hurt *hurt, const char *bytes, size_t len, uint32_t replies)
{
	size_t i = 0;

	while (i < len && hurt->replies_seen < replies)
		hurt->replies_seen += reply_byte(hurt, bytes[i++]);
	return i;
}

static enum hurt_order late(struct hurt *hurt)
{
	if (!hurt->until_ns)
		hurt->until_ns = deadline_in_ms(hurt->delay_ms);
	return hurt->released || deadline_left_ms(hurt->until_ns) == 0 ? HURT_PASS : HURT_WAIT;
}

static enum hurt_order drip(struct hurt *hurt, size_t *ret_bytes)
{
	if (hurt->released)
		return HURT_PASS;
	if (late(hurt) == HURT_WAIT)
		return HURT_WAIT;
	hurt->until_ns = 0;
	*ret_bytes = 1;
	return HURT_PASS;
}

/* 221 answers a QUIT that was pipelined behind the dot. */
static enum hurt_order partial(struct hurt *hurt, const char *bytes, size_t len, size_t *ret_bytes)
{
	bool bye = !hurt->column && len >= 3 && !memcmp(bytes, "221", 3);

	*ret_bytes =
		take_replies(hurt, bytes, len, hurt->released || bye ? UINT32_MAX : hurt->replies);
	return *ret_bytes ? HURT_PASS : HURT_WAIT;
}

static bool hurts_now(const struct hurt *hurt)
{
	return hurt->mode == FORWARDER_BANNER_LATE
		       ? !hurt->greeted
		       : hurt->mode > FORWARDER_BANNER_LATE && hurt->after_dot;
}

/* A partial dot is met by the reply that is held back, not by those that pass. */
static bool meets(struct hurt *hurt, enum hurt_order order)
{
	if (hurt->met || (hurt->mode == FORWARDER_PARTIAL && order != HURT_WAIT))
		return false;
	hurt->met = true;
	return true;
}

enum hurt_order hurt_answered(
	struct hurt *hurt, const char *bytes, size_t len, size_t *ret_bytes, bool *ret_met)
{
	enum hurt_order order = HURT_PASS;
	bool hurts = hurts_now(hurt);

	*ret_bytes = len;
	*ret_met = false;
	hurt->until_ns = hurts ? hurt->until_ns : 0;
	if (hurts && hurt->mode == FORWARDER_BANNER_LATE)
		order = late(hurt);
	else if (hurts && hurt->mode == FORWARDER_DRIP)
		order = drip(hurt, ret_bytes);
	else if (hurts && hurt->mode == FORWARDER_PARTIAL)
		order = partial(hurt, bytes, len, ret_bytes);
	else if (hurts && !hurt->released)
		order = hurt->mode == FORWARDER_DROP	     ? HURT_RESET
			: hurt->mode == FORWARDER_HALF_CLOSE ? HURT_END
							     : HURT_WAIT;
	if (hurts)
		*ret_met = meets(hurt, order);
	if (order == HURT_PASS && !(hurts && hurt->mode == FORWARDER_PARTIAL))
		take_replies(hurt, bytes, *ret_bytes, UINT32_MAX);
	hurt->greeted |= order == HURT_PASS;
	return order;
}
