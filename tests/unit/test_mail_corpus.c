#include "base/fs.h"
#include "mail/corpus.h"
#include "tests/check/check.h"

#include <unistd.h>

static char *dir;

static void put(const char *package, const char *name, const char *text)
{
	auto_free char *folder = text_fmt("%s/%s", dir, package);
	auto_free char *path = path_join(folder, name);

	CHECK_INT(fs_mkdir_p(folder, NULL), 0);
	CHECK_INT(fs_write_atomic(path, text, strlen(text), NULL), 0);
}

static void check_message(
	const struct corpus *corpus, size_t index, const char *name, const char *text)
{
	auto_buf struct buf bytes = {0};
	const char *source = NULL;

	CHECK_INT(corpus_read(corpus, index, &bytes, &source, NULL), 0);
	CHECK_STR(source, name);
	CHECK_STR(buf_text(&bytes), text);
}

static void messages_come_in_the_order_of_their_names_and_again_from_the_first(void)
{
	struct corpus *corpus = NULL;

	dir = path_join(check_dir(), "order");
	put("b-package", "1.eml", "third");
	put("a-package", "2.eml", "second");
	put("a-package", "1.eml", "first");
	if (!CHECK_INT(corpus_open(&corpus, dir, NULL), 0))
		return;
	CHECK_INT(corpus_count(corpus), 3);
	check_message(corpus, 0, "a-package/1.eml", "first");
	check_message(corpus, 1, "a-package/2.eml", "second");
	check_message(corpus, 2, "b-package/1.eml", "third");
	check_message(corpus, 3, "a-package/1.eml", "first");
	corpus_close(corpus);
	free(dir);
}

static void links_empty_and_hidden_files_are_no_messages(void)
{
	struct corpus *corpus = NULL;
	auto_free char *link = NULL;

	dir = path_join(check_dir(), "odd");
	put("package", "1.eml", "mail");
	put("package", "empty", "");
	put("package", ".hidden", "x");
	put(".hidden", "1.eml", "x");
	link = text_fmt("%s/package/link", dir);
	CHECK_INT(symlink("/etc/passwd", link), 0);
	if (CHECK_INT(corpus_open(&corpus, dir, NULL), 0))
		CHECK_INT(corpus_count(corpus), 1);
	corpus_close(corpus);
	free(dir);
}

static void a_folder_without_mail_says_what_to_do(void)
{
	struct corpus *corpus = NULL;
	struct err err = {0};

	CHECK_INT(corpus_open(&corpus, "/nonexistent", &err), -ENOENT);
	CHECK_STR(err.text, "there is no real mail in '/nonexistent'; run make corpus");
	CHECK(!corpus);
}

CHECK_MAIN(CHECK_CASE(messages_come_in_the_order_of_their_names_and_again_from_the_first),
	CHECK_CASE(links_empty_and_hidden_files_are_no_messages),
	CHECK_CASE(a_folder_without_mail_says_what_to_do))
