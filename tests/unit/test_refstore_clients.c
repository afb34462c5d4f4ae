/* The reference store used by clients that nobody here wrote. */
#include "tests/unit/refstore_fixture.h"

#include "base/fs.h"

#include <string.h>

#define MAIL                                                                \
	"From: a@sink.rig\r\nTo: u1@store\r\nSubject: from outside\r\n\r\n" \
	"a line\r\n..two dots\r\nthe end\r\n"

static bool have(const char *program)
{
	auto_free char *line = text_fmt("command -v %s >/dev/null", program);
	char *argv[] = {(char *)"sh", (char *)"-c", line, NULL};
	auto_buf struct buf out = {0};
	bool found = proc_run(argv, deadline_in_ms(COMMAND_MS), &out, 4096, NULL) == 0;

	if (!found)
		check_skip("'%s' is not installed", program);
	return found;
}

static int shell(struct buf *out, const char *line)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)line, NULL};

	return proc_run(argv, deadline_in_ms(COMMAND_MS), out, 1 << 20, NULL);
}

static void stop(void)
{
	CHECK_INT(refctl(NULL, "stop", NULL, NULL), 0);
}

static char *mail_file(void)
{
	char *path = path_join(check_dir(), "mail");

	CHECK_INT(fs_write_atomic(path, MAIL, strlen(MAIL), NULL), 0);
	return path;
}

static void curl_over_smtp(const char *file)
{
	auto_free char *line = text_fmt("curl -sS smtp://127.0.0.1:%d --mail-from a@sink.rig "
					"--mail-rcpt u1@store -T '%s'",
		25 + offset, file);
	auto_buf struct buf out = {0};

	CHECK_INT(shell(&out, line), 0);
}

/* Local delivery is a moment behind the 250. */
static void curl_fetches(const char *url, const char *want)
{
	auto_free char *line = text_fmt("curl -sS -u u1:u1 '%s'", url);
	int64_t deadline = deadline_in_ms(SOON_MS);
	auto_buf struct buf out = {0};

	while (deadline_left_ms(deadline) && !strstr(buf_text(&out), want)) {
		buf_reset(&out);
		shell(&out, line);
	}
	CHECK_HAS(buf_text(&out), want);
}

static void curl_sends_mail_and_reads_it_by_imap_and_pop3(void)
{
	auto_free char *file = NULL, *imap = NULL, *pop3 = NULL;

	if (!have("curl"))
		return;
	fresh_store();
	file = mail_file();
	imap = text_fmt("imap://127.0.0.1:%d/INBOX;MAILINDEX=1", 143 + offset);
	pop3 = text_fmt("pop3://127.0.0.1:%d/1", 110 + offset);
	curl_over_smtp(file);
	curl_fetches(imap, "a line\r\n..two dots\r\nthe end");
	curl_fetches(pop3, "a line\r\n..two dots\r\nthe end");
	stop();
}

static void curl_appends_lists_and_deletes_by_imap(void)
{
	auto_free char *file = NULL, *append = NULL, *list = NULL, *flag = NULL, *search = NULL;
	auto_buf struct buf out = {0};

	if (!have("curl"))
		return;
	fresh_store();
	file = mail_file();
	append =
		text_fmt("curl -sS -u u1:u1 -T '%s' imap://127.0.0.1:%d/INBOX", file, 143 + offset);
	list = text_fmt("curl -sS -u u1:u1 imap://127.0.0.1:%d/", 143 + offset);
	flag = text_fmt("curl -sS -u u1:u1 imap://127.0.0.1:%d/INBOX -X 'STORE 1 +Flags "
			"\\Deleted' && curl -sS -u u1:u1 imap://127.0.0.1:%d/INBOX -X EXPUNGE",
		143 + offset, 143 + offset);
	search = text_fmt("curl -sS -u u1:u1 'imap://127.0.0.1:%d/INBOX?ALL'", 143 + offset);
	CHECK_INT(shell(&out, append), 0);
	CHECK_INT(shell(&out, list), 0);
	CHECK_HAS(buf_text(&out), "INBOX");
	buf_reset(&out);
	CHECK_INT(shell(&out, search), 0);
	CHECK_HAS(buf_text(&out), "SEARCH 1");
	CHECK_INT(shell(&out, flag), 0);
	buf_reset(&out);
	CHECK_INT(shell(&out, search), 0);
	CHECK(!strstr(buf_text(&out), "SEARCH 1"));
	stop();
}

