/*
 * Seeds for the fuzzers of the wire: `seeds DIR` makes DIR/fuzz_net_capture/ with captures of mail
 * conversations on each kind of link, DIR/fuzz_net_dialogue/ with the same conversations as that fuzzer's
 * records, DIR/fuzz_net_tls/ with some of them inside TLS, DIR/fuzz_witness/ with frames, DIR/fuzz_core/ with
 * maps and frees, DIR/fuzz_reach/ with a program, and DIR/fuzz_mail_response/ with what IMAP servers say.
 */
#include "base/fs.h"
#include "base/json.h"
#include "tests/fake/nasty_gen.h"
#include "tests/fake/tls_gen.h"
#include "tests/fuzz/seeds.h"
#include "vm/witness_frame.h"
#include "vm/witness_wire.h"

#include <elf.h>
#include <pcap/dlt.h>
#include <stddef.h>
#include <string.h>

#define CAPTURES   5 /* of each protocol */
#define RECORD_MAX 32

static char *place(const char *dir, const char *fuzzer, unsigned int number)
{
	auto_free char *folder = path_join(dir, fuzzer);

	if (fs_mkdir_p(folder, NULL))
		abort();
	return text_fmt("%s/%u", folder, number);
}

static void save(const struct buf *out, const char *path)
{
	if (fs_write_atomic(path, out->data, out->len, NULL))
		abort();
}

static void save_capture(const struct talk *talk, const char *path, unsigned int n, struct rng *rng)
{
	static const int links[CAPTURES] = {
		DLT_EN10MB, DLT_RAW, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL};
	struct gen_conn conn = gen_conn(n, mail_port(talk->protocol), n % 2);
	const struct nasty nasty = {.segment_max = 400, .again = 5, .overlap = 5, .swap = 5};
	struct gen gen;

	gen_init(&gen, links[n % CAPTURES]);
	talk_send(talk, &gen, &conn, &nasty, rng);
	gen_save(&gen, path);
	gen_free(&gen);
}

/* A byte for the port, then records: who and how much, and the bytes. */
static void save_records(const struct talk *talk, const char *path)
{
	auto_buf struct buf out = {0};
	char head = (char)talk->protocol;

	buf_add(&out, &head, 1);
	for (size_t i = 0; i < talk->count; i++) {
		const struct turn *turn = &talk->turns[i];

		for (size_t at = 0; at < turn->bytes.len; at += RECORD_MAX) {
			size_t left = turn->bytes.len - at;
			size_t len = left < RECORD_MAX ? left : RECORD_MAX;

			head = (char)((len - 1) << 3 | (turn->from == GEN_SERVER));
			buf_add(&out, &head, 1);
			buf_add(&out, turn->bytes.data + at, len);
		}
	}
	save(&out, path);
}

static void add_two(struct buf *out, size_t n)
{
	buf_addc(out, (char)(n >> 8));
	buf_addc(out, (char)n);
}

/* The key log, then records: who, how much, and the bytes. */
static void save_tls(const struct talk *talk, const struct tls_way *way, const char *path)
{
	auto_buf struct buf keys = {0};
	auto_buf struct buf out = {0};
	struct talk sealed;

	tls_wrap(talk, way, &sealed, &keys);
	add_two(&out, keys.len);
	buf_add(&out, keys.data, keys.len);
	for (size_t i = 0; i < sealed.count; i++) {
		const struct turn *turn = &sealed.turns[i];

		for (size_t at = 0; at < turn->bytes.len; at += UINT16_MAX) {
			size_t left = turn->bytes.len - at;
			size_t len = left < UINT16_MAX ? left : UINT16_MAX;

			buf_addc(&out, turn->from == GEN_SERVER);
			add_two(&out, len);
			buf_add(&out, turn->bytes.data + at, len);
		}
	}
	save(&out, path);
	talk_free(&sealed);
}

/* The size of the pieces, the mark, an answer and an event. */
static void save_frames(const char *path)
{
	static const char *const texts[] = {"{\"id\":1,\"ok\":true,\"guest_ns\":5}",
		"{\"event\":\"log\",\"seq\":1,\"guest_ns\":6,\"line\":\"\\\\x00\"}"};
	auto_buf struct buf out = {0};

	buf_add(&out, "\7", 1);
	for (size_t i = 0; i < WITNESS_RESET_BYTES; i++)
		buf_add(&out, "\xff", 1);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		auto_json json_t *json = json_loads(texts[i], 0, NULL);

		if (witness_frame_add(&out, json, WITNESS_FRAME_MAX, NULL))
			abort();
	}
	save(&out, path);
}

