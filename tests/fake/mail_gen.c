#include "tests/fake/mail_gen.h"

#include "base/hash.h"
#include "net/decode.h"

#include <string.h>

uint16_t mail_port(enum mail_protocol protocol)
{
	static const uint16_t ports[] = {25, 24, 143, 110};

	return ports[protocol];
}

static unsigned int below(struct rng *rng, unsigned int n)
{
	return (unsigned int)rng_below(rng, n);
}

static bool percent(struct rng *rng, unsigned int p)
{
	return below(rng, 100) < p;
}

/* ---- turns ---- */

struct buf *talk_turn(struct talk *talk, enum gen_side from)
{
	if (talk->count && talk->turns[talk->count - 1].from == from)
		return &talk->turns[talk->count - 1].bytes;
	if (talk->count == talk->size) {
		talk->size = talk->size ? talk->size * 2 : 32;
		talk->turns = mem_grow(talk->turns, talk->size, sizeof(*talk->turns));
	}
	talk->turns[talk->count] = (struct turn){.from = from};
	return &talk->turns[talk->count++].bytes;
}

__attribute__((format(printf, 3, 4))) static void say(
	struct talk *talk, enum gen_side from, const char *fmt, ...)
{
	struct buf *out = talk_turn(talk, from);
	va_list ap;

	va_start(ap, fmt);
	buf_addv(out, fmt, ap);
	va_end(ap);
	buf_add(out, "\r\n", 2);
}

void talk_free(struct talk *talk)
{
	for (size_t i = 0; i < talk->count; i++)
		buf_free(&talk->turns[i].bytes);
	free(talk->turns);
	buf_free(&talk->hashes);
	*talk = (struct talk){0};
}

/* ---- mails ---- */

/* A header section and lines of 7-bit text, some of which begin with dots. */
static void mail_text(struct talk *talk, struct rng *rng, struct buf *out)
{
	unsigned int lines = below(rng, percent(rng, 10) ? 400 : 12);
	char hash[HASH_HEX_SIZE];

	buf_addf(out, "X-Mailrig-Token: t%08x\r\nFrom: <a@x>\r\nSubject: %u\r\n\r\n",
		(unsigned int)rng_u64(rng), below(rng, 1000));
	for (unsigned int i = 0; i < lines; i++) {
		unsigned int len = below(rng, 76);

		if (percent(rng, 10))
			buf_add_str(out, percent(rng, 50) ? "." : "..");
		for (unsigned int n = 0; n < len; n++)
			buf_addc(out, (char)('!' + below(rng, 94)));
		buf_add_str(out, "\r\n");
	}
	hash_bytes(out->data, out->len, hash);
	buf_addf(&talk->hashes, "%s\n", hash);
}

static void stuff(const struct buf *mail, struct buf *out)
{
	bool start = true;

	for (size_t i = 0; i < mail->len; i++) {
		if (start && mail->data[i] == '.')
			buf_addc(out, '.');
		start = mail->data[i] == '\n';
		buf_addc(out, mail->data[i]);
	}
	buf_add_str(out, ".\r\n");
}

/* ---- SMTP and LMTP ---- */

static int final_code(struct rng *rng)
{
	static const int codes[] = {250, 250, 250, 250, 451, 452, 550, 554};

	return codes[below(rng, 8)];
}

static void send_data(struct talk *talk, struct rng *rng, unsigned int accepted)
{
	auto_buf struct buf mail = {0};

	if (percent(rng, 8)) {
		say(talk, GEN_SERVER, "451 4.3.0 not now");
		say(talk, GEN_CLIENT, "RSET");
		say(talk, GEN_SERVER, "250 2.0.0 Ok");
		return;
	}
	say(talk, GEN_SERVER, "354 go on");
	mail_text(talk, rng, &mail);
	stuff(&mail, talk_turn(talk, GEN_CLIENT));
	if (talk->protocol == MAIL_SMTP)
		accepted = 1;
	for (unsigned int i = 0; i < accepted; i++)
		say(talk, GEN_SERVER, "%d %u done", final_code(rng), i);
}

