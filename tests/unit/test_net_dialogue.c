/*
 * Golden dialogues: tests/golden/wire/NAME.txt holds a conversation, a line "----", and what is told.
 *
 *	C: text		the client sends the line (S: the server); \r\n is added
 *	C> text		the client sends exactly this; \r \n \t \\ \xHH are understood
 *	lost C 100	the client sends 100 bytes that the capture lacks
 *	ack C		a bare acknowledgement (and a second passes)
 *	reset C		RST;  fin C: FIN. Without either the conversation ends with both FINs
 *	syn		(first line) an unanswered SYN
 *	midstream	(first line) the handshake is missing
 *	open		(last line) the capture ends here
 *	port 25 lmtp	(first lines) what the port is said to speak
 *
 * MAILRIG_GOLDEN=write writes the second half anew: read the difference before keeping it.
 */
#include "tests/check/check.h"
#include "tests/unit/net_tell.h"

#include "base/fs.h"
#include "base/io.h"

#include <dirent.h>

#define GOLDEN	   "tests/golden/wire"
#define GOLDEN_MAX (1 << 20)
#define PORT_MAX   4

struct script {
	struct gen gen;
	struct gen_conn conn;
	struct dialogue_port ports[PORT_MAX];
	size_t port_count;
	char protocol[16];
	bool began, midstream, ended;
};

static void unescape(const char *text, struct buf *out)
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

static void begin(struct script *script)
{
	if (script->began)
		return;
	script->began = true;
	if (script->midstream)
		return;
	gen_open(&script->gen, &script->conn);
}

static void say(struct script *script, const char *line)
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
	gen_send(&script->gen, &script->conn, side, bytes.data, bytes.len);
}

static enum gen_side side_in(const char *line, const char *word)
{
	return line[strlen(word) + 1] == 'C' ? GEN_CLIENT : GEN_SERVER;
}

static void direct(struct script *script, const char *line)
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

/* Bytes that no terminal should see become \xNN. */
static char *printable(struct buf *raw)
{
	struct buf out = {0};

	for (size_t i = 0; i < raw->len; i++) {
		unsigned char c = (unsigned char)raw->data[i];

		if (c == '\n' || (c >= ' ' && c <= '~'))
			buf_addc(&out, (char)c);
		else
			buf_addf(&out, "\\x%02x", c);
	}
	buf_free(raw);
	return buf_steal(&out);
}

static char *play(char *text)
{
	struct script script = {.conn = gen_conn(1, 40000, false)};
	struct buf out = {0};

	gen_init(&script.gen, 1);
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		if ((line[0] == 'C' || line[0] == 'S') && (line[1] == ':' || line[1] == '>'))
			say(&script, line);
		else if (*line && *line != '#')
			direct(&script, line);
	}
	if (!script.ended)
		gen_close(&script.gen, &script.conn);
	tell_capture(&script.gen, script.ports, script.port_count, tell_event, &out);
	gen_free(&script.gen);
	return printable(&out);
}

static void check_file(const char *name)
{
	auto_free char *path = path_join(GOLDEN, name);
	auto_buf struct buf file = {0};
	auto_buf struct buf whole = {0};
	auto_free char *script = NULL;
	auto_free char *got = NULL;
	char *cut;

	if (!CHECK_INT(fs_read(path, GOLDEN_MAX, &file, NULL), 0))
		return;
	cut = strstr(file.data, "\n----\n");
	script = cut ? text_dup_n(file.data, (size_t)(cut - file.data)) : text_dup(file.data);
	buf_addf(&whole, "%s\n----\n", script);
	got = play(script);
	if (getenv("MAILRIG_GOLDEN")) {
		buf_add_str(&whole, got);
		CHECK_INT(fs_write_atomic(path, whole.data, whole.len, NULL), 0);
	} else if (!CHECK_STR(got, cut ? cut + 6 : "")) {
		fprintf(stderr, "in '%s'\n", path);
	}
}

static void tells_what_the_golden_files_say(void)
{
	DIR *dir = opendir(GOLDEN);
	size_t count = 0;

	if (!CHECK(dir != NULL))
		return;
	for (struct dirent *e; (e = readdir(dir));) {
		const char *dot = strrchr(e->d_name, '.');

		if (!dot || strcmp(dot, ".txt"))
			continue;
		check_file(e->d_name);
		count++;
	}
	closedir(dir);
	CHECK(count >= 20);
}

CHECK_MAIN(CHECK_CASE(tells_what_the_golden_files_say))
