/*
 * Against an independent witness. Captures made as nasty as a network gets are read by us and by tshark, and
 * both must agree on the connections and on every byte of every stream (tshark's "follow"). What we tell of
 * those dialogues must agree with what tshark tells of the same conversations sent plainly, one segment to a
 * turn: its dissectors of SMTP and POP lose their way where a line is cut. Mails are compared with what the
 * generator sent, and with what tshark exports.
 *
 * Where tshark sees less even so: it names SMTP commands by four letters; after BDAT, and after a refused DATA, it is lost (such
 * conversations are compared by bytes and mails alone); it reads the text behind a non-synchronising IMAP
 * literal as commands (IMAP is compared by tags); its export leaves dot-stuffing in and may drop the last
 * line end.
 */
#include "tests/check/check.h"
#include "tests/fake/nasty_gen.h"
#include "tests/unit/net_script.h"
#include "tests/unit/net_tell.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"

#include <dirent.h>
#include <pcap/dlt.h>

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

static void reading_free(struct reading *reading)
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

static struct seen *stream(struct reading *reading, uint64_t index)
{
	if (index >= STREAMS_MAX)
		abort();
	if (index >= reading->count)
		reading->count = (size_t)index + 1;
	return &reading->streams[index];
}

/* ---- our reading ---- */

static void note_reply(struct seen *seen, const struct dialogue_event *event)
{
	if (event->tag)
		buf_addf(&seen->replies, "%s ", event->tag);
	else if (event->protocol == DIALOGUE_PROTOCOL_POP3)
		buf_addf(&seen->replies, "%s ", event->status);
	else if (event->code)
		buf_addf(&seen->replies, "%d ", event->code);
}

