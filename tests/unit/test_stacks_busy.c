/* Where a thread burns the processor: what the real witness sees of one, and what is common to its moments. */
#include "run/bed/stacks.h"

#include "tests/unit/witness_fixture.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define MOMENTS_MIN 4
#define MAPS_MAX    (256u << 10)

/* Another function of which nothing is common to two moments but its name. */
__attribute__((noinline)) static void gives_way(void)
{
	sched_yield();
}

__attribute__((noinline)) static void loops_for_ever(void)
{
	for (;;)
		gives_way();
}

static pid_t child_begin(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	loops_for_ever();
	_exit(0);
}

static void child_end(const pid_t *pid)
{
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
}

#define auto_child cleanup(child_end) pid_t

/* Time of a thread is rationed on a busy machine: asked again until there was enough of it. */
static json_t *moments_of(struct bench *b, pid_t pid)
{
	int64_t deadline = soon();
	json_t *samples = NULL;
	struct err err = {0};

	while (deadline_left_ms(deadline)) {
		if (witness_profile(b->w, pid, soon(), &samples, &err)) {
			check_skip("%s", err.text);
			return NULL;
		}
		if (json_array_size(samples) >= MOMENTS_MIN)
			return samples;
		json_cleanup(&samples);
	}
	CHECK(!"enough moments in time");
	return NULL;
}

static void a_busy_thread_is_seen_at_moments_at_which_it_runs(void)
{
	auto_child pid = child_begin();
	struct bench b;
	json_t *samples, *one;
	size_t i;

	if (!bench_open(&b))
		return;
	samples = moments_of(&b, pid);
	CHECK(json_array_size(samples) <= PROFILE_SAMPLES_MAX);
	json_array_foreach (samples, i, one) {
		CHECK(json_get_int(one, "pc", 0) > 0);
		CHECK(json_get_int(one, "sp", 0) > 0);
		CHECK(json_string_length(json_object_get(one, "stack")) > 0);
	}
	json_decref(samples);
	bench_close(&b);
}

/* In a guest no address is random, so there is less of it over a program's first stack than is asked for. */
static void a_stack_at_the_end_of_the_address_space_is_read_as_far_as_it_goes(void)
{
	char *const command[] = {(char *)"setarch", (char *)"-R", (char *)"sh", (char *)"-c",
		(char *)"while :; do :; done", NULL};
	auto_child pid = fork();
	struct bench b;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execve("/usr/bin/setarch", command, (char *[]){NULL});
		_exit(127);
	}
	if (!bench_open(&b))
		return;
	json_decref(moments_of(&b, pid));
	bench_close(&b);
}

static void who_does_not_run_has_no_moments_and_who_is_not_there_is_an_error(void)
{
	json_t *samples = NULL;
	struct err err = {0};
	struct bench b;

	if (!bench_open(&b))
		return;
	if (witness_profile(b.w, (int)b.pid, soon(), &samples, &err))
		check_skip("%s", err.text);
	else
		CHECK(json_array_size(samples) < PROFILE_SAMPLES_MAX);
	json_cleanup(&samples);
	CHECK(witness_profile(b.w, 1 << 30, soon(), &samples, &err) < 0);
	CHECK_HAS(err.text, "profile: ");
	CHECK(witness_profile(b.w, 0, soon(), &samples, &err) < 0);
	CHECK_INT(witness_ping(b.w, soon(), NULL, NULL), 0);
	bench_close(&b);
}

/* Its own files, where they are mapped. */
static void files_of(pid_t pid, struct stack_files *ret)
{
	auto_free char *path = text_fmt("/proc/%d/maps", pid);
	auto_buf struct buf text = {0};
	struct mapped_files mapped = {0};

	*ret = (struct stack_files){0};
	CHECK_INT(fs_read(path, MAPS_MAX, &text, NULL), 0);
	mapped_files_of_maps(buf_text(&text), &mapped);
	for (size_t i = 0; i < mapped.count; i++)
		ret->at[ret->count++] = (struct unwind_file){.base = mapped.at[i].base,
			.host_path = text_dup(mapped.at[i].path),
			.guest_path = text_dup(mapped.at[i].path)};
	mapped_files_free(&mapped);
}

