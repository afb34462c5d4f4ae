/* The verbs, asked of the real witness. */
#include "tests/unit/witness_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct witness_result run(struct bench *b, const char *line, int64_t timeout_ms)
{
	struct witness_result result = {.status = -1};
	struct err err = {0};
	int rc = witness_run(b->w,
		&(struct witness_command){.line = line, .timeout_ms = timeout_ms}, &result, &err);

	if (!CHECK_INT(rc, 0))
		fprintf(stderr, "%s\n", err.text);
	return result;
}

static size_t threads_of(const json_t *scan, pid_t pid)
{
	const json_t *task;
	size_t i, count = 0;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		count += json_get_int(task, "pid", 0) == pid;
	return count;
}

static void ping_tells_the_guests_clock(void)
{
	auto_bench struct bench b = {0};
	int64_t first = 0, second = 0;

	if (!bench_open(&b))
		return;
	CHECK_INT(witness_ping(b.w, soon(), &first, NULL), 0);
	CHECK_INT(witness_ping(b.w, soon(), &second, NULL), 0);
	CHECK(first > 0 && second > first);
}

static void a_command_gives_its_status_and_its_output(void)
{
	static const struct {
		const char *line;
		int status;
		const char *output;
	} rows[] = {
		{"echo out; echo err >&2; exit 3", 3, "out\nerr\n"},
		{"kill -TERM $$", 128 + SIGTERM, ""},
		{"cat; echo end of input", 0, "end of input\n"},
		{"printf 'a\\377b\\0c'", 0, "a\\xffb\\x00c"},
		{"cut -d' ' -f6 /proc/$$/stat | grep -qx $$ && echo own session", 0,
			"own session\n"},
		{"no-such-program-here 2>/dev/null", 127, ""},
		{"cat /proc/$$/oom_score_adj", 0, "0\n"},
		{"/bin/echo plain  words", 0, "plain words\n"},
		{"/bin/cat /proc/self/oom_score_adj", 0, "0\n"},
		{"/bin/sh -c false", 1, ""},
		{"A=/b /bin/echo set", 0, "set\n"},
		{"/no/such/program 2>/dev/null", 127, ""},
	};
	auto_bench struct bench b = {0};

	if (!bench_open(&b))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct witness_result r = run(&b, rows[i].line, FIXTURE_WAIT_MS);

		CHECK_INT(r.status, rows[i].status);
		CHECK_STR(buf_text(&r.output), rows[i].output);
		CHECK(!r.timed_out && !r.cut);
		buf_free(&r.output);
	}
}

static void a_command_gets_the_environment_it_was_given_and_no_other(void)
{
	const char *const env[] = {"RIG_USER=u 1", "RIG_EMPTY=", NULL};
	auto_bench struct bench b = {0};
	struct witness_result r = {0};

	setenv("RIG_LEAK", "leaked", 1);
	if (!bench_open(&b))
		return;
	CHECK_INT(witness_run(b.w,
			  &(struct witness_command){
				  .line = "echo \"[$RIG_USER][${RIG_EMPTY-unset}][$RIG_LEAK]\"",
				  .env = env,
				  .timeout_ms = FIXTURE_WAIT_MS},
			  &r, NULL),
		0);
	CHECK_STR(buf_text(&r.output), "[u 1][][]\n");
	buf_free(&r.output);
}

/* Plain words run without a shell, and mean what they mean to one. */
static void a_command_runs_in_its_folder(void)
{
	static const struct {
		const char *line;
		int status;
		const char *output;
	} rows[] = {
		{"./script one two", 7, "one two\n"},	/* it says who runs it */
		{"./nameless one two", 7, "one two\n"}, /* it does not */
		{"/bin/pwd -P | grep -c /", 0, "1\n"},
		{"test -e script", 0, ""},
		{"./absent 2>/dev/null", 127, ""},
		{"./absent", 127, NULL},
	};
	auto_bench struct bench b = {0};
	auto_free char *script = NULL, *nameless = NULL;

	if (!bench_open(&b))
		return;
	script = bench_path(&b, "script");
	nameless = bench_path(&b, "nameless");
	CHECK_INT(fs_write_atomic(script, "#!/bin/sh\necho $*; exit 7\n", 26, NULL), 0);
	CHECK_INT(fs_write_atomic(nameless, "echo $*; exit 7\n", 16, NULL), 0);
	chmod(script, 0700);
	chmod(nameless, 0700);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct witness_result r = {.status = -1};
		struct witness_command command = {
			.line = rows[i].line, .dir = b.dir, .timeout_ms = FIXTURE_WAIT_MS};

		CHECK_INT(witness_run(b.w, &command, &r, NULL), 0);
		CHECK_INT(r.status, rows[i].status);
		if (rows[i].output)
			CHECK_STR(buf_text(&r.output), rows[i].output);
		else
			CHECK_HAS(buf_text(&r.output), "not found");
		buf_free(&r.output);
	}
}

