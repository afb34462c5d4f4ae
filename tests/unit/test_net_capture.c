#include "tests/check/check.h"
#include "tests/fake/wire_gen.h"

#include "base/fs.h"
#include "net/capture.h"
#include "net/decode.h"

#include <errno.h>
#include <pcap/dlt.h>
#include <string.h>

static char *save(const char *name, const void *bytes, size_t len)
{
	static const char *dir;
	char *path;

	if (!dir)
		dir = check_dir();
	path = path_join(dir, name);

	CHECK_INT(fs_write_atomic(path, bytes, len, NULL), 0);
	return path;
}

static void a_capture(struct gen *gen, struct buf *file)
{
	struct gen_conn conn = gen_conn(1, 25, false);
	auto_free char *path = path_join(check_dir(), "a.pcap");

	gen_init(gen, DLT_EN10MB);
	gen_open(gen, &conn);
	gen_text(gen, &conn, GEN_SERVER, "220 hi\r\n");
	gen_save(gen, path);
	CHECK_INT(fs_read(path, 1 << 20, file, NULL), 0);
}

static void says_in_one_sentence_what_is_wrong_with_a_file(void)
{
	static const struct {
		const char *bytes;
		size_t len;
		int code;
		const char *text;
	} cases[] = {
		{"", 0, -ENODATA, "' is empty"},
		{"\x1f\x8b\x08", 3, -EINVAL, "' is compressed with gzip; unpack it first"},
		{"\x28\xb5\x2f\xfd more", 9, -EINVAL, "' is compressed with zstd; unpack it first"},
		{"\xfd"
		 "7zXZ",
			5, -EINVAL, "' is compressed with xz; unpack it first"},
		{"From: me", 8, -EINVAL, "' is no capture file: "},
		{"\xd4\xc3\xb2\xa1\x02", 5, -EINVAL, "' is no capture file: "},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *path = save("bad", cases[i].bytes, cases[i].len);
		struct capture *capture = NULL;
		struct err err = {0};

		CHECK_INT(capture_open_file(&capture, path, &err), cases[i].code);
		CHECK_HAS(err.text, cases[i].text);
		CHECK(!capture);
	}
}

static void names_a_file_that_is_not_there(void)
{
	struct capture *capture = NULL;
	struct err err = {0};

	CHECK_INT(capture_open_file(&capture, "/nowhere/x.pcap", &err), -ENOENT);
	CHECK_STR(err.text, "cannot open '/nowhere/x.pcap': No such file or directory");
}

/* Every frame before the cut is read, at every length a file may have been cut to. */
static void reads_a_cut_file_up_to_the_cut(void)
{
	auto_buf struct buf file = {0};
	struct gen gen;

	a_capture(&gen, &file);
	for (size_t len = 24; len < file.len; len++) {
		auto_free char *path = save("cut.pcap", file.data, len);
		struct capture *capture = NULL;
		struct frame frame;
		struct err err = {0};
		size_t whole = 0, end = 24;
		int rc;

		if (!CHECK_INT(capture_open_file(&capture, path, &err), 0))
			break;
		for (size_t i = 0; i < gen.count && end + 16 + gen.frames[i].captured <= len; i++) {
			end += 16 + gen.frames[i].captured;
			CHECK_INT(capture_next(capture, &frame, &err), 1);
			CHECK_INT(frame.ns, gen.frames[i].ns);
			whole++;
		}
		rc = capture_next(capture, &frame, &err);
		CHECK_INT(rc, end == len ? 0 : -ENODATA);
		if (rc)
			CHECK_HAS(err.text, "' is cut off: ");
		capture_close(capture);
	}
	gen_free(&gen);
}

static void refuses_a_filter_that_does_not_parse(void)
{
	auto_buf struct buf file = {0};
	auto_free char *path = NULL;
	struct capture *capture = NULL;
	struct err err = {0};
	struct gen gen;

	a_capture(&gen, &file);
	path = save("f.pcap", file.data, file.len);
	CHECK_INT(capture_open_file(&capture, path, &err), 0);
	CHECK_INT(capture_filter(capture, "tcp prot 25", &err), -EINVAL);
	CHECK_HAS(err.text, "filter 'tcp prot 25': ");
	CHECK_INT(capture_filter(capture, "udp", &err), 0);
	CHECK_INT(capture_next(capture, &(struct frame){0}, &err), 0);
	capture_close(capture);
	gen_free(&gen);
}

static void knows_no_decoder_for_other_link_types(void)
{
	CHECK(!decoder_new(DLT_IEEE802_11));
	CHECK(!decoder_new(-1));
}

CHECK_MAIN(CHECK_CASE(says_in_one_sentence_what_is_wrong_with_a_file),
	CHECK_CASE(names_a_file_that_is_not_there), CHECK_CASE(reads_a_cut_file_up_to_the_cut),
	CHECK_CASE(refuses_a_filter_that_does_not_parse),
	CHECK_CASE(knows_no_decoder_for_other_link_types))
