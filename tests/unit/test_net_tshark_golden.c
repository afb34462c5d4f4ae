/*
 * Against an independent witness: the conversations of tests/golden/wire. tshark and we must agree on every byte of
 * every stream, on each command with its argument, on each reply's code or status, on IMAP's tags, and on mails.
 */
#include "tests/unit/net_script.h"
#include "tests/unit/tshark_reading.h"

#include <ctype.h>
#include <dirent.h>
#include <pcap/dlt.h>

#define GOLDEN	    "tests/golden/wire"
#define GOLDEN_MAX  (1 << 20)
#define SCRIPTS_MAX 64
#define TEXTS_MIN   4

/* Where tshark loses its way: it tells fewer commands then, or more; those that both tell are in the same order. */
static const struct {
	const char *name;
	bool more;
} lapses[] = {
	{"smtp-bdat.txt", false},	  /* chunks are text to it, and what follows them */
	{"smtp-data-refused.txt", false}, /* a DATA that was refused begins a text for it */
	/* A dot between bare line feeds ends no text, for it and for us; but the server says that the text is over. */
	{"smtp-lenient-dot.txt", false},
	{"smtp-nonsense.txt", false}, /* it tells no command that it does not know */
	/* It takes credentials for commands where they look like some. */
	{"imap-authenticate-starttls.txt", true},
	{"pop3-stls-auth.txt", true},
	{"smtp-auth.txt", true},
};

/* As it is played, and each line in a segment of its own, so that tshark finds all commands and replies. */
struct golden {
	struct gen turns, lines;
	char *names[SCRIPTS_MAX];
	unsigned int count;
};

struct detail {
	struct buf commands, replies; /* a line each */
	struct buf texts;	      /* hashes of mails that DATA sent */
	enum dialogue_protocol protocol;
	uint16_t port;
};

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

static void add_script(struct golden *golden, const char *name, const char *text)
{
	auto_free char *once = text_dup(text);
	auto_free char *again = text_dup(text);
	struct script script;

	golden->names[golden->count++] = text_dup(name);
	script_play(&script, once, golden->count, false);
	add_frames(&golden->turns, &script.gen);
	script_play(&script, again, golden->count, true);
	add_frames(&golden->lines, &script.gen);
}

/* Each that loses nothing, one after the other between ports of its own. */
static void golden_make(struct golden *golden)
{
	struct dirent **list = NULL;
	int n = scandir(GOLDEN, &list, NULL, alphasort);

	gen_init(&golden->turns, DLT_EN10MB);
	gen_init(&golden->lines, DLT_EN10MB);
	for (int i = 0; i < n; i++) {
		auto_free char *path = path_join(GOLDEN, list[i]->d_name);
		auto_buf struct buf text = {0};
		char *cut;

		if (list[i]->d_name[0] != '.' && !fs_read(path, GOLDEN_MAX, &text, NULL)) {
			cut = strstr(text.data, "\n----\n");
			if (cut)
				*cut = '\0';
			/* The SYN without an answer has no stream of bytes; what is lost tshark tells otherwise. */
			if (!strstr(text.data, "lost ") && !strstr(text.data, "midstream") &&
				strncmp(text.data, "syn", 3) != 0 && !strstr(text.data, "\nsyn"))
				add_script(golden, list[i]->d_name, text.data);
		}
		free(list[i]);
	}
	free(list);
}

static void golden_free(struct golden *golden)
{
	for (unsigned int i = 0; i < golden->count; i++)
		free(golden->names[i]);
	gen_free(&golden->turns);
	gen_free(&golden->lines);
}

/* tshark names SMTP commands by four letters, and takes the next for a blank: "STAR" "TLS". Credentials we leave out. */
static void add_command(struct buf *out, const char *verb, const char *args)
{
	bool secret = !strcasecmp(verb, "AUTH") || !strcasecmp(verb, "PASS");

	for (const char *p = verb; *p; p++)
		buf_addc(out, (char)toupper((unsigned char)*p));
	buf_addf(out, " %.*s\n", secret ? (int)strcspn(args, " ") : (int)strlen(args), args);
	if (!strcasecmp(verb, "PASS"))
		out->len -= strcspn(args, " "), out->data[out->len - 1] = '\n',
								     out->data[out->len] = '\0';
}

static void detail_smtp(struct buf *out, const struct dialogue_event *event)
{
	auto_free char *letters = text_fmt("%.4s", event->verb);
	auto_free char *rest = text_fmt("%s%s%s", strlen(event->verb) > 5 ? event->verb + 5 : "",
		strlen(event->verb) > 5 && *event->args ? " " : "", event->args);

	add_command(out, letters, rest);
}