static void a_command_does_not_run_in_another_folder_than_its_own(void)
{
	auto_bench struct bench b = {0};
	struct witness_result r = {0};

	if (!bench_open(&b))
		return;
	CHECK_INT(witness_run(b.w,
			  &(struct witness_command){.line = "/bin/echo here",
				  .dir = "/no/such/folder",
				  .timeout_ms = FIXTURE_WAIT_MS},
			  &r, NULL),
		0);
	CHECK_INT(r.status, 127);
	CHECK_HAS(buf_text(&r.output), "folder");
	buf_free(&r.output);
}

static void of_long_output_the_end_is_kept(void)
{
	auto_bench struct bench b = {0};
	struct witness_result r;

	if (!bench_open(&b))
		return;
	r = run(&b, "yes | head -c 3000000; echo the end", FIXTURE_WAIT_MS);
	CHECK_INT(r.output.len, WITNESS_OUTPUT_MAX);
	CHECK(r.cut);
	CHECK_STR(r.output.data + r.output.len - 8, "the end\n");
	buf_free(&r.output);
}

/* The grandchild writes its pid into a FIFO that the test holds: when it dies the FIFO ends. */
static void check_session_is_killed(const char *line, int64_t timeout_ms, bool timed_out)
{
	auto_bench struct bench b = {0};
	auto_free char *fifo = NULL;
	auto_free char *env = NULL;
	auto_close int fd = -1;
	struct witness_result r = {0};
	char text[64];

	if (!bench_open(&b))
		return;
	fifo = bench_path(&b, "fifo");
	if (!CHECK(!mkfifo(fifo, 0600)))
		return;
	fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	env = text_fmt("FIFO=%s", fifo);
	CHECK_INT(witness_run(b.w,
			  &(struct witness_command){.line = line,
				  .env = (const char *const[]){env, NULL},
				  .timeout_ms = timeout_ms},
			  &r, NULL),
		0);
	CHECK_INT(r.timed_out, timed_out);
	CHECK(io_read(fd, text, sizeof(text), soon()) > 0);
	CHECK_INT(io_read(fd, text, sizeof(text), soon()), 0);
	buf_free(&r.output);
}

static void a_command_out_of_time_takes_its_whole_session_with_it(void)
{
	check_session_is_killed("(sh -c 'trap \"\" TERM HUP; echo in >&3; sleep 1000; sleep 1000' "
				"&) 3>$FIFO; sleep 1000",
		500, true);
}

static void what_a_run_leaves_behind_is_killed(void)
{
	check_session_is_killed("exec 3>$FIFO; echo in >&3; sleep 1000 &", FIXTURE_WAIT_MS, false);
}

static void what_a_start_leaves_behind_stays_and_its_output_is_heard(void)
{
	auto_bench struct bench b = {0};
	struct witness_result r = {0};
	auto_free char *go = NULL;
	auto_free char *line = NULL;
	auto_close int fd = -1;

	if (!bench_open(&b))
		return;
	go = bench_path(&b, "go");
	if (!CHECK(!mkfifo(go, 0600)))
		return;
	line = text_fmt("echo begun; { read word < %s; echo \"daemon $word\"; } &", go);
	CHECK_INT(witness_run(b.w,
			  &(struct witness_command){
				  .line = line, .timeout_ms = FIXTURE_WAIT_MS, .daemons = true},
			  &r, NULL),
		0);
	CHECK_STR(buf_text(&r.output), "begun\n");
	buf_free(&r.output);
	fd = open(go, O_WRONLY | O_CLOEXEC);
	CHECK(write(fd, "says hello\n", 11) == 11);
	CHECK(bench_wait(&b, "log", "line", "daemon says hello") != NULL);
}