static void send_chunks(struct talk *talk, struct rng *rng, unsigned int accepted, bool pipelined)
{
	auto_buf struct buf mail = {0};
	size_t at = 0;
	unsigned int replies = 0;

	mail_text(talk, rng, &mail);
	while (at < mail.len) {
		size_t n = 1 + below(rng, (unsigned int)mail.len);

		if (n > mail.len - at)
			n = mail.len - at;
		say(talk, GEN_CLIENT, "BDAT %zu%s", n, at + n == mail.len ? " LAST" : "");
		buf_add(talk_turn(talk, GEN_CLIENT), mail.data + at, n);
		at += n;
		replies++;
		if (!pipelined && at < mail.len) {
			say(talk, GEN_SERVER, "250 2.0.0 chunk");
			replies = 0;
		}
	}
	for (; replies > 1; replies--)
		say(talk, GEN_SERVER, "250 2.0.0 chunk");
	if (talk->protocol == MAIL_SMTP)
		accepted = 1;
	for (unsigned int i = 0; i < accepted; i++)
		say(talk, GEN_SERVER, "%d %u done", final_code(rng), i);
}

static void transaction(struct talk *talk, struct rng *rng)
{
	unsigned int to = 1 + below(rng, 4), accepted = 0;
	bool pipelined = percent(rng, 50), chunks = percent(rng, 25);
	int codes[4];

	say(talk, GEN_CLIENT, "MAIL FROM:<a%u@x.example>%s", below(rng, 10),
		percent(rng, 30) ? " SIZE=1000 BODY=8BITMIME" : "");
	if (!pipelined)
		say(talk, GEN_SERVER, "250 2.1.0 Ok");
	for (unsigned int i = 0; i < to; i++) {
		codes[i] = i && percent(rng, 20) ? 550 : 250;
		accepted += codes[i] == 250;
		say(talk, GEN_CLIENT, "RCPT TO:<u%u@store.example>", i);
		if (!pipelined)
			say(talk, GEN_SERVER, "%d 2.1.5 %u", codes[i], i);
	}
	if (!chunks)
		say(talk, GEN_CLIENT, "DATA");
	if (pipelined)
		say(talk, GEN_SERVER, "250 2.1.0 Ok");
	for (unsigned int i = 0; pipelined && i < to; i++)
		say(talk, GEN_SERVER, "%d 2.1.5 %u", codes[i], i);
	if (chunks)
		send_chunks(talk, rng, accepted, pipelined);
	else
		send_data(talk, rng, accepted);
}

static void smtp(struct talk *talk, struct rng *rng)
{
	say(talk, GEN_SERVER, "220 store.example ESMTP");
	say(talk, GEN_CLIENT, talk->protocol == MAIL_LMTP ? "LHLO me" : "EHLO me");
	say(talk, GEN_SERVER, "250-store.example");
	say(talk, GEN_SERVER, "250-PIPELINING");
	say(talk, GEN_SERVER, "250 CHUNKING");
	for (unsigned int n = below(rng, 4); n; n--)
		transaction(talk, rng);
	if (percent(rng, 20)) {
		say(talk, GEN_CLIENT, "NOOP");
		say(talk, GEN_SERVER, "250 2.0.0 Ok");
	}
	if (percent(rng, 20)) {
		say(talk, GEN_CLIENT, "STARTTLS");
		say(talk, GEN_SERVER, "502 5.5.1 no");
	}
	say(talk, GEN_CLIENT, "QUIT");
	say(talk, GEN_SERVER, "221 2.0.0 bye");
}

/* ---- IMAP ---- */

static const char *imap_status(struct rng *rng)
{
	unsigned int p = below(rng, 100);

	return p < 80 ? "OK" : p < 92 ? "NO" : "BAD";
}

