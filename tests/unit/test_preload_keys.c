/*
 * The secrets of a program's TLS sessions reach the board, whoever loads libssl and however.
 */
#include "tests/fake/tls_gen.h"
#include "tests/unit/preload_fixture.h"

#include <dlfcn.h>
#include <sys/mman.h>

#define LINE_ROOM 512

static struct buf got; /* lines, as they were told */

static void on_key(const char *line)
{
	buf_add_str(&got, line);
	buf_addc(&got, '\n');
}

/* ---- the victims ---- */

/* Both ends of a session; it prints the log of the one that has a callback of its own: the server. */
static int victim_talks(const char *arg)
{
	struct tls_way way = {"", *arg == '3',
		*arg == '3' ? "TLS_AES_128_GCM_SHA256" : "ECDHE-ECDSA-AES128-GCM-SHA256",
		.bare = true};
	struct turn turns[] = {{GEN_SERVER, {.data = (char *)(uintptr_t) "hi", .len = 2}}};
	struct talk talk = {MAIL_SMTP, turns, 1, 1, {0}}, sealed;
	auto_buf struct buf keys = {0};

	tls_wrap(&talk, &way, &sealed, &keys);
	talk_free(&sealed);
	tell("%s", buf_text(&keys));
	return VICTIM_OK;
}

/* As a module that a program loads later, and sees alone. */
static int victim_loads_it_late(const char *arg)
{
	void *library = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);
	void *(*make)(const void *method) = NULL;
	const void *(*method)(void) = NULL;
	void *(*asked)(const void *context) = NULL;
	void *context;

	(void)arg;
	EXPECT(library);
	*(void **)&make =
		dlsym(RTLD_DEFAULT, "SSL_CTX_new"); /* as the module's own call is bound */
	*(void **)&method = dlsym(library, "TLS_server_method");
	*(void **)&asked = dlsym(library, "SSL_CTX_get_keylog_callback");
	EXPECT(make && method && asked);
	context = make(method());
	EXPECT(context && asked(context));
	return VICTIM_OK;
}

static const struct victim_kind kinds[] = {
	{"talks", victim_talks},
	{"loads_it_late", victim_loads_it_late},
};

/* ---- the cases ---- */

static size_t lines_of(const struct buf *text)
{
	size_t count = 0;

	for (size_t i = 0; i < text->len; i++)
		count += text->data[i] == '\n';
	return count;
}

static void take_keys(size_t want)
{
	int64_t deadline = deadline_in_ms(WAIT_MS);
	struct board_event event;

	while (lines_of(&got) < want && deadline_left_ms(deadline) > 0)
		if (board_control_wait_event(&event, NULL, 50) < 0)
			break;
}

static void check_talk(const char *version, size_t lines)
{
	char line[LINE_ROOM];
	struct victim victim;

	fresh_board();
	buf_free(&got);
	board_control_watch_keys(on_key);
	victim = victim_start("talks", version);
	take_keys(lines);
	CHECK(lines_of(&got) >= lines);
	for (size_t i = 0; i < lines; i++) {
		size_t len = 0;

		while (len + 1 < sizeof(line) &&
			io_read(victim.out, line + len, 1, deadline_in_ms(WAIT_MS)) == 1 &&
			line[len++] != '\n')
			;
		line[len] = '\0';
		CHECK(len > 100);
		CHECK_HAS(buf_text(&got), line);
	}
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	buf_free(&got);
}

static void secrets_of_both_versions_are_told(void)
{
	check_talk("2", 1); /* CLIENT_RANDOM */
	check_talk("3", 4); /* handshake and traffic, of both sides */
}

static void a_library_loaded_late_is_heard_too(void)
{
	struct victim victim;

	fresh_board();
	victim = victim_start("loads_it_late", NULL);
	CHECK_INT(victim_end(&victim), VICTIM_OK);
}

/* The board is everybody's: nonsense in the ring neither stops the witness nor makes it loop. */
static void nonsense_in_the_ring_is_passed_by(void)
{
	struct board_event event;
	struct board *board;
	int fd;

	fresh_board();
	buf_free(&got);
	board_control_watch_keys(on_key);
	fd = open(board_file, O_RDWR | O_CLOEXEC);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	CHECK(board != MAP_FAILED);
	for (int i = 0; i < 2; i++) {
		atomic_store(&board->key_head, i ? 3 : UINT64_MAX - 5);
		memset(board->keys, 0xff, sizeof(board->keys));
		CHECK_INT(board_control_wait_event(&event, NULL, 10), 0);
	}
	memset(board->keys, 0, sizeof(board->keys));
	atomic_store(&board->key_head, 0);
	CHECK_INT(board_control_wait_event(&event, NULL, 10), 0);
	strcpy(board->keys[0].line, "one");
	atomic_store(&board->keys[0].ticket, 1);
	atomic_store(&board->key_head, 1);
	CHECK_INT(board_control_wait_event(&event, NULL, 10), 0);
	CHECK_STR(buf_text(&got), "one\n");
	munmap(board, sizeof(*board));
	buf_free(&got);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {CHECK_CASE(secrets_of_both_versions_are_told),
		CHECK_CASE(a_library_loaded_late_is_heard_too),
		CHECK_CASE(nonsense_in_the_ring_is_passed_by)};

	return preload_main(kinds, ARRAY_SIZE(kinds), cases, ARRAY_SIZE(cases), argc, argv);
}
