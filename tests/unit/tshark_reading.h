/*
 * What we and tshark read in one capture, connection by connection: commands, replies, mails' hashes, and the bytes of
 * each side. For tests/unit/test_net_tshark*.c.
 */
#pragma once

#include "net/dialogue.h"
#include "tests/check/check.h"
#include "tests/unit/net_tell.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"

#define STREAMS_MAX 256
#define OUTPUT_MAX  (64u << 20)

/* What one reader saw of one connection. */
struct seen {
	struct buf commands, replies, hashes;
	struct buf bytes[2]; /* of each side, as hex */
	bool astray;	     /* tshark is, in this conversation */
};

struct reading {
	struct seen streams[STREAMS_MAX];
	size_t count;
};

static const struct dialogue_port ports[] = {
	{25, DIALOGUE_PROTOCOL_SMTP, NULL},
	{24, DIALOGUE_PROTOCOL_LMTP, NULL},
	{143, DIALOGUE_PROTOCOL_IMAP, NULL},
	{110, DIALOGUE_PROTOCOL_POP3, NULL},
};

static inline void reading_free(struct reading *reading)
{
	for (size_t i = 0; i < reading->count; i++) {
		buf_free(&reading->streams[i].commands);
		buf_free(&reading->streams[i].replies);
		buf_free(&reading->streams[i].hashes);
		buf_free(&reading->streams[i].bytes[0]);
		buf_free(&reading->streams[i].bytes[1]);
	}
	free(reading);
}

static inline struct seen *stream(struct reading *reading, uint64_t index)
{
	if (index >= STREAMS_MAX)
		abort();
	if (index >= reading->count)
		reading->count = (size_t)index + 1;
	return &reading->streams[index];
}

/* ---- our reading ---- */

/* tshark tells FETCH of UID FETCH too. */
static inline const char *imap_command(const char *verb)
{
	const char *last = strrchr(verb, ' ');

	return last ? last + 1 : verb;
}

/* Passwords are left out, as we tell them to nobody. */
static inline void add_pop(struct buf *out, const char *verb, const char *args)
{
	if (verb && *verb)
		buf_addf(out, "%s %s ", verb, strcmp(verb, "PASS") ? args : "");
}

static inline void note_reply(struct seen *seen, const struct dialogue_event *event)
{
	if (event->tag)
		buf_addf(&seen->replies, "%s %s ", event->tag, event->status);
	else if (event->protocol == DIALOGUE_PROTOCOL_POP3)
		buf_addf(&seen->replies, "%s ", event->status);
	else if (event->code)
		buf_addf(&seen->replies, "%d ", event->code);
}

static inline void on_event(void *arg, const struct dialogue_event *event)
{
	struct seen *seen = stream(arg, event->conn - 1);

	if (event->kind == DIALOGUE_COMMAND && event->tag && strcmp(event->verb, "DONE"))
		buf_addf(&seen->commands, "%s %s ", event->tag, imap_command(event->verb));
	else if (event->kind == DIALOGUE_COMMAND && event->protocol == DIALOGUE_PROTOCOL_POP3)
		add_pop(&seen->commands, event->verb, event->args);
	else if (event->kind == DIALOGUE_COMMAND && !event->tag)
		buf_addf(&seen->commands, "%.4s ", event->verb);
	else if (event->kind == DIALOGUE_REPLY)
		note_reply(seen, event);
	else if (event->kind == DIALOGUE_MESSAGE)
		buf_addf(&seen->hashes, "%s\n", event->message->sha256);
	if (event->verb && !strcmp(event->verb, "BDAT"))
		seen->astray = true;
	if (event->kind == DIALOGUE_REPLY && event->code != 354 && event->verb &&
		!strcmp(event->verb, "DATA"))
		seen->astray = true;
	CHECK(event->kind != DIALOGUE_GAP);
}

static inline void no_event(void *arg, struct flow *flow, int64_t ns)
{
	(void)arg;
	(void)flow;
	(void)ns;
}

static inline void no_fin(void *arg, struct flow *flow, enum flow_side from, int64_t ns)
{
	(void)from;
	no_event(arg, flow, ns);
}

static inline void no_close(void *arg, struct flow *flow, enum flow_end end, int64_t ns)
{
	(void)end;
	no_event(arg, flow, ns);
}

static inline void no_gap(
	void *arg, struct flow *flow, enum flow_side from, uint64_t bytes, int64_t ns)
{
	(void)bytes;
	no_fin(arg, flow, from, ns);
}

static inline bool no_server(void *arg, const struct endpoint *endpoint)
{
	(void)arg;
	(void)endpoint;
	return false;
}