struct program {
	Elf64_Ehdr head;
	Elf64_Phdr loader;
	Elf64_Shdr sections[3];
	Elf64_Sym symbols[2];
	Elf64_Dyn dynamic[3];
	char texts[32];
};

/* A program that takes a function from a library, and says where that is. */
static void save_program(const char *path)
{
	struct program file = {
		.head = {.e_ident = ELFMAG, .e_shnum = 3, .e_phnum = 1},
		.loader = {.p_type = PT_INTERP},
		.symbols = {{0}, {.st_name = 1}},
		.dynamic = {{.d_tag = DT_NEEDED, .d_un.d_val = 7},
			{.d_tag = DT_RUNPATH, .d_un.d_val = 17}},
		.texts = "\0fsync\0libx.so.1\0/usr/lib/x",
	};
	auto_buf struct buf out = {0};

	file.head.e_ident[EI_CLASS] = ELFCLASS64;
	file.head.e_ident[EI_DATA] = ELFDATA2LSB;
	file.head.e_phoff = offsetof(struct program, loader);
	file.head.e_phentsize = sizeof(Elf64_Phdr);
	file.head.e_shoff = offsetof(struct program, sections);
	file.head.e_shentsize = sizeof(Elf64_Shdr);
	file.sections[0] = (Elf64_Shdr){.sh_type = SHT_DYNSYM,
		.sh_offset = offsetof(struct program, symbols),
		.sh_size = sizeof(file.symbols),
		.sh_link = 2};
	file.sections[1] = (Elf64_Shdr){.sh_type = SHT_DYNAMIC,
		.sh_offset = offsetof(struct program, dynamic),
		.sh_size = sizeof(file.dynamic),
		.sh_link = 2};
	file.sections[2] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
		.sh_offset = offsetof(struct program, texts),
		.sh_size = sizeof(file.texts)};
	buf_add(&out, (const char *)&file, sizeof(file));
	save(&out, path);
}

