/*
 * Conversations as texts, played as a capture: what tests/golden/wire/NAME.txt holds in front of "----" (see
 * test_net_dialogue.c for the directives).
 */
#pragma once

#include "net/dialogue.h"
#include "tests/check/check.h"
#include "tests/fake/wire_gen.h"

#include <stdio.h>
#include <string.h>

#define PORT_MAX    4
#define SCRIPT_PORT 40000 /* and above: of the server, unless the script says another */

struct script {
	struct gen gen;
	struct gen_conn conn;
	struct dialogue_port ports[PORT_MAX];
	size_t port_count;
	char protocol[16];
	bool began, midstream, ended;
	bool by_line;	  /* each line, and what has no line end, in a segment of its own */
	struct buf reply; /* lines of one that is not over yet */
};

static inline void unescape(const char *text, struct buf *out)
{
	for (; *text; text++) {
		char hex[3] = {0};

		if (*text != '\\') {
			buf_addc(out, *text);
			continue;
		}
		text++;
		if (*text == 'x') {
			memcpy(hex, text + 1, 2);
			text += 2;
			buf_addc(out, (char)strtol(hex, NULL, 16));
		} else {
			buf_addc(out, *text == 'r'   ? '\r'
				      : *text == 'n' ? '\n'
				      : *text == 't' ? '\t'
						     : *text);
		}
	}
}

static inline void begin(struct script *script)
{
	if (script->began)
		return;
	script->began = true;
	if (script->midstream)
		return;
	gen_open(&script->gen, &script->conn);
}

/* The lines of a reply of many lines stay together. */
static inline void say_by_line(struct script *script, enum gen_side side, const struct buf *bytes)
{
	for (size_t at = 0, len; at < bytes->len; at += len) {
		const char *line = bytes->data + at;
		const char *end = memchr(line, '\n', bytes->len - at);

		len = end ? (size_t)(end - line) + 1 : bytes->len - at;
		buf_add(&script->reply, line, len);
		if (side == GEN_SERVER && len > 3 && strspn(line, "0123456789") == 3 &&
			line[3] == '-')
			continue;
		gen_send(&script->gen, &script->conn, side, script->reply.data, script->reply.len);
		buf_reset(&script->reply);
	}
}

static inline void say(struct script *script, const char *line)
{
	enum gen_side side = line[0] == 'C' ? GEN_CLIENT : GEN_SERVER;
	auto_buf struct buf bytes = {0};

	begin(script);
	if (line[1] == ':') {
		buf_add_str(&bytes, line[2] ? line + 3 : "");
		buf_add_str(&bytes, "\r\n");
	} else {
		unescape(line + 3, &bytes);
	}
	if (script->by_line)
		say_by_line(script, side, &bytes);
	else
		gen_send(&script->gen, &script->conn, side, bytes.data, bytes.len);
}

static inline enum gen_side side_in(const char *line, const char *word)
{
	return line[strlen(word) + 1] == 'C' ? GEN_CLIENT : GEN_SERVER;
}

static inline void direct(struct script *script, const char *line)
{
	unsigned int n = 0;

	if (!strcmp(line, "midstream")) {
		script->midstream = true;
	} else if (!strcmp(line, "syn")) {
		script->began = true;
		gen_raw(&script->gen, &script->conn, GEN_CLIENT, TCP_SYN, script->conn.seq[0]++, 0,
			NULL, 0);
	} else if (!strcmp(line, "open")) {
		script->ended = true;
	} else if (sscanf(line, "port %u %15s", &n, script->protocol) == 2) {
		script->conn.port[GEN_SERVER] = (uint16_t)n;
		script->ports[script->port_count++] = (struct dialogue_port){.port = (uint16_t)n,
			.protocol = dialogue_protocol_by_name(script->protocol),
			.hop = "edge"};
	} else if (sscanf(line, "lost %*c %u", &n) == 1) {
		begin(script);
		script->conn.seq[side_in(line, "lost")] += n;
	} else if (!strncmp(line, "ack ", 4)) {
		gen_ack(&script->gen, &script->conn, side_in(line, "ack"));
		script->gen.ns += INT64_C(1000000000);
	} else if (!strncmp(line, "reset ", 6)) {
		begin(script);
		gen_reset(&script->gen, &script->conn, side_in(line, "reset"));
		script->ended = true;
	} else if (!strncmp(line, "fin ", 4)) {
		gen_fin(&script->gen, &script->conn, side_in(line, "fin"));
	} else {
		CHECK_STR(line, "a known directive");
	}
}

/* The whole text (which is cut up), as the n-th client's; the caller frees `ret->gen`. */
static inline void script_play(struct script *ret, char *text, unsigned int n, bool by_line)
{
	*ret = (struct script){
		.conn = gen_conn(n, (uint16_t)(SCRIPT_PORT + n), false), .by_line = by_line};
	gen_init(&ret->gen, 1);
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		if ((line[0] == 'C' || line[0] == 'S') && (line[1] == ':' || line[1] == '>'))
			say(ret, line);
		else if (*line && *line != '#')
			direct(ret, line);
	}
	if (!ret->ended)
		gen_close(&ret->gen, &ret->conn);
	buf_free(&ret->reply);
}