static inline void on_bytes(void *arg, struct flow *flow, enum flow_side from, const uint8_t *bytes,
	size_t len, int64_t ns)
{
	static const char digits[] = "0123456789abcdef";
	struct buf *out = &stream(arg, flow->id - 1)->bytes[from];

	(void)ns;
	for (size_t i = 0; i < len; i++) {
		buf_addc(out, digits[bytes[i] >> 4]);
		buf_addc(out, digits[bytes[i] & 15]);
	}
}

static inline void read_bytes(const struct gen *gen, struct reading *ours)
{
	static const struct reassembly_ops ops = {
		.open = no_event,
		.data = on_bytes,
		.gap = no_gap,
		.fin = no_fin,
		.close = no_close,
		.is_server = no_server,
	};
	struct decoder *decoder = decoder_new(gen->link_type);
	struct reassembly *reassembly = reassembly_new(&ops, ours);
	struct segment segment;

	for (size_t i = 0; i < gen->count; i++)
		if (decoder_frame(decoder, (const uint8_t *)gen->frames[i].bytes.data,
			    gen->frames[i].captured, gen->frames[i].bytes.len, &segment))
			reassembly_segment(reassembly, &segment, gen->frames[i].ns);
	reassembly_finish(reassembly);
	reassembly_free(reassembly);
	decoder_free(decoder);
}

static inline struct reading *our_reading(const struct gen *gen)
{
	struct reading *ours = mem_zero(1, sizeof(*ours));

	tell_capture(gen, ports, ARRAY_SIZE(ports), on_event, ours);
	read_bytes(gen, ours);
	return ours;
}

/* ---- tshark's ---- */

static inline void run(char *const *argv, struct buf *out)
{
	struct err err = {0};

	if (proc_run(argv, deadline_in_ms(100000), out, OUTPUT_MAX, &err) != 0)
		fprintf(stderr, "%s: %s\n", argv[0], err.text);
}

static inline bool is_tag(const char *word)
{
	if (*word++ != 'a')
		return false;
	return *word && strspn(word, "0123456789") == strlen(word);
}

/* First a line with each frame's stream, then a part for each stream: the server's lines are indented. */
static inline struct reading *tshark_streams(char *path, size_t count)
{
	struct reading *reading = mem_zero(1, sizeof(*reading));
	auto_free char **argv = mem_zero(2 * count + 16, sizeof(*argv));
	auto_buf struct buf out = {0};
	size_t n = 0, at = SIZE_MAX;

	for (char *const *word = (char *const[]){"tshark", "-n", "-r", path, "-T", "fields", "-e",
		     "tcp.stream", NULL};
		*word; word++)
		argv[n++] = *word;
	for (size_t i = 0; i < count; i++) {
		argv[n++] = "-z";
		argv[n++] = text_fmt("follow,tcp,raw,%zu", i);
	}
	run(argv, &out);
	for (size_t i = 0; i < n; i++)
		if (!strncmp(argv[i], "follow", 6))
			free(argv[i]);
	for (char *rest = out.data, *line; rest && (line = strsep(&rest, "\n"));) {
		if (sscanf(line, "Filter: tcp.stream eq %zu", &at) == 1 || strpbrk(line, "=: "))
			continue;
		if (at == SIZE_MAX && *line)
			stream(reading, strtoul(line, NULL, 10));
		else if (at != SIZE_MAX)
			buf_add_str(
				&stream(reading, at)->bytes[*line == '\t'], line + (*line == '\t'));
	}
	return reading;
}

/* ---- mails ---- */

static inline void unstuff(const struct buf *in, struct buf *out)
{
	bool start = true;

	for (size_t i = 0; i < in->len; i++) {
		if (!start || in->data[i] != '.')
			buf_addc(out, in->data[i]);
		start = in->data[i] == '\n';
	}
}

static inline bool known_mail(const struct buf *mail, const char *hashes)
{
	char plain[HASH_HEX_SIZE], ended[HASH_HEX_SIZE];
	auto_buf struct buf more = {0};

	hash_bytes(mail->data, mail->len, plain);
	buf_add(&more, mail->data, mail->len);
	buf_add_str(&more, "\r\n");
	hash_bytes(more.data, more.len, ended);
	return strstr(hashes, plain) || strstr(hashes, ended);
}

static inline void compare_streams(const char *name, struct reading *ours, struct reading *theirs)
{
	CHECK_INT(ours->count, theirs->count);
	for (size_t i = 0; i < ours->count; i++)
		for (int side = 0; side < 2; side++)
			if (!CHECK(!strcmp(buf_text(&ours->streams[i].bytes[side]),
				    buf_text(&theirs->streams[i].bytes[side]))))
				fprintf(stderr, "side %d of stream %zu of '%s'\n", side, i, name);
}
