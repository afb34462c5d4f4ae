/*
 * Branches and the time warp on real clones: what a branch leaves alone, and what it finds out about hangs
 * that end by themselves after a long time, or never.
 */
#include "tests/unit/witness_fixture.h"
#include "tests/vm/tiny_witness.h"

#include "base/hash.h"
#include "vm/clone.h"
#include "vm/network.h"
#include "vm/qmp.h"
#include "vm/relay.h"
#include "vm/warp.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>

#define PATIENCE    deadline_in_ms(60000)
#define WARP_MS	    120000
#define HALF_HOUR_S 1800
#define NEAR_S	    1.5 /* the host may give nobody a processor between two looks at the clock */

static struct tiny_witness guest;

/* A clone in which a hang was begun, and what is known of its threads. */
struct patient {
	const char *dir;
	struct machine *machine;
	struct witness *w;
	struct warp_task tasks[64];
	size_t task_count;
};

static void close_patient(struct patient *p)
{
	witness_close(p->w);
	machine_close(p->machine);
	*p = (struct patient){0};
}

#define auto_patient cleanup(close_patient)

static bool open_patient(struct patient *p, const struct tiny_witness *of)
{
	struct machine_options options = {.dir = check_dir()};
	struct err err = {0};
	int rc;

	*p = (struct patient){.dir = options.dir};
	rc = clone_open(of->template, &options, &p->machine, &err);
	if (!rc)
		rc = witness_attach(
			machine_take_witness_fd(p->machine), NULL, NULL, PATIENCE, &p->w, &err);
	if (rc)
		fprintf(stderr, "%s\n", err.text);
	return CHECK_INT(rc, 0);
}

/* Runs a line; its output, which the caller frees. */
static char *run(struct witness *w, const char *line, bool daemons)
{
	struct witness_result r = {0};
	struct err err = {0};

	if (!CHECK_INT(witness_run(w,
			       &(struct witness_command){
				       .line = line, .timeout_ms = 30000, .daemons = daemons},
			       &r, &err),
		    0))
		fprintf(stderr, "%s\n", err.text);
	return buf_steal(&r.output);
}

/* Start `hang ARGS` and wait until it says that it is ready. */
static void begin(struct patient *p, const char *args)
{
	auto_free char *line = text_fmt("mkfifo /run/said; /run/rig/hang %s >/run/said & "
					"head -n 1 </run/said",
		args);
	auto_free char *said = run(p->w, line, true);

	CHECK_STR(said, "ready\n");
}

/* All threads of the hang that are blocked. */
static bool find_tasks(struct patient *p)
{
	json_t *scan = NULL, *task;
	size_t i;

	if (!CHECK_INT(witness_scan(p->w, false, PATIENCE, &scan, NULL), 0))
		return false;
	p->task_count = 0;
	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (!strcmp(json_get_text(task, "comm", ""), "hang") &&
			p->task_count < ARRAY_SIZE(p->tasks))
			p->tasks[p->task_count++] =
				(struct warp_task){.pid = (int)json_get_int(task, "pid", 0),
					.tid = (int)json_get_int(task, "tid", 0),
					.start = json_get_int(task, "start", 0)};
	json_decref(scan);
	return CHECK(p->task_count > 0);
}

/* ---- a branch of it ---- */

struct trial {
	struct warp *warp;
	char *name; /* of the event it stopped at, NULL: none */
	int tid;
	char *text;
	double at_s;	 /* seconds after the save */
	double waited_s; /* of the first thread, before the save */
	double host_s;
	enum warp_end end;
};

static void close_trial(struct trial *t)
{
	warp_close(t->warp);
	free(t->name);
	free(t->text);
	*t = (struct trial){0};
}

#define auto_trial cleanup(close_trial)

static bool stop_at(void *arg, const char *name, const json_t *json, int64_t elapsed_ns)
{
	struct trial *t = arg;

	if (t->name || (strcmp(name, "left") && strcmp(name, "ended") && strcmp(name, "sent")))
		return t->name != NULL;
	t->name = text_dup(name);
	t->text = text_dup(json_get_text(json, "text", ""));
	t->tid = (int)json_get_int(json, "tid", 0);
	t->at_s = (double)elapsed_ns / (double)NS_PER_SEC;
	return true;
}

static double waited_s(struct patient *p)
{
	struct warp_watch watch = {.tasks = p->tasks, .task_count = p->task_count};
	json_t *seen = NULL;
	double waited;

	if (!CHECK_INT(warp_look(p->w, &watch, PATIENCE, &seen, NULL), 0))
		return NAN;
	waited = (double)json_get_int(
			 json_array_get(json_object_get(seen, "tasks"), 0), "waited_ns", -1) /
		 (double)NS_PER_SEC;
	json_decref(seen);
	return waited;
}