static void detail_command(struct detail *detail, const struct dialogue_event *event)
{
	if (event->tag && strcmp(event->verb, "DONE") != 0)
		buf_addf(&detail->commands, "%s %s\n", event->tag, imap_command(event->verb));
	else if (event->protocol == DIALOGUE_PROTOCOL_POP3)
		add_command(&detail->commands, event->verb, event->args);
	else if (!event->tag && strcmp(event->verb, ".") != 0)
		detail_smtp(&detail->commands, event);
}

static void on_detail(void *arg, const struct dialogue_event *event)
{
	struct detail *detail = (struct detail *)arg + event->conn - 1;

	if (event->conn > SCRIPTS_MAX)
		abort();
	detail->protocol = event->protocol;
	detail->port = (uint16_t)strtoul(strrchr(event->server, ':') + 1, NULL, 10);
	if (event->kind == DIALOGUE_MESSAGE && event->verb && !strcmp(event->verb, "."))
		buf_addf(&detail->texts, "%s\n", event->message->sha256);
	if (event->kind == DIALOGUE_COMMAND)
		detail_command(detail, event);
	else if (event->kind == DIALOGUE_REPLY && event->tag)
		buf_addf(&detail->replies, "%s %s\n", event->tag, event->status);
	else if (event->kind == DIALOGUE_REPLY && event->protocol == DIALOGUE_PROTOCOL_POP3)
		buf_addf(&detail->replies, "%s\n", event->status);
	else if (event->kind == DIALOGUE_REPLY && event->code)
		buf_addf(&detail->replies, "%d\n", event->code);
}

/* One frame, which holds one line. */
static void read_detail(struct detail *details, char *line)
{
	char *field[11] = {0};
	struct detail *detail;
	size_t index;

	for (size_t i = 0; i < ARRAY_SIZE(field); i++)
		field[i] = line ? strsep(&line, "\t") : (char *)"";
	index = strtoul(field[0], NULL, 10);
	if (!*field[0] || index >= SCRIPTS_MAX)
		return;
	detail = &details[index];
	if (*field[1])
		add_command(&detail->commands, field[1], field[2]);
	if (*field[3])
		buf_addf(&detail->replies, "%s\n", field[3]);
	if (is_tag(field[4]))
		buf_addf(&detail->commands, "%s %s\n", field[4], field[5]);
	if (is_tag(field[6]))
		buf_addf(&detail->replies, "%s %s\n", field[6], field[7]);
	if (*field[8])
		add_command(&detail->commands, field[8], field[9]);
	if (*field[10])
		buf_addf(&detail->replies, "%s\n", field[10]);
}

/* What we found out of a port's protocol tshark must be told. */
static size_t add_decodes(char **argv, size_t n, const struct detail *ours, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *name = ours[i].protocol == DIALOGUE_PROTOCOL_POP3	? "pop"
				   : ours[i].protocol == DIALOGUE_PROTOCOL_IMAP ? "imap"
				   : ours[i].protocol == DIALOGUE_PROTOCOL_SMTP ||
						   ours[i].protocol == DIALOGUE_PROTOCOL_LMTP
					   ? "smtp"
					   : NULL;

		if (!name)
			continue;
		argv[n++] = text_dup("-d");
		argv[n++] = text_fmt("tcp.port==%u,%s", ours[i].port, name);
	}
	return n;
}

static void tshark_golden(
	char *path, const struct detail *ours, size_t count, const char *export, struct buf *out)
{
	static const char *const words[] = {"tshark", "-n", "-r", NULL, "-T", "fields", "-e",
		"tcp.stream", "-e", "smtp.req.command", "-e", "smtp.req.parameter", "-e",
		"smtp.response.code", "-e", "imap.request_tag", "-e", "imap.request.command", "-e",
		"imap.response_tag", "-e", "imap.response.status", "-e", "pop.request.command",
		"-e", "pop.request.parameter", "-e", "pop.response.indicator"};
	char *argv[ARRAY_SIZE(words) + 2 * SCRIPTS_MAX + 4] = {0};
	size_t n = 0;

	for (; n < ARRAY_SIZE(words); n++)
		argv[n] = text_dup(words[n] ? words[n] : path);
	n = add_decodes(argv, n, ours, count);
	if (export) {
		argv[n++] = text_dup("--export-objects");
		argv[n++] = text_fmt("imf,%s", export);
	}
	run(argv, out);
	while (n)
		free(argv[--n]);
}

/* 0: none; -1, 1: tshark tells fewer commands, or more. */
static int lapse_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(lapses); i++)
		if (!strcmp(lapses[i].name, name))
			return lapses[i].more ? 1 : -1;
	return 0;
}

/* Every line of `part` is in `whole`, in the same order. */
static bool in_order(const char *part, const char *whole)
{
	for (size_t len; *part; part += len) {
		len = strcspn(part, "\n") + 1;
		while (*whole &&
			(strcspn(whole, "\n") + 1 != len || strncmp(part, whole, len) != 0))
			whole += strcspn(whole, "\n") + 1;
		if (!*whole)
			return false;
		whole += len;
	}
	return true;
}