/* A child that waits for the flock on `path`, which the test holds: seen from the wait itself. */
static pid_t wait_in_flock(const char *path)
{
	pid_t pid = fork();

	if (!pid) {
		int fd = open(path, O_RDWR | O_CLOEXEC);

		flock(fd, LOCK_EX);
		_exit(0);
	}
	return pid;
}

static void check_waiter(const json_t *scan, pid_t pid, const char *path)
{
	auto_free char *want = text_fmt(" -> FLOCK  ADVISORY  WRITE %d ", pid);
	const json_t *task = task_of(scan, pid), *files = json_object_get(scan, "files");
	bool named = false;
	json_t *file;
	size_t i;

	CHECK_HAS(json_get_text(scan, "locks", ""), want);
	CHECK_STR(json_get_text(task, "state", ""), "S");
	CHECK_INT(json_get_int(task, "ppid", 0), getpid());
	CHECK_HAS(json_get_text(task, "exe", ""), "test_witness");
	CHECK_HAS(json_get_text(task, "syscall", ""), "73 "); /* flock */
	CHECK(json_get_int(task, "start", 0) > 0);
	json_array_foreach ((json_t *)files, i, file)
		named |= json_get_int(file, "pid", 0) == pid &&
			 !strcmp(json_get_text(file, "path", ""), path) &&
			 strstr(json_get_text(scan, "locks", ""),
				 json_get_text(file, "inode", "none"));
	CHECK(named);
	CHECK_INT(json_get_bool(scan, "truncated", true), false);
	CHECK_INT(json_array_size(json_object_get(scan, "unreadable")), 0);
}