static bool try_it(struct patient *p, const struct warp_conn *conns, size_t conn_count, double s,
	struct trial *ret)
{
	auto_free char *branch = path_join(p->dir, "branch"), *dir = path_join(p->dir, "warp");
	struct warp_options options = {.spec = machine_spec(p->machine),
		.branch = branch,
		.dir = dir,
		.tick_ns = 60 * NS_PER_SEC,
		.watch = {.tasks = p->tasks,
			.task_count = p->task_count,
			.conns = conns,
			.conn_count = conn_count},
		.fn = stop_at,
		.arg = ret,
		.deadline_ns = PATIENCE};
	int64_t began_ns = clock_mono_ns();
	struct branch_size size = {0};
	struct err err = {0};
	int rc;

	*ret = (struct trial){.waited_s = p->task_count ? waited_s(p) : 0};
	rc = witness_ping(p->w, PATIENCE, &options.saved_guest_ns, &err);
	if (!rc)
		rc = branch_save(p->machine, branch, &size, &err);
	if (!rc)
		rc = warp_open(&options, &ret->warp, &err);
	if (!rc)
		ret->end = warp_run(ret->warp, (int64_t)(s * (double)NS_PER_SEC),
			deadline_in_ms(WARP_MS), &err);
	ret->host_s = (double)(clock_mono_ns() - began_ns) / (double)NS_PER_SEC;
	fprintf(stderr, "%s: save %.2f s, %llu MiB; %.0f guest s in %.1f s of host time\n", p->dir,
		(double)size.still_ns / (double)NS_PER_SEC, (unsigned long long)size.bytes >> 20,
		ret->warp ? (double)warp_elapsed_ns(ret->warp) / (double)NS_PER_SEC : 0.0,
		ret->host_s);
	if (rc || ret->end == WARP_ENDED)
		fprintf(stderr, "%s\n", err.text);
	return CHECK_INT(rc, 0);
}

static void check_near(double got, double want)
{
	if (!CHECK(fabs(got - want) <= NEAR_S))
		fprintf(stderr, "got %.3f s, want %.3f s\n", got, want);
}

/* ---- the machine that was saved ---- */

static void memory_hash(struct machine *machine, const char *dir, char ret[HASH_HEX_SIZE])
{
	auto_free char *path = path_join(dir, "memory");
	struct err err = {0};

	if (!CHECK_INT(qmp_execute(machine_qmp(machine), "pmemsave",
			       json_pack("{sI sI ss}", "val", (json_int_t)0, "size",
				       (json_int_t)machine_spec(machine)->memory_bytes, "filename",
				       path),
			       PATIENCE, NULL, &err),
		    0))
		fprintf(stderr, "%s\n", err.text);
	CHECK_INT(hash_file(path, ret, NULL), 0);
	unlink(path);
}

static struct machine *open_branch(struct patient *p, const char *branch, struct witness **ret)
{
	auto_free char *dir = path_join(p->dir, "other");
	struct machine_options options = {.dir = dir};
	struct machine *machine = NULL;
	struct err err = {0};
	int rc = branch_open(
		machine_spec(p->machine), branch, BRANCH_REAL_TIME, &options, &machine, &err);

	if (!rc)
		rc = witness_attach(
			machine_take_witness_fd(machine), NULL, NULL, PATIENCE, ret, &err);
	if (!CHECK_INT(rc, 0))
		fprintf(stderr, "%s\n", err.text);
	return machine;
}

/* What the branch does is nobody's business but its own. */
static void be_active_in_a_branch(struct patient *p, const char *branch)
{
	auto_free char *disk = path_join(p->dir, "mail.qcow2"), *there = NULL;
	char before[HASH_HEX_SIZE], after[HASH_HEX_SIZE];
	struct witness *w = NULL;
	struct machine *machine;

	CHECK_INT(hash_file(disk, before, NULL), 0);
	machine = open_branch(p, branch, &w);
	if (w) {
		there = run(w,
			"cat /data/who; echo branch >/data/who; sync; killall hang; echo x >/run/x",
			false);
		CHECK_STR(there, "original\n");
	}
	CHECK_INT(hash_file(disk, after, NULL), 0);
	CHECK_STR(after, before);
	witness_close(w);
	machine_close(machine);
}