/* Texts that are seeds as they are. */
static void save_texts(const char *dir)
{
	static const struct {
		const char *fuzzer, *text;
	} texts[] = {
		{"fuzz_core",
			"\1"
			"55d0c0000000-55d0c0001000 r--p 00000000 fe:00 12   /usr/lib/store\n"},
		{"fuzz_core", "\2"
			      "free 55d0c1000010 48 7 0 0 1 0 0 2500 55d0c0000500 7ffc10 7ffc80 "
			      "00ff10\nhold 7 1\n"
			      "made 55d0c1000010 8 9000 55d0c0000500 7ffc10 7ffc80 00ff\n"},
		{"fuzz_json_tape", "{\"t\":0.5,\"a\":[1,-2.5e3,true,null,[],{}],\"b\":{\"c\":"
				   "\"\\u20ac\\n\"}}"},
		{"fuzz_json_tape",
			"[\"\\ud834\\udd1e eight and more\", 9007199254740993.0, \"\xc3\xa9\"]"},
		{"fuzz_history",
			"{\"t\":0,\"ev\":\"phase\",\"name\":\"workload\"}\n"
			"{\"t\":1,\"ev\":\"begin\",\"id\":1,\"who\":\"w.1\",\"op\":\"smtp-"
			"message\","
			"\"token\":\"m1\",\"from\":\"w@sink.rig\",\"to\":[\"u1@store\"],\"sha256\":"
			"\"aa\"}\n"
			"{\"t\":2,\"ev\":\"attempt\",\"hop\":\"edge\",\"conn\":1,\"token\":\"m1\","
			"\"to\":"
			"\"u1@store\",\"result\":\"2yz\",\"code\":250,\"dot_t\":1,\"reply_t\":2}\n"
			"{\"t\":2,\"ev\":\"end\",\"id\":1,\"op\":\"smtp-message\",\"outcome\":"
			"\"OK\"}\n"
			"{\"t\":3,\"ev\":\"fault\",\"step\":\"f\",\"fault\":\"freeze-fs\","
			"\"state\":"
			"\"in-force\"}\n"
			"{\"t\":8,\"ev\":\"copy\",\"user\":\"u1\",\"mailbox\":\"INBOX\",\"uid\":1,"
			"\"token\":\"m1\",\"sha256\":\"aa\",\"whole\":true}\n"
			"{\"t\":9,\"ev\":\"phase\",\"name\":\"end\"}\n"},
		{"fuzz_history",
			"{\"t\":1,\"ev\":\"imap\",\"s\":1,\"open\":{\"who\":\"m\",\"user\":\"u1\"}}"
			"\n"
			"{\"t\":1,\"ev\":\"imap\",\"s\":1,\"sent\":\"r2\",\"command\":\"SELECT "
			"INBOX\"}"
			"\n"
			"{\"t\":1,\"ev\":\"imap\",\"s\":1,\"told\":[{\"exists\":3},{\"code\":"
			"\"UIDVALIDITY "
			"7\"},{\"fetch\":1,\"uid\":1,\"flags\":\"\",\"modseq\":10}]}\n"
			"{\"t\":1,\"ev\":\"imap\",\"s\":1,\"done\":\"r2\",\"status\":\"OK\"}\n"
			"{\"t\":2,\"ev\":\"imap\",\"s\":1,\"sent\":\"r3\",\"command\":\"UID STORE "
			"1:* "
			"+FLAGS (\\\\Deleted)\"}\n"
			"{\"t\":2,\"ev\":\"imap\",\"s\":1,\"told\":[{\"expunge\":1},{\"vanished\":"
			"\"2:3\"}]}\n"
			"{\"t\":2,\"ev\":\"imap\",\"s\":1,\"done\":\"r3\",\"status\":\"OK\"}\n"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(texts); i++) {
		auto_free char *path = place(dir, texts[i].fuzzer, i);
		auto_buf struct buf out = {0};

		buf_add_str(&out, texts[i].text);
		save(&out, path);
	}
}

/* The first byte, a digit, is both where the list ends and the size of its first file. */
static void save_file_list(const char *dir)
{
	auto_free char *path = place(dir, "fuzz_file_list", 0);
	auto_buf struct buf out = {0};

	buf_add_str(&out, "5 /srv/mail/u1/a");
	buf_addc(&out, '\0');
	buf_addf(&out, "6 /srv/mail/u1/%*s", '5' - 17 - 16, "b");
	buf_addc(&out, '\0');
	buf_add_str(&out, "aGVsbG8=hello");
	save(&out, path);
}

static const struct tls_way tls_ways[] = {
	{"1.2", false, "ECDHE-ECDSA-AES128-GCM-SHA256", .bare = true},
	{"1.2 ChaCha20", false, "ECDHE-ECDSA-CHACHA20-POLY1305", .bare = true},
	{"1.3", true, "TLS_AES_256_GCM_SHA384", .bare = true, .rekey = true},
	{"1.3 another group", true, "TLS_AES_128_GCM_SHA256", .bare = true, .retry = true},
};

/* What a server said, and words that generated talks lack. */
static void save_responses(const struct talk *talk, const char *path)
{
	auto_buf struct buf out = {0};

	buf_add_str(&out, "* 6 EXISTS\r\n* 2 FETCH (UID 9 MODSEQ (12) FLAGS (\\Seen $Rig) BODY[] "
			  "{4}\r\nabcd)\r\n"
			  "* VANISHED 3:5,9\r\n* VANISHED (EARLIER) 1\r\n* 1 EXPUNGE\r\n* OK "
			  "[UIDNEXT 7] x\r\n"
			  "* STATUS \"a b\" (MESSAGES 3 UIDNEXT 7)\r\n* LIST (\\Noselect) \"/\" "
			  "{1}\r\nx\r\n");
	for (size_t i = 0; i < talk->count; i++)
		if (talk->turns[i].from == GEN_SERVER)
			buf_add(&out, talk->turns[i].bytes.data, talk->turns[i].bytes.len);
	save(&out, path);
}

void make_seeds(const char *dir)
{
	struct rng rng = rng_stream(1, "fuzz.seeds");
	auto_free char *frames = place(dir, "fuzz_witness", 0);
	auto_free char *program = place(dir, "fuzz_reach", 0);

	save_frames(frames);
	save_program(program);
	save_texts(dir);
	save_file_list(dir);
	for (unsigned int n = 0; n < CAPTURES * MAIL_PROTOCOLS; n++) {
		struct talk talk = talk_make(&rng, (enum mail_protocol)(n / CAPTURES));
		auto_free char *capture = place(dir, "fuzz_net_capture", n);
		auto_free char *records = place(dir, "fuzz_net_dialogue", n);

		save_capture(&talk, capture, n, &rng);
		save_records(&talk, records);
		if (talk.protocol == MAIL_IMAP) {
			auto_free char *responses = place(dir, "fuzz_mail_response", n);

			save_responses(&talk, responses);
		}
		if (n < ARRAY_SIZE(tls_ways)) {
			auto_free char *tls = place(dir, "fuzz_net_tls", n);

			save_tls(&talk, &tls_ways[n], tls);
		}
		talk_free(&talk);
	}
}