static void a_scan_shows_who_waits_for_a_file_lock(void)
{
	auto_bench struct bench b = {0};
	auto_json json_t *scan = NULL;
	auto_free char *path = NULL;
	auto_free char *want = NULL;
	auto_close int fd = -1;
	int64_t deadline = soon();
	pid_t pid;

	if (!bench_open(&b))
		return;
	path = bench_path(&b, "lock");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(!flock(fd, LOCK_EX));
	pid = wait_in_flock(path);
	want = text_fmt("-> FLOCK  ADVISORY  WRITE %d ", pid);
	do {
		json_cleanup(&scan);
		if (!CHECK_INT(witness_scan(b.w, true, soon(), &scan, NULL), 0))
			break;
	} while (!strstr(json_get_text(scan, "locks", ""), want) && deadline_left_ms(deadline));
	if (scan)
		check_waiter(scan, pid, path);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void a_signal_hits_only_the_process_that_was_meant(void)
{
	auto_bench struct bench b = {0};
	auto_json json_t *scan = NULL;
	auto_json json_t *residue = NULL;
	auto_json json_t *clean = NULL;
	struct err err = {0};
	int64_t start;
	pid_t pid;

	if (!bench_open(&b))
		return;
	pid = fork();
	if (!pid)
		for (;;)
			pause();
	CHECK_INT(witness_scan(b.w, false, soon(), &scan, NULL), 0);
	CHECK(threads_of(scan, b.pid) > 1); /* the witness itself has several */
	start = json_get_int(task_of(scan, pid), "start", 0);
	CHECK_INT(witness_signal(b.w, pid, start + 1, SIGKILL, soon(), &err), -EREMOTEIO);
	CHECK_HAS(err.text, "is gone");
	CHECK_INT(witness_signal(b.w, pid, start, SIGSTOP, soon(), NULL), 0);
	CHECK_INT(waitpid(pid, NULL, WUNTRACED), pid);
	CHECK_INT(witness_residue(b.w, soon(), &residue, NULL), 0);
	CHECK_HAS(json_string_value(json_array_get(residue, 0)), "is still stopped");
	CHECK_INT(witness_signal(b.w, pid, start, SIGCONT, soon(), NULL), 0);
	CHECK_INT(waitpid(pid, NULL, WCONTINUED), pid);
	CHECK_INT(witness_residue(b.w, soon(), &clean, NULL), 0);
	CHECK_INT(json_array_size(clean), 0);
	CHECK_INT(witness_signal(b.w, pid, start, SIGKILL, soon(), NULL), 0);
	waitpid(pid, NULL, 0);
}

static void files_are_read_bounded_and_unlinked(void)
{
	auto_bench struct bench b = {0};
	auto_buf struct buf text = {0}, part = {0}, proc = {0};
	auto_free char *path = NULL;
	struct err err = {0};

	if (!bench_open(&b))
		return;
	path = bench_path(&b, "file");
	CHECK_INT(fs_write_atomic(path, "one\ntwo\0\xff", 9, NULL), 0);
	CHECK_INT(witness_read(b.w, path, 100, soon(), &text, NULL), 0);
	CHECK_STR(buf_text(&text), "one\ntwo\\x00\\xff");
	CHECK_INT(witness_read(b.w, path, 3, soon(), &part, NULL), 0);
	CHECK_STR(buf_text(&part), "one");
	CHECK_INT(witness_read(b.w, "/proc/self/comm", 100, soon(), &proc, NULL), 0);
	CHECK_STR(buf_text(&proc), "witness\n");
	CHECK_INT(witness_unlink(b.w, path, soon(), NULL), 0);
	CHECK(!fs_exists(path));
	CHECK_INT(witness_unlink(b.w, path, soon(), &err), -EREMOTEIO);
	CHECK_HAS(err.text, "No such file");
	CHECK_INT(witness_read(b.w, path, 100, soon(), &text, &err), -EREMOTEIO);
	CHECK_HAS(err.text, "No such file");
	CHECK_INT(witness_read(b.w, "relative", 100, soon(), &text, &err), -EREMOTEIO);
}

/* Opening a FIFO nobody writes to waits for ever, as a read of a stuck process's cmdline does. */
static void what_cannot_be_read_in_time_is_unreadable_and_holds_up_nobody(void)
{
	auto_bench struct bench b = {0};
	auto_buf struct buf text = {0};
	auto_json json_t *residue = NULL;
	auto_json json_t *scan = NULL;
	auto_free char *fifo = NULL;
	struct err err = {0};

	if (!bench_open(&b))
		return;
	fifo = bench_path(&b, "fifo");
	CHECK(!mkfifo(fifo, 0600));
	CHECK_INT(witness_read(b.w, fifo, 10, deadline_in_ms(2000), &text, &err), -EREMOTEIO);
	CHECK_HAS(err.text, "unreadable");
	CHECK_INT(witness_scan(b.w, true, soon(), &scan, NULL), 0);
	CHECK_INT(witness_residue(b.w, soon(), &residue, NULL), 0);
	CHECK_INT(json_array_size(residue), 0);
}

static void a_command_in_progress_holds_up_nobody_and_is_residue(void)
{
	auto_bench struct bench b = {0};
	auto_json json_t *residue = NULL;
	struct err err = {0};
	json_t *args = json_pack("{s:s, s:i}", "command", "sleep 30", "timeout_ms", 60000);

	if (!bench_open(&b)) {
		json_decref(args);
		return;
	}
	CHECK_INT(witness_call(b.w, "run", args, deadline_in_ms(100), NULL, &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "did not answer 'run' in time");
	CHECK_INT(witness_ping(b.w, soon(), NULL, NULL), 0);
	CHECK_INT(witness_residue(b.w, soon(), &residue, NULL), 0);
	CHECK_HAS(json_string_value(json_array_get(residue, 0)), "'sleep 30' is still running");
}

static void what_lies_about_is_told_by_its_path(void)
{
	auto_bench struct bench b = {0};
	auto_free char *file = NULL, *loose = NULL, *below = NULL;
	bool there = true;

	if (!bench_open(&b))
		return;
	file = bench_path(&b, "file");
	loose = bench_path(&b, "loose");
	below = path_join(file, "below");
	CHECK_INT(witness_there(b.w, file, soon(), &there, NULL), 0);
	CHECK(!there);
	CHECK_INT(fs_write_atomic(file, "", 0, NULL), 0);
	CHECK_INT(symlink("nowhere", loose), 0);
	CHECK_INT(witness_there(b.w, file, soon(), &there, NULL), 0);
	CHECK(there);
	CHECK_INT(witness_there(b.w, below, soon(), &there, NULL), 0);
	CHECK(!there);
	CHECK_INT(witness_there(b.w, loose, soon(), &there, NULL), 0);
	CHECK(there);
}

static void a_link_says_whether_it_is_up_and_hurt(void)
{
	auto_bench struct bench b = {0};
	bool up = false, hurt = true;
	struct err err = {0};

	if (access("/sys/class/net/lo/carrier", R_OK)) {
		check_skip("no /sys here");
		return;
	}
	if (!bench_open(&b))
		return;
	CHECK_INT(witness_link(b.w, "lo", soon(), &up, &hurt, NULL), 0);
	CHECK(up && !hurt);
	CHECK_INT(witness_link(b.w, "none9", soon(), &up, &hurt, &err), -EREMOTEIO);
	CHECK_HAS(err.text, "none9");
	CHECK_INT(witness_link(b.w, "../lo", soon(), &up, &hurt, NULL), -EREMOTEIO);
}

static void the_board_is_commanded_and_its_armed_points_are_residue(void)
{
	auto_json json_t *reply = NULL, *residue = NULL, *clean = NULL;
	auto_bench struct bench b = {0};

	if (!bench_open(&b))
		return;
	CHECK_INT(witness_board(b.w, "arm slot=3 point=posix/io/sync/fsync action=park", soon(),
			  &reply, NULL),
		0);
	CHECK_INT(json_get_int(reply, "slot", 0), 3);
	CHECK_INT(witness_residue(b.w, soon(), &residue, NULL), 0);
	CHECK_HAS(json_string_value(json_array_get(residue, 0)), "fsync");
	CHECK_INT(witness_board(b.w, "disarm slot=3", soon(), NULL, NULL), 0);
	CHECK_INT(witness_residue(b.w, soon(), &clean, NULL), 0);
	CHECK_INT(json_array_size(clean), 0);
}

/* What is asked for is not watched: that takes a machine whose time is skipped, see test_vm_warp. */
static void a_watch_says_where_a_thread_waits_and_since_when(void)
{
	int ends[2];
	auto_bench struct bench b = {0};
	auto_json json_t *seen = NULL;
	const json_t *task;
	json_t *args;
	pid_t pid;
	char c;

	if (!bench_open(&b) || !CHECK_INT(pipe2(ends, O_CLOEXEC), 0))
		return;
	pid = fork();
	if (!pid)
		_exit(read(ends[0], &c, 1) < 0);
	args = json_pack("{s:[{s:i,s:i,s:i},{s:i,s:i,s:I},{s:i},s,{}],s:[{s:i,s:s},{s:i,s:s},[]]}",
		"tasks", "pid", (int)pid, "tid", (int)pid, "start", 0, "pid", (int)pid, "tid",
		(int)pid, "start", (json_int_t)7, "pid", -1, "none", "conns", "port", 25, "peer",
		"10.0.2.2:1", "port", 99999, "peer", "::1");
	CHECK_INT(witness_call(b.w, "watch", args, soon(), &seen, NULL), 0);
	CHECK_INT(
		json_array_size(json_object_get(seen, "tasks")), 1); /* started when it was said */
	task = json_array_get(json_object_get(seen, "tasks"), 0);
	CHECK_INT(json_get_int(task, "tid", 0), pid);
	CHECK_HAS(json_get_text(task, "exe", ""), "test_witness");
	CHECK(*json_get_text(task, "syscall", ""));
	CHECK_INT(json_array_size(json_object_get(seen, "conns")), 1);
	CHECK(json_is_false(json_array_get(json_object_get(seen, "conns"), 0)));
	CHECK_INT(witness_ping(b.w, soon(), NULL, NULL), 0);
	close(ends[1]);
	close(ends[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void mounts_are_listed(void)
{
	auto_bench struct bench b = {0};
	auto_json json_t *mounts = NULL;
	bool proc = false;
	json_t *mount;
	size_t i;

	if (!bench_open(&b))
		return;
	CHECK_INT(witness_mounts(b.w, soon(), &mounts, NULL), 0);
	json_array_foreach (mounts, i, mount)
		proc |= !strcmp(json_get_text(mount, "mount", ""), "/proc") &&
			!strcmp(json_get_text(mount, "type", ""), "proc");
	CHECK(proc);
}

static void what_cannot_be_done_is_refused_with_a_sentence(void)
{
	static const struct {
		const char *verb, *args, *why;
	} rows[] = {
		{"dance", "{}", "there is no verb 'dance'"},
		{"run", "{}", "'command' is missing"},
		{"run", "{\"command\":\"x\",\"env\":{\"A\":1}}", "'env' is no object"},
		{"run", "{\"command\":\"x\",\"env\":[1]}", "'env' is no object"},
		{"run", "{\"command\":\"x\",\"env\":{\"A=B\":\"c\"}}", "'env' is no object"},
		{"seed", "{\"hex\":\"abc\"}", "lower-case hex"},
		{"seed", "{\"hex\":\"zz\"}", "lower-case hex"},
		{"seed", "{}", "lower-case hex"},
		{"clock", "{}", "'realtime_ns' is missing"},
		{"signal", "{\"pid\":1,\"start\":1,\"signal\":9}", "not allowed"},
		{"signal", "{\"signal\":9}", "not allowed"},
		{"freeze", "{\"mount\":\"/no/such/mount\"}", "cannot open mount '/no/such/mount'"},
		{"freeze", "{\"mount\":\"/proc\"}", "cannot freeze '/proc'"},
		{"thaw", "{}", "cannot open mount ''"},
		{"tail", "{\"path\":\"relative\"}", "no absolute path"},
		{"tail", "{\"path\":\"/no/such/folder/file\"}", "cannot watch the folder"},
		{"unlink", "{\"path\":\"x\"}", "no absolute path"},
		{"read", "{\"path\":\"/etc/hosts\",\"max\":0}", "'max' is not"},
		{"read", "{\"path\":\"/etc/hosts\",\"max\":99999999}", "'max' is not"},
		{"board", "{\"command\":\"arm slot=1\"}", "point"},
		{"descriptors", "{}", "'slot', 'spare' or 'programs' is wrong"},
		{"descriptors", "{\"slot\":1,\"programs\":\"/bin/sh\"}", "is wrong"},
		{"descriptors", "{\"slot\":1,\"programs\":[],\"spare\":-1}", "is wrong"},
		{"quota", "{\"mount\":\"data\",\"what\":\"bytes\"}", "'data' is no mount"},
		{"quota", "{\"mount\":\"/proc\",\"what\":\"bytes\"}",
			"the quota of '/proc' cannot be changed"},
		{"quota", "{\"mount\":\"/no/such/mount\",\"what\":\"inodes\"}", "No such file"},
	};
	auto_bench struct bench b = {0};

	if (!bench_open(&b))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = {0};

		CHECK_INT(witness_call(b.w, rows[i].verb, json_loads(rows[i].args, 0, NULL), soon(),
				  NULL, &err),
			-EREMOTEIO);
		CHECK_HAS(err.text, rows[i].why);
	}
	CHECK_INT(witness_ping(b.w, soon(), NULL, NULL), 0);
}

CHECK_MAIN(CHECK_CASE(ping_tells_the_guests_clock),
	CHECK_CASE(a_command_gives_its_status_and_its_output),
	CHECK_CASE(a_command_gets_the_environment_it_was_given_and_no_other),
	CHECK_CASE(a_command_runs_in_its_folder),
	CHECK_CASE(a_command_does_not_run_in_another_folder_than_its_own),
	CHECK_CASE(of_long_output_the_end_is_kept),
	CHECK_CASE(a_command_out_of_time_takes_its_whole_session_with_it),
	CHECK_CASE(what_a_run_leaves_behind_is_killed),
	CHECK_CASE(what_a_start_leaves_behind_stays_and_its_output_is_heard),
	CHECK_CASE(a_scan_shows_who_waits_for_a_file_lock),
	CHECK_CASE(a_signal_hits_only_the_process_that_was_meant),
	CHECK_CASE(files_are_read_bounded_and_unlinked),
	CHECK_CASE(what_cannot_be_read_in_time_is_unreadable_and_holds_up_nobody),
	CHECK_CASE(a_command_in_progress_holds_up_nobody_and_is_residue),
	CHECK_CASE(what_lies_about_is_told_by_its_path),
	CHECK_CASE(a_link_says_whether_it_is_up_and_hurt),
	CHECK_CASE(the_board_is_commanded_and_its_armed_points_are_residue),
	CHECK_CASE(a_watch_says_where_a_thread_waits_and_since_when), CHECK_CASE(mounts_are_listed),
	CHECK_CASE(what_cannot_be_done_is_refused_with_a_sentence))
