/*
 * Against an independent witness. Captures made as nasty as a network gets are read by us and by tshark, and
 * both must agree on the connections and on every byte of every stream (tshark's "follow"). What we tell of
 * those dialogues must agree with what tshark tells of the same conversations sent plainly: SMTP commands and
 * codes, POP commands with their arguments and indicators, IMAP tags, commands and statuses. Plainly is one
 * segment to a turn, as its dissectors of SMTP and POP lose their way where a line is cut; and of IMAP one to a line,
 * as it tells the tags and the commands of a segment in two lists, and not which belong together. Mails are compared
 * with what the generator sent, and with what tshark exports.
 *
 * Where tshark sees less even so: it names SMTP commands by four letters; after BDAT, and after a refused DATA, it is lost (such
 * conversations are compared by bytes and mails alone); it reads the text of IMAP literals as commands and replies
 * (what begins with no tag of ours is left out), and tells UID FETCH as FETCH; its export leaves dot-stuffing in and
 * may drop the last line end.
 */
#include "tests/fake/nasty_gen.h"
#include "tests/unit/tshark_reading.h"

#include <dirent.h>
#include <pcap/dlt.h>

static void add_words(struct buf *out, char *field)
{
	for (char *word; field && (word = strsep(&field, ","));)
		if (*word)
			buf_addf(out, "%s ", word);
}

/* One line of IMAP: the text of a literal has no tag. */
static void add_tagged(struct buf *out, const char *tag, const char *word)
{
	if (tag && is_tag(tag))
		buf_addf(out, "%s %s ", tag, word ? word : "");
}

/* stream, SMTP command and code, IMAP tag and command, tag and status, POP command, argument and indicator */
static void read_line(struct reading *reading, char *line)
{
	char *field[10] = {0};
	struct seen *seen;

	for (size_t i = 0; i < ARRAY_SIZE(field) && line; i++)
		field[i] = strsep(&line, "\t");
	if (!field[0] || !*field[0])
		return;
	seen = stream(reading, strtoul(field[0], NULL, 10));
	add_words(&seen->commands, field[1]);
	add_words(&seen->replies, field[2]);
	add_tagged(&seen->commands, field[3], field[4]);
	add_tagged(&seen->replies, field[5], field[6]);
	add_pop(&seen->commands, field[7], field[8]);
	add_words(&seen->replies, field[9]);
}

static struct reading *tshark_dialogues(char *path, char *export)
{
	struct reading *reading = mem_zero(1, sizeof(*reading));
	auto_buf struct buf out = {0};
	char *argv[] = {"tshark", "-n", "-r", path, "-d", "tcp.port==24,smtp", "--export-objects",
		export, "-T", "fields", "-e", "tcp.stream", "-e", "smtp.req.command", "-e",
		"smtp.response.code", "-e", "imap.request_tag", "-e", "imap.request.command", "-e",
		"imap.response_tag", "-e", "imap.response.status", "-e", "pop.request.command",
		"-e", "pop.request.parameter", "-e", "pop.response.indicator", NULL};

	run(argv, &out);
	for (char *rest = out.data, *line; rest && (line = strsep(&rest, "\n"));)
		read_line(reading, line);
	return reading;
}

/* ---- mails that tshark exports ---- */

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
	reading_free(ours);
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

CHECK_MAIN(CHECK_CASE(agrees_with_tshark_on_nasty_captures))