static void a_branch_leaves_the_machine_as_it_was(void)
{
	char before[HASH_HEX_SIZE], after[HASH_HEX_SIZE];
	auto_free char *dir = NULL, *said = NULL;
	int64_t saved_ns = 0, now_ns = 0, ran_ns;
	auto_patient struct patient p;
	struct err err = {0};

	if (!open_patient(&p, &guest))
		return;
	begin(&p, "serve 2525 1");
	free(run(p.w, "echo original >/data/who; sync", false));
	dir = path_join(p.dir, "branch");
	CHECK_INT(witness_ping(p.w, PATIENCE, &saved_ns, NULL), 0);
	ran_ns = clock_mono_ns() - machine_paused_ns(p.machine);
	CHECK_INT(machine_pause(p.machine, NULL), 0);
	memory_hash(p.machine, p.dir, before);
	CHECK_INT(branch_save(p.machine, dir, NULL, &err), 0);
	CHECK(machine_is_paused(p.machine)); /* as it was */
	memory_hash(p.machine, p.dir, after);
	CHECK_STR(after, before);
	be_active_in_a_branch(&p, dir);
	CHECK_INT(machine_resume(p.machine, NULL), 0);
	said = run(p.w,
		"cat /data/who; pidof hang | wc -w; ls /run/x 2>/dev/null; "
		"echo on >/data/who; sync; cat /data/who",
		false);
	CHECK_STR(said, "original\n1\non\n");
	/* Its clock stood still as long as it did, and no longer. */
	CHECK_INT(witness_ping(p.w, PATIENCE, &now_ns, NULL), 0);
	ran_ns = clock_mono_ns() - machine_paused_ns(p.machine) - ran_ns;
	check_near((double)(now_ns - saved_ns) / (double)NS_PER_SEC,
		(double)ran_ns / (double)NS_PER_SEC);
}

/* ---- hangs ---- */

static void a_pool_that_waits_150_minutes_is_free_after_150_minutes(void)
{
	auto_patient struct patient p;
	auto_trial struct trial t = {0};

	if (!open_patient(&p, &guest))
		return;
	begin(&p, "pool 9000 8");
	if (!find_tasks(&p) || !try_it(&p, NULL, 0, 10800, &t))
		return;
	CHECK_INT(t.end, WARP_STOPPED);
	CHECK_STR(t.name ? t.name : "", "ended");
	CHECK(t.waited_s > 0 && t.waited_s < 300);
	check_near(t.waited_s + t.at_s, 9000);
}

static void a_deadlock_does_not_end_in_hours(void)
{
	auto_patient struct patient p;
	auto_trial struct trial t = {0};

	if (!open_patient(&p, &guest))
		return;
	begin(&p, "ever");
	if (!find_tasks(&p) || !try_it(&p, NULL, 0, HALF_HOUR_S, &t))
		return;
	CHECK_INT(t.end, WARP_REACHED);
	CHECK(!t.name);
	CHECK(warp_elapsed_ns(t.warp) >= HALF_HOUR_S * NS_PER_SEC);
}

static void a_thread_that_only_ticks_has_not_left_its_wait(void)
{
	auto_patient struct patient p;
	auto_trial struct trial t = {0};

	if (!open_patient(&p, &guest))
		return;
	begin(&p, "ticks 30");
	if (!find_tasks(&p) || !try_it(&p, NULL, 0, HALF_HOUR_S, &t))
		return;
	CHECK_INT(t.end, WARP_REACHED);
	CHECK(!t.name);
}

static const char *address_of(const char *name)
{
	for (const struct network_name *at = network_names; at->name; at++)
		if (!strcmp(at->name, name))
			return at->address;
	return "";
}

/* Its own bytes are never acknowledged in the branch: after 16 minutes TCP would give up. */
static void a_wait_for_a_peer_is_ended_neither_by_a_reset_nor_by_tcp_giving_up(void)
{
	auto_free char *line = text_fmt("peer %s 25 60", address_of("sink.rig"));
	auto_close int listener = -1, held = -1;
	auto_patient struct patient p;
	auto_trial struct trial t = {0};
	struct err err = {0};

	if (!open_patient(&p, &guest))
		return;
	listener = network_listen(machine_network(p.machine), "sink.rig", 25, &err);
	if (!CHECK(listener >= 0))
		return;
	begin(&p, line);
	CHECK(io_readable(listener, PATIENCE) > 0);
	held = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (!find_tasks(&p) || !try_it(&p, NULL, 0, 3600, &t))
		return;
	CHECK_INT(t.end, WARP_REACHED);
	CHECK(!t.name);
}