static void a_busy_thread_has_the_functions_that_it_does_not_leave(void)
{
	auto_child pid = child_begin();
	auto_json json_t *task = json_pack("{si si}", "pid", (int)pid, "tid", (int)pid);
	struct stack_source source = {0};
	struct stack_files files;
	int64_t deadline = soon();
	auto_free char *text = NULL;
	json_t *samples, *busy;
	struct bench b;

	if (!bench_open(&b))
		return;
	source.witness = b.w;
	samples = moments_of(&b, pid);
	if (samples) {
		files_of(pid, &files);
		while (!stacks_add_busy(&source, task, &files) && deadline_left_ms(deadline))
			;
		busy = json_object_get(task, "busy");
		CHECK(json_get_int(task, "moments", 0) >= MOMENTS_MIN);
		text = json_dumps(busy, JSON_COMPACT);
		CHECK_HAS(text, "\"loops_for_ever\"");
		CHECK_HAS(text, "\"check_main\"");
		CHECK_STR(json_get_text(task, "loop", ""), "loops_for_ever");
		stack_files_close(&files);
	}
	json_decref(samples);
	bench_close(&b);
}

static void what_all_moments_have_is_the_loop_and_its_callers(void)
{
	static const struct {
		const char *stacks, *want;
	} rows[] = {
		{"[[\"a\",\"loop\",\"main\"],[\"b\",\"loop\",\"main\"]]", "[\"loop\",\"main\"]"},
		{"[[\"loop\",\"main\"],[\"b\",\"loop\",\"main\"]]", "[\"loop\",\"main\"]"},
		{"[[\"f\",\"f\",\"main\"],[\"f\",\"main\"]]", "[\"f\",\"main\"]"},
		{"[[\"a\"],[\"b\"]]", "[]"},
		{"[[\"a\"],[]]", "[]"},
		{"[[\"a\",7],[\"a\",7]]", "[\"a\"]"},
		{"[]", "[]"},
		{"[7,[\"a\"]]", "[]"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *stacks = json_loads(rows[i].stacks, 0, NULL);
		auto_json json_t *common = stacks_common(stacks);
		auto_free char *text = json_dumps(common, JSON_COMPACT);

		CHECK_STR(text, rows[i].want);
	}
}

/* Words, as an array. */
static json_t *names_of(const char *words)
{
	json_t *names = json_array();
	auto_free char *text = text_dup(words);
	char *save = NULL;

	for (char *one = strtok_r(text, " ", &save); one; one = strtok_r(NULL, " ", &save))
		json_array_append_new(names, json_string(one));
	return names;
}

static void nearly_all_moments_name_the_loop(void)
{
	static const struct {
		const char *want; /* NULL: none */
		struct {
			int times;
			const char *frames;
		} stacks[4];
	} rows[] = {
		{"loop", {{4, "a loop main"}, {4, "b loop main"}, {2, "loop main"}}},
		/* what does all of its work */
		{"a", {{9, "a loop"}, {1, "loop"}}},
		{"loop", {{8, "a loop"}, {2, "loop"}}},
		/* stacks that end early */
		{"loop", {{1, "a"}, {10, "a loop main"}, {9, "b loop main"}}},
		{"loop", {{1, ""}, {10, "a loop main"}, {9, "b loop main"}}},
		/* one that goes down into itself */
		{"f", {{30, "f g f"}, {2, "g f"}}},
		{NULL, {{3, "a"}, {3, "b"}, {4, "c"}}},
		{NULL, {{9, ""}, {1, "a"}}},
		{NULL, {{0, ""}}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *stacks = json_array(), *loop = NULL;

		for (size_t k = 0; k < 4; k++)
			for (int time = 0; time < rows[i].stacks[k].times; time++)
				json_array_append_new(stacks, names_of(rows[i].stacks[k].frames));
		loop = stacks_loop(stacks);
		CHECK_STR(loop ? json_string_value(loop) : "none",
			rows[i].want ? rows[i].want : "none");
	}
}

static void what_is_no_array_of_names_has_no_loop(void)
{
	auto_json json_t *stacks = json_loads("[[7],7,[{}],[\"a\"]]", 0, NULL);

	CHECK(!stacks_loop(stacks));
	CHECK(!stacks_loop(json_null()));
}

/* Ticks are 10 ms, the instants 500 ms apart. */
static json_t *busy_at(int64_t ns, int ticks)
{
	return json_pack("{sI ss s[{si si ss ss ss ss si si}]}", "guest_ns", (json_int_t)ns,
		"locks", "", "tasks", "pid", 20, "tid", 20, "comm", "relay", "exe", "/x/relay",
		"state", "R", "syscall", "running", "utime", ticks, "stime", 0);
}

/* What all moments have is no part of its signature: another run may find it in one function more. */
static void a_livelock_is_told_with_the_functions_of_its_loop(void)
{
	auto_json json_t *earlier = busy_at(0, 0), *now = busy_at(500000000, 48),
			 *owed = json_pack("[{sf}]", "age_s", 5.0);
	struct diagnose_input input = {.scan = now, .earlier = earlier, .owed = owed};
	json_t *busy = json_array_get(json_object_get(now, "tasks"), 0);
	struct diagnosis plain, got, other;

	diagnose(&input, &plain);
	json_object_set_new(busy, "busy", json_pack("[ss]", "try_lock", "deliver_all"));
	json_object_set_new(busy, "moments", json_integer(16));
	diagnose(&input, &got);
	CHECK_STR(got.hang_class, "livelock");
	CHECK_HAS(got.culprits[0].says, "; at each of 16 moments in try_lock < deliver_all");
	CHECK_STR(got.signature, plain.signature);
	diagnosis_free(&plain);
	diagnosis_free(&got);
	json_object_set_new(busy, "loop", json_string("deliver_all"));
	diagnose(&input, &got);
	CHECK(!strstr(got.culprits[0].says, "at most of them"));
	json_object_set_new(busy, "loop", json_string("sweep"));
	diagnose(&input, &other);
	CHECK_HAS(other.culprits[0].says, "deliver_all, at most of them in sweep");
	CHECK(strcmp(got.signature, other.signature) != 0);
	diagnosis_free(&got);
	diagnosis_free(&other);
}

static void a_thread_began_where_the_c_library_called_the_program(void)
{
	static const struct {
		const char *frames, *own, *began;
	} rows[] = {
		{"read fill sweeper start_thread clone3", "fill sweeper", "sweeper"},
		{"read fill sweeper libc.so.6", "fill sweeper", "sweeper"},
		{"poll main __libc_start_call_main _start", "main _start", "main"},
		/* linked statically */
		{"sweeper start_thread __clone3", "sweeper start_thread __clone3", "sweeper"},
		/* not read to its end */
		{"read fill", "fill", NULL},
		{"read libc.so.6", "", NULL},
		/* stripped: all its functions have its name */
		{"store+0x10 libc.so.6", "store", NULL},
		{"", "", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *frames = names_of(rows[i].frames), *own = names_of(rows[i].own);
		const json_t *began = stacks_began(frames, own);

		CHECK_STR(
			began ? json_string_value(began) : "", rows[i].began ? rows[i].began : "");
	}
}

CHECK_MAIN(CHECK_CASE(a_thread_began_where_the_c_library_called_the_program),
	CHECK_CASE(a_busy_thread_is_seen_at_moments_at_which_it_runs),
	CHECK_CASE(a_stack_at_the_end_of_the_address_space_is_read_as_far_as_it_goes),
	CHECK_CASE(who_does_not_run_has_no_moments_and_who_is_not_there_is_an_error),
	CHECK_CASE(a_busy_thread_has_the_functions_that_it_does_not_leave),
	CHECK_CASE(what_all_moments_have_is_the_loop_and_its_callers),
	CHECK_CASE(nearly_all_moments_name_the_loop),
	CHECK_CASE(what_is_no_array_of_names_has_no_loop),
	CHECK_CASE(a_livelock_is_told_with_the_functions_of_its_loop))
