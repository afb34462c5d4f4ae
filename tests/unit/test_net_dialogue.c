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
#include "tests/unit/net_script.h"
#include "tests/unit/net_tell.h"

#include "base/fs.h"
#include "base/io.h"

#include <dirent.h>

#define GOLDEN	   "tests/golden/wire"
#define GOLDEN_MAX (1 << 20)

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
	struct script script;
	struct buf out = {0};

	script_play(&script, text, 1, false);
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