static void on_event(void *arg, const struct dialogue_event *event)
{
	struct seen *seen = stream(arg, event->conn - 1);

	if (event->kind == DIALOGUE_COMMAND && event->tag && strcmp(event->verb, "DONE"))
		buf_addf(&seen->commands, "%s ", event->tag);
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

static void no_event(void *arg, struct flow *flow, int64_t ns)
{
	(void)arg;
	(void)flow;
	(void)ns;
}

static void no_fin(void *arg, struct flow *flow, enum flow_side from, int64_t ns)
{
	(void)from;
	no_event(arg, flow, ns);
}

static void no_close(void *arg, struct flow *flow, enum flow_end end, int64_t ns)
{
	(void)end;
	no_event(arg, flow, ns);
}

static void no_gap(void *arg, struct flow *flow, enum flow_side from, uint64_t bytes, int64_t ns)
{
	(void)bytes;
	no_fin(arg, flow, from, ns);
}

static bool no_server(void *arg, const struct endpoint *endpoint)
{
	(void)arg;
	(void)endpoint;
	return false;
}

static void on_bytes(void *arg, struct flow *flow, enum flow_side from, const uint8_t *bytes,
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

static void read_bytes(const struct gen *gen, struct reading *ours)
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

static struct reading *our_reading(const struct gen *gen)
{
	struct reading *ours = mem_zero(1, sizeof(*ours));

	tell_capture(gen, ports, ARRAY_SIZE(ports), on_event, ours);
	read_bytes(gen, ours);
	return ours;
}

/* ---- tshark's ---- */

static void run(char *const *argv, struct buf *out)
{
	struct err err = {0};

	if (proc_run(argv, deadline_in_ms(100000), out, OUTPUT_MAX, &err) != 0)
		fprintf(stderr, "%s: %s\n", argv[0], err.text);
}

static bool is_tag(const char *word)
{
	if (*word++ != 'a')
		return false;
	return *word && strspn(word, "0123456789") == strlen(word);
}

static void add_words(struct buf *out, char *field, bool tags)
{
	for (char *word; field && (word = strsep(&field, ","));)
		if (*word && (!tags || is_tag(word)))
			buf_addf(out, "%s ", word);
}

/* stream, SMTP command, SMTP code, IMAP tags of both sides, POP command and indicator */
static void read_line(struct reading *reading, char *line)
{
	char *field[7] = {0};
	struct seen *seen;

	for (size_t i = 0; i < ARRAY_SIZE(field) && line; i++)
		field[i] = strsep(&line, "\t");
	if (!field[0] || !*field[0])
		return;
	seen = stream(reading, strtoul(field[0], NULL, 10));
	add_words(&seen->commands, field[1], false);
	add_words(&seen->replies, field[2], false);
	add_words(&seen->commands, field[3], true);
	add_words(&seen->replies, field[4], true);
	add_words(&seen->commands, field[5], false);
	add_words(&seen->replies, field[6], false);
}

static struct reading *tshark_dialogues(char *path, char *export)
{
	struct reading *reading = mem_zero(1, sizeof(*reading));
	auto_buf struct buf out = {0};
	char *argv[] = {"tshark", "-n", "-r", path, "-d", "tcp.port==24,smtp", "--export-objects",
		export, "-T", "fields", "-e", "tcp.stream", "-e", "smtp.req.command", "-e",
		"smtp.response.code", "-e", "imap.request_tag", "-e", "imap.response_tag", "-e",
		"pop.request.command", "-e", "pop.response.indicator", NULL};

	run(argv, &out);
	for (char *rest = out.data, *line; rest && (line = strsep(&rest, "\n"));)
		read_line(reading, line);
	return reading;
}

/* First a line with each frame's stream, then a part for each stream: the server's lines are indented. */
static struct reading *tshark_streams(char *path, size_t count)
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

/* ---- mails that tshark exports ---- */

static void unstuff(const struct buf *in, struct buf *out)
{
	bool start = true;

	for (size_t i = 0; i < in->len; i++) {
		if (!start || in->data[i] != '.')
			buf_addc(out, in->data[i]);
		start = in->data[i] == '\n';
	}
}

static bool known_mail(const struct buf *mail, const char *hashes)
{
	char plain[HASH_HEX_SIZE], ended[HASH_HEX_SIZE];
	auto_buf struct buf more = {0};

	hash_bytes(mail->data, mail->len, plain);
	buf_add(&more, mail->data, mail->len);
	buf_add_str(&more, "\r\n");
	hash_bytes(more.data, more.len, ended);
	return strstr(hashes, plain) || strstr(hashes, ended);
}

static size_t check_exports(const char *dir, const char *hashes)
{
	DIR *list = opendir(dir);
	size_t count = 0;

	if (!list)
		return 0;
	for (struct dirent *e; (e = readdir(list));) {
		auto_free char *path = path_join(dir, e->d_name);
		auto_buf struct buf mail = {0};
		auto_buf struct buf clean = {0};

		if (e->d_name[0] == '.' || fs_read(path, OUTPUT_MAX, &mail, NULL))
			continue;
		if (!strncmp(buf_text(&mail), "RSET", 4))
			continue; /* astray after a refused DATA */
		unstuff(&mail, &clean);
		count++;
		if (!CHECK(known_mail(&clean, hashes) || known_mail(&mail, hashes)))
			fprintf(stderr, "tshark's mail %s is none of ours\n", path);
	}
	closedir(list);
	return count;
}

/* ---- both ---- */

static void compare_streams(const char *name, struct reading *ours, struct reading *theirs)
{
	CHECK_INT(ours->count, theirs->count);
	for (size_t i = 0; i < ours->count; i++)
		for (int side = 0; side < 2; side++)
			if (!CHECK(!strcmp(buf_text(&ours->streams[i].bytes[side]),
				    buf_text(&theirs->streams[i].bytes[side]))))
				fprintf(stderr, "side %d of stream %zu of '%s'\n", side, i, name);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Conversations as lines in order: the plain capture holds them in another order than the nasty one. */
static char *dialogues(const struct reading *reading, const struct reading *which)
{
	char *lines[STREAMS_MAX];
	struct buf out = {0};
	size_t count = 0;

	for (size_t i = 0; i < reading->count; i++)
		if (!which->streams[i].astray)
			lines[count++] =
				text_fmt("%s| %s\n", buf_text(&reading->streams[i].commands),
					buf_text(&reading->streams[i].replies));
	qsort(lines, count, sizeof(*lines), by_text);
	for (size_t i = 0; i < count; i++) {
		buf_add_str(&out, lines[i]);
		free(lines[i]);
	}
	return buf_steal(&out);
}

static char *sorted(const char *text)
{
	auto_free char *copy = text_dup(text);
	auto_free char **lines = NULL;
	struct buf out = {0};
	size_t count = 0;

	for (char *rest = copy, *line; (line = strsep(&rest, "\n"));)
		if (*line) {
			lines = mem_grow(lines, count + 1, sizeof(*lines));
			lines[count++] = line;
		}
	if (count)
		qsort(lines, count, sizeof(*lines), by_text);
	for (size_t i = 0; i < count; i++)
		buf_addf(&out, "%s\n", lines[i]);
	return buf_steal(&out);
}

static void check_mails(const struct reading *ours, const char *sent)
{
	auto_buf struct buf all = {0};
	auto_free char *want = sorted(sent);
	auto_free char *got = NULL;

	for (size_t i = 0; i < ours->count; i++)
		buf_add_str(&all, buf_text(&ours->streams[i].hashes));
	got = sorted(buf_text(&all));
	CHECK_STR(got, want);
}

static void check_batch(const struct batch *batch, const char *dir, size_t *exported)
{
	auto_free char *nasty_path = text_fmt("%s/nasty.pcap", dir);
	auto_free char *plain_path = text_fmt("%s/plain.pcap", dir);
	auto_free char *mails = text_fmt("%s/mails", dir);
	auto_free char *export = text_fmt("imf,%s", mails);
	auto_free char *got = NULL;
	auto_free char *want = NULL;
	auto_buf struct buf hashes = {0};
	auto_buf struct buf again = {0};
	struct reading *ours, *plainly, *streams, *told;
	struct gen nasty, plain;

	make_batch(&nasty, batch, false, &hashes);
	make_batch(&plain, batch, true, &again);
	gen_save(&nasty, nasty_path);
	gen_save(&plain, plain_path);
	ours = our_reading(&nasty);
	plainly = our_reading(&plain);
	streams = tshark_streams(nasty_path, ours->count);
	told = tshark_dialogues(plain_path, export);
	compare_streams(batch->name, ours, streams);
	got = dialogues(ours, ours);
	want = dialogues(told, plainly);
	if (!CHECK_STR(got, want))
		fprintf(stderr, "dialogues of '%s' (want: tshark's)\n", batch->name);
	check_mails(ours, buf_text(&hashes));
	*exported += check_exports(mails, buf_text(&hashes));
	fs_remove_tree(mails, NULL);
	reading_free(plainly);
	reading_free(streams);
	reading_free(told);
	gen_free(&nasty);
	gen_free(&plain);
}

static void agrees_with_tshark_on_nasty_captures(void)
{
	const char *dir = check_dir();
	size_t exported = 0;

	if (!fs_exists("/usr/bin/tshark")) {
		check_skip("tshark is not installed");
		return;
	}
	for (size_t i = 0; i < BATCHES; i++)
		check_batch(&batches[i], dir, &exported);
	CHECK(exported > 100);
}

/* ---- the conversations of tests/golden/wire ---- */

#define GOLDEN	   "tests/golden/wire"
#define GOLDEN_MAX (1 << 20)

static void add_frames(struct gen *all, struct gen *one)
{
	all->frames = mem_grow(all->frames, all->count + one->count, sizeof(*all->frames));
	for (size_t i = 0; i < one->count; i++) {
		all->frames[all->count] = one->frames[i]; /* it moves */
		all->frames[all->count++].ns = all->ns;
		all->ns += 1000;
	}
	one->count = 0;
	gen_free(one);
}

/* Each that loses nothing, one after the other between ports of its own. How many. */
static unsigned int add_golden(struct gen *all)
{
	DIR *dir = opendir(GOLDEN);
	unsigned int count = 0;

	for (struct dirent *e; dir && (e = readdir(dir));) {
		auto_free char *path = path_join(GOLDEN, e->d_name);
		auto_buf struct buf text = {0};
		struct script script;
		char *cut;

		if (e->d_name[0] == '.' || fs_read(path, GOLDEN_MAX, &text, NULL))
			continue;
		cut = strstr(text.data, "\n----\n");
		if (cut)
			*cut = '\0';
		/* The SYN without an answer has no stream of bytes; what is lost tshark tells otherwise. */
		if (strstr(text.data, "lost ") || strstr(text.data, "midstream") ||
			!strncmp(text.data, "syn", 3) || strstr(text.data, "\nsyn"))
			continue;
		script_play(&script, text.data, ++count);
		add_frames(all, &script.gen);
	}
	if (dir)
		closedir(dir);
	return count;
}

static void agrees_with_tshark_on_the_golden_conversations(void)
{
	auto_free char *path = path_join(check_dir(), "golden.pcap");
	struct reading *ours, *theirs;
	struct gen all;

	if (!fs_exists("/usr/bin/tshark")) {
		check_skip("tshark is not installed");
		return;
	}
	gen_init(&all, DLT_EN10MB);
	CHECK(add_golden(&all) >= 20);
	gen_save(&all, path);
	ours = our_reading(&all);
	theirs = tshark_streams(path, ours->count);
	compare_streams("golden", ours, theirs);
	reading_free(ours);
	reading_free(theirs);
	gen_free(&all);
}

CHECK_MAIN(CHECK_CASE(agrees_with_tshark_on_nasty_captures),
	CHECK_CASE(agrees_with_tshark_on_the_golden_conversations))