static void append(struct talk *talk, struct rng *rng, unsigned int tag)
{
	auto_buf struct buf mail = {0};
	bool wait = percent(rng, 50);

	mail_text(talk, rng, &mail);
	say(talk, GEN_CLIENT, "a%u APPEND INBOX (\\Seen) {%zu%s}", tag, mail.len, wait ? "" : "+");
	if (wait)
		say(talk, GEN_SERVER, "+ go");
	buf_add(talk_turn(talk, GEN_CLIENT), mail.data, mail.len);
	say(talk, GEN_CLIENT, "%s", "");
	say(talk, GEN_SERVER, "a%u %s done", tag, imap_status(rng));
}

static void fetch(struct talk *talk, struct rng *rng, unsigned int tag)
{
	say(talk, GEN_CLIENT, "a%u UID FETCH 1:* (UID BODY.PEEK[])", tag);
	for (unsigned int i = 1 + below(rng, 3); i; i--) {
		auto_buf struct buf mail = {0};

		mail_text(talk, rng, &mail);
		say(talk, GEN_SERVER, "* %u FETCH (UID %u BODY[] {%zu}", i, i, mail.len);
		buf_add(talk_turn(talk, GEN_SERVER), mail.data, mail.len);
		say(talk, GEN_SERVER, ")");
	}
	say(talk, GEN_SERVER, "a%u OK fetched", tag);
}

static void imap(struct talk *talk, struct rng *rng)
{
	unsigned int tag = 1, commands = 1 + below(rng, 6);

	say(talk, GEN_SERVER, "* OK ready");
	say(talk, GEN_CLIENT, "a%u LOGIN u1 secret", tag);
	say(talk, GEN_SERVER, "a%u OK in", tag++);
	for (; commands; commands--, tag++) {
		switch (below(rng, 5)) {
		case 0:
			append(talk, rng, tag);
			break;
		case 1:
			fetch(talk, rng, tag);
			break;
		case 2:
			say(talk, GEN_CLIENT, "a%u IDLE", tag);
			say(talk, GEN_SERVER, "+ idling");
			say(talk, GEN_SERVER, "* %u EXISTS", tag);
			say(talk, GEN_CLIENT, "DONE");
			say(talk, GEN_SERVER, "a%u OK idled", tag);
			break;
		case 3:
			say(talk, GEN_CLIENT, "a%u NOOP", tag);
			say(talk, GEN_CLIENT, "a%u CHECK", tag + 1);
			say(talk, GEN_SERVER, "a%u OK noop", tag);
			say(talk, GEN_SERVER, "a%u OK check", ++tag);
			break;
		default:
			say(talk, GEN_CLIENT, "a%u SELECT INBOX", tag);
			say(talk, GEN_SERVER, "* 3 EXISTS");
			say(talk, GEN_SERVER, "a%u %s selected", tag, imap_status(rng));
			break;
		}
	}
	say(talk, GEN_CLIENT, "a%u LOGOUT", tag);
	say(talk, GEN_SERVER, "* BYE");
	say(talk, GEN_SERVER, "a%u OK out", tag);
}

/* ---- POP3 ---- */

static void pop3(struct talk *talk, struct rng *rng)
{
	say(talk, GEN_SERVER, "+OK ready");
	say(talk, GEN_CLIENT, "USER u1");
	say(talk, GEN_SERVER, "+OK");
	say(talk, GEN_CLIENT, "PASS secret");
	say(talk, GEN_SERVER, "+OK in");
	say(talk, GEN_CLIENT, "UIDL");
	say(talk, GEN_SERVER, "+OK");
	say(talk, GEN_SERVER, "1 abc");
	say(talk, GEN_SERVER, ".");
	for (unsigned int n = below(rng, 4); n; n--) {
		auto_buf struct buf mail = {0};

		say(talk, GEN_CLIENT, "RETR %u", n);
		if (percent(rng, 20)) {
			say(talk, GEN_SERVER, "-ERR no such message");
			continue;
		}
		mail_text(talk, rng, &mail);
		say(talk, GEN_SERVER, "+OK %zu octets", mail.len);
		stuff(&mail, talk_turn(talk, GEN_SERVER));
		say(talk, GEN_CLIENT, "DELE %u", n);
		say(talk, GEN_SERVER, "+OK");
	}
	say(talk, GEN_CLIENT, "QUIT");
	say(talk, GEN_SERVER, "+OK bye");
}