static void the_answer_that_a_client_was_owed_is_seen_when_it_is_sent(void)
{
	struct warp_conn conn = {.port = TINY_WITNESS_PORT};
	struct sockaddr_in name = {0};
	socklen_t size = sizeof(name);
	auto_patient struct patient p;
	auto_trial struct trial t = {0};
	auto_free char *peer = NULL;
	auto_close int fd = -1;
	struct err err = {0};

	if (!open_patient(&p, &guest))
		return;
	begin(&p, "serve 2525 600");
	fd = network_connect(machine_network(p.machine), TINY_WITNESS_PORT, PATIENCE, &err);
	if (!CHECK(fd >= 0) || !CHECK_INT(io_write_all(fd, "x", 1, PATIENCE, NULL), 0))
		return;
	if (network_kind(machine_network(p.machine)) != NETWORK_TAP)
		return; /* the port that the guest sees is slirp's own choice */
	CHECK_INT(getsockname(fd, (struct sockaddr *)&name, &size), 0);
	peer = text_fmt(NETWORK_RIG_ADDRESS ":%u", ntohs(name.sin_port));
	conn.peer = peer;
	free(run(p.w, "sleep 1", false));
	if (!try_it(&p, &conn, 1, HALF_HOUR_S, &t))
		return;
	CHECK_INT(t.end, WARP_STOPPED);
	CHECK_STR(t.name ? t.name : "", "sent");
	CHECK_STR(t.text ? t.text : "", "250 late\r\n");
	CHECK(t.at_s > 500 && t.at_s < 600);
	CHECK(json_is_true(json_array_get(json_object_get(warp_watched(t.warp), "conns"), 0)));
}

/* ---- other ways to load ---- */

static void try_another_template(const struct template_spec *spec)
{
	struct tiny_witness other = guest;
	auto_patient struct patient p = {0};
	auto_trial struct trial t = {0};
	struct err err = {0};

	other.template = NULL;
	if (!CHECK_INT(template_open(spec, PATIENCE, &other.template, &err), 0))
		return;
	CHECK_INT(template_ignores_shared(other.template), !spec->memory_in_state);
	if (open_patient(&p, &other)) {
		begin(&p, "pool 600 2");
		if (find_tasks(&p) && try_it(&p, NULL, 0, HALF_HOUR_S, &t))
			check_near(t.waited_s + t.at_s, 600);
	}
	close_trial(&t);
	close_patient(&p);
	template_close(other.template);
}

static void a_template_with_its_memory_in_the_state_has_branches_too(void)
{
	struct template_spec spec = guest.spec;

	spec.memory_in_state = true;
	try_another_template(&spec);
}

/* Slirp's state is in the stream: there must be something that reads it. */
static void a_machine_on_the_user_network_has_branches_too(void)
{
	struct machine_spec machine = guest.machine;
	struct template_spec spec = guest.spec;

	machine.network.kind = NETWORK_USER;
	spec.machine = &machine;
	try_another_template(&spec);
}

static void no_time_is_skipped_under_kvm_and_it_is_said(void)
{
	struct accel kvm = {.name = "kvm", .kvm = true};
	struct machine_spec spec = guest.machine;
	struct err err = {0};

	spec.accel = &kvm;
	CHECK_INT(branch_can(&spec, BRANCH_WARP, &err), -EOPNOTSUPP);
	CHECK_HAS(err.text, "TCG");
	CHECK_INT(branch_can(&spec, BRANCH_REAL_TIME, &err), 0);
	CHECK_INT(branch_can(&guest.machine, BRANCH_WARP, &err), guest.accel.kvm ? -EOPNOTSUPP : 0);
}

static const struct check_case cases[] = {
	CHECK_CASE(a_branch_leaves_the_machine_as_it_was),
	CHECK_CASE(a_pool_that_waits_150_minutes_is_free_after_150_minutes),
	CHECK_CASE(a_deadlock_does_not_end_in_hours),
	CHECK_CASE(a_thread_that_only_ticks_has_not_left_its_wait),
	CHECK_CASE(a_wait_for_a_peer_is_ended_neither_by_a_reset_nor_by_tcp_giving_up),
	CHECK_CASE(the_answer_that_a_client_was_owed_is_seen_when_it_is_sent),
	CHECK_CASE(a_template_with_its_memory_in_the_state_has_branches_too),
	CHECK_CASE(a_machine_on_the_user_network_has_branches_too),
	CHECK_CASE(no_time_is_skipped_under_kvm_and_it_is_said),
};

int main(int argc, char **argv)
{
	static const char *const programs[] = {"hang", NULL};
	int rc;

	if (argc > 1 && !strcmp(argv[1], "relay"))
		return cmd_relay(argc - 1, argv + 1);
	signal(SIGPIPE, SIG_IGN);
	check_alarm(900);
	if (tiny_witness_open(&guest, network_resolve(NETWORK_AUTO), programs))
		return 1;
	rc = check_main(__FILE__, cases, ARRAY_SIZE(cases), argc, argv);
	tiny_witness_close(&guest);
	return rc;
}