static void compare_details(
	const struct golden *golden, const struct detail *ours, const struct detail *theirs)
{
	for (unsigned int i = 0; i < golden->count; i++) {
		const char *got = buf_text(&ours[i].commands);
		const char *want = buf_text(&theirs[i].commands);
		int lapse = lapse_of(golden->names[i]);
		bool ok = CHECK_STR(buf_text(&ours[i].replies), buf_text(&theirs[i].replies));

		if (lapse) /* and should tshark ever find its way, the table is wrong */
			ok = CHECK(strcmp(got, want) != 0) &&
			     CHECK(lapse > 0 ? in_order(got, want) : in_order(want, got)) && ok;
		else
			ok = CHECK_STR(got, want) && ok;
		if (!ok)
			fprintf(stderr, "in '%s' (want: tshark's)\n", golden->names[i]);
	}
}

static void details_free(struct detail *details)
{
	for (size_t i = 0; i < SCRIPTS_MAX; i++) {
		buf_free(&details[i].commands);
		buf_free(&details[i].replies);
		buf_free(&details[i].texts);
	}
	free(details);
}

/* Hashes of each mail that tshark exports; with and without the last line end, which it may drop. */
static void read_exports(const char *dir, struct buf *out)
{
	struct dirent **list = NULL;
	int n = scandir(dir, &list, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		auto_free char *path = path_join(dir, list[i]->d_name);
		auto_buf struct buf mail = {0};
		auto_buf struct buf clean = {0};
		char plain[HASH_HEX_SIZE], ended[HASH_HEX_SIZE];

		if (list[i]->d_name[0] != '.' && !fs_read(path, OUTPUT_MAX, &mail, NULL)) {
			unstuff(&mail, &clean);
			hash_bytes(clean.data, clean.len, plain);
			buf_add_str(&clean, "\r\n");
			hash_bytes(clean.data, clean.len, ended);
			buf_addf(out, "%s\n%s\n", plain, ended);
		}
		free(list[i]);
	}
	free(list);
}

/*
 * Each mail that DATA sent is among those that tshark exports, out of whole turns, as it finds them best. It exports no
 * mail of BDAT nor of APPEND, and of POP3 only where each reply has a segment of its own.
 */
static void check_golden_mails(const struct golden *golden, const struct detail *ours, char *path)
{
	auto_free char *dir = path_join(check_dir(), "mails");
	auto_buf struct buf exported = {0};
	auto_buf struct buf out = {0};
	size_t mails = 0;

	tshark_golden(path, ours, golden->count, dir, &out);
	read_exports(dir, &exported);
	fs_remove_tree(dir, NULL);
	for (unsigned int i = 0; i < golden->count; i++) {
		const char *text = buf_text(&ours[i].texts);

		if (lapse_of(golden->names[i]))
			continue;
		for (; *text; text += strcspn(text, "\n") + 1, mails++) {
			auto_free char *hash = text_dup_n(text, strcspn(text, "\n"));

			if (!CHECK(*hash && strstr(buf_text(&exported), hash)))
				fprintf(stderr, "a mail of '%s' is none of tshark's\n",
					golden->names[i]);
		}
	}
	CHECK(mails >= TEXTS_MIN);
}

static void agrees_with_tshark_on_the_golden_conversations(void)
{
	auto_free char *turns_path = path_join(check_dir(), "golden.pcap");
	auto_free char *lines_path = path_join(check_dir(), "golden-lines.pcap");
	struct detail *details = mem_zero(SCRIPTS_MAX, sizeof(*details));
	struct detail *told = mem_zero(SCRIPTS_MAX, sizeof(*told));
	auto_buf struct buf out = {0};
	struct golden golden = {0};
	struct reading *ours, *theirs;

	if (!fs_exists("/usr/bin/tshark")) {
		check_skip("tshark is not installed");
		return;
	}
	golden_make(&golden);
	CHECK(golden.count >= 20);
	gen_save(&golden.turns, turns_path);
	gen_save(&golden.lines, lines_path);
	ours = our_reading(&golden.turns);
	theirs = tshark_streams(turns_path, ours->count);
	compare_streams("golden", ours, theirs);
	tell_capture(&golden.turns, ports, 0, on_detail, details);
	tshark_golden(lines_path, details, golden.count, NULL, &out);
	for (char *rest = out.data, *line; rest && (line = strsep(&rest, "\n"));)
		read_detail(told, line);
	compare_details(&golden, details, told);
	check_golden_mails(&golden, details, turns_path);
	details_free(details);
	details_free(told);
	reading_free(ours);
	reading_free(theirs);
	golden_free(&golden);
}

CHECK_MAIN(CHECK_CASE(agrees_with_tshark_on_the_golden_conversations))