struct talk talk_make(struct rng *rng, enum mail_protocol protocol)
{
	struct talk talk = {.protocol = protocol};

	if (protocol == MAIL_IMAP)
		imap(&talk, rng);
	else if (protocol == MAIL_POP3)
		pop3(&talk, rng);
	else
		smtp(&talk, rng);
	return talk;
}

/* ---- sending ---- */

struct piece {
	uint32_t seq;
	size_t at, len;
};

static size_t line_len(const struct buf *bytes, size_t at)
{
	const char *end = memchr(bytes->data + at, '\n', bytes->len - at);

	return end ? (size_t)(end - bytes->data) + 1 - at : bytes->len - at;
}

/* Cut a turn into segments, some of them more than once. */
static size_t cut(const struct buf *bytes, uint32_t seq, const struct nasty *nasty, struct rng *rng,
	struct piece **ret)
{
	struct piece *pieces = NULL;
	size_t count = 0, size = 0, at = 0;

	while (at < bytes->len) {
		size_t n = 1 + (size_t)rng_below(rng, nasty->segment_max), joined;

		if (count + 3 > size) {
			size = size ? size * 2 : 16;
			pieces = mem_grow(pieces, size, sizeof(*pieces));
		}
		if (n > bytes->len - at)
			n = bytes->len - at;
		if (nasty->lines)
			n = line_len(bytes, at);
		pieces[count++] = (struct piece){seq + (uint32_t)at, at, n};
		if (percent(rng, nasty->again)) {
			pieces[count] = pieces[count - 1];
			count++;
		}
		joined = bytes->len - at < n * 2 ? bytes->len - at : n * 2;
		if (percent(rng, nasty->overlap))
			pieces[count++] = (struct piece){seq + (uint32_t)at, at, joined};
		at += n;
	}
	*ret = pieces;
	return count;
}

static void send_turn(const struct turn *turn, struct gen *gen, struct gen_conn *conn,
	const struct nasty *nasty, struct rng *rng)
{
	auto_free struct piece *pieces = NULL;
	size_t count = cut(&turn->bytes, conn->seq[turn->from], nasty, rng, &pieces);

	for (size_t i = 0; i + 1 < count; i++)
		if (percent(rng, nasty->swap)) {
			struct piece keep = pieces[i];

			pieces[i] = pieces[i + 1];
			pieces[i + 1] = keep;
		}
	for (size_t i = 0; i < count; i++)
		gen_raw(gen, conn, turn->from, TCP_ACK, pieces[i].seq, conn->seq[!turn->from],
			turn->bytes.data + pieces[i].at, pieces[i].len);
	conn->seq[turn->from] += (uint32_t)turn->bytes.len;
	gen_ack(gen, conn, !turn->from);
}

void talk_send(const struct talk *talk, struct gen *gen, struct gen_conn *conn,
	const struct nasty *nasty, struct rng *rng)
{
	if (percent(rng, 10)) /* the first SYN was lost on the way */
		gen_raw(gen, conn, GEN_CLIENT, TCP_SYN, conn->seq[0], 0, NULL, 0);
	gen_open(gen, conn);
	for (size_t i = 0; i < talk->count; i++)
		send_turn(&talk->turns[i], gen, conn, nasty, rng);
	switch (below(rng, 5)) {
	case 0:
		gen_reset(gen, conn, GEN_CLIENT);
		break;
	case 1: /* half-closed, and left so */
		gen_fin(gen, conn, GEN_CLIENT);
		gen_ack(gen, conn, GEN_SERVER);
		break;
	case 2: /* the server first */
		gen_fin(gen, conn, GEN_SERVER);
		gen_fin(gen, conn, GEN_CLIENT);
		gen_ack(gen, conn, GEN_SERVER);
		break;
	default:
		gen_close(gen, conn);
		break;
	}
}