static void curl_reads_the_web_page(void)
{
	auto_free char *line = NULL;
	auto_buf struct buf out = {0};

	if (!have("curl"))
		return;
	fresh_store();
	line = text_fmt(
		"curl -sS -o /dev/null -w '%%{http_code}' http://127.0.0.1:%d/", 80 + offset);
	CHECK_INT(shell(&out, line), 0);
	CHECK_STR(buf_text(&out), "200");
	stop();
}

static void swaks_is_told_what_is_taken_and_what_is_not(void)
{
	auto_free char *good = NULL, *bad = NULL;
	auto_buf struct buf out = {0};

	if (!have("swaks"))
		return;
	fresh_store();
	good = text_fmt("swaks --server 127.0.0.1 --port %d --from a@sink.rig --to u1@store 2>&1",
		25 + offset);
	bad = text_fmt(
		"swaks --server 127.0.0.1 --port %d --from a@sink.rig --to nobody@store 2>&1",
		25 + offset);
	CHECK_INT(shell(&out, good), 0);
	CHECK_HAS(buf_text(&out), "250 2.0.0 OK queued");
	buf_reset(&out);
	CHECK_INT(shell(&out, bad), 24); /* swaks: error in RCPT */
	CHECK_HAS(buf_text(&out), "550 5.1.1");
	stop();
}

#define MUTT_RC                                                                    \
	"set imap_user=u1 imap_pass=u1 ssl_starttls=no ssl_force_tls=no\n"         \
	"set quit=yes delete=yes copy=no mark_old=no wait_key=no move=no\n"        \
	"push \"<tag-pattern>~A<enter><tag-prefix><pipe-message>cat >>read<enter>" \
	"<delete-pattern>~A<enter><sync-mailbox><quit>\"\n"

/* Its keys come from the file; the FIFO is a keyboard that nobody touches. */
static void mutt_run(const char *dir)
{
	auto_free char *rc = path_join(dir, "muttrc");
	auto_free char *line = text_fmt("cd '%s' && mkfifo keys && HOME=. TERM=vt100 timeout 60 "
					"script -qec 'mutt -n -F muttrc -f "
					"imap://u1@127.0.0.1:%d/INBOX' /dev/null <>keys",
		dir, 143 + offset);
	auto_buf struct buf out = {0};

	CHECK_INT(fs_write_atomic(rc, MUTT_RC, strlen(MUTT_RC), NULL), 0);
	CHECK_INT(shell(&out, line), 0);
}

/* Headers of all at once, a whole message each, flags by UID, EXPUNGE, CLOSE. */
static void mutt_reads_all_mail_and_deletes_it(void)
{
	auto_free char *file = NULL, *url = NULL, *list = NULL, *read = NULL;
	auto_buf struct buf out = {0}, text = {0};
	const char *dir = check_dir();

	if (!have("mutt") || !have("script"))
		return;
	fresh_store();
	file = mail_file();
	url = text_fmt("imap://127.0.0.1:%d/INBOX?ALL", 143 + offset);
	list = text_fmt("curl -sS -u u1:u1 '%s'", url);
	read = path_join(dir, "read");
	curl_over_smtp(file);
	curl_fetches(url, "SEARCH 1");
	mutt_run(dir);
	CHECK_INT(fs_read(read, 1 << 20, &text, NULL), 0);
	CHECK_HAS(buf_text(&text), "Subject: from outside");
	CHECK_HAS(buf_text(&text), "a line\n..two dots\nthe end");
	CHECK_INT(shell(&out, list), 0);
	CHECK(!strstr(buf_text(&out), "SEARCH 1"));
	stop();
}

CHECK_MAIN(CHECK_CASE(curl_sends_mail_and_reads_it_by_imap_and_pop3),
	CHECK_CASE(curl_appends_lists_and_deletes_by_imap), CHECK_CASE(curl_reads_the_web_page),
	CHECK_CASE(mutt_reads_all_mail_and_deletes_it),
	CHECK_CASE(swaks_is_told_what_is_taken_and_what_is_not))
