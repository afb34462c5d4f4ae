/*
 * The machine on real QEMU: a guest of one initrd (the image's busybox and modules, and an init of this
 * test's own that gives us a shell on the witness's port) is saved as a template and cloned.
 */
#include "tests/check/check.h"
#include "tests/vm/tiny_guest.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/json.h"
#include "vm/clone.h"
#include "vm/qga.h"
#include "vm/qmp.h"
#include "vm/relay.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#define PATIENCE deadline_in_ms(60000)

static struct tiny_guest guest; /* its template is made by whoever needs it first */

struct seen {
	int panics, halts, gone;
};

static void see(void *arg, enum machine_event event, int64_t mono_ns)
{
	struct seen *seen = arg;

	(void)mono_ns;
	seen->panics += event == MACHINE_EVENT_PANIC;
	seen->halts += event == MACHINE_EVENT_HALT;
	seen->gone += event == MACHINE_EVENT_GONE;
}

/* A clone and its shell; ends the test run if there is none, as nothing else could be tested. */
static struct machine *clone_of(const struct template *tmpl, const struct machine_options *options)
{
	struct machine *machine = NULL;
	struct err err = {0};

	if (!CHECK_INT(clone_open(tmpl, options, &machine, &err), 0)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	return machine;
}

static struct template *template_of(enum network_kind kind)
{
	struct template *tmpl = NULL;
	struct err err = {0};

	check_alarm(300); /* boots take seconds */
	if (tiny_guest_template(&guest, kind, &tmpl, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	return tmpl;
}

#define CHECK_SAYS(shell, line, want)                               \
	do {                                                        \
		auto_free char *said = tiny_shell_ask(shell, line); \
		CHECK_STR(said, want);                              \
	} while (0)

/* ---- templates ------------------------------------------------------------------------------------ */

static void a_template_is_built_once_and_found_again(void)
{
	struct template *first = template_of(NETWORK_USER), *second;
	bool built = template_built_now(first);

	second = template_of(NETWORK_USER);
	CHECK(built);
	CHECK(!template_built_now(second));
	CHECK_STR(template_dir(first), template_dir(second));
	CHECK(template_clock_offset_ns(second) > 0);
	CHECK(template_clock_offset_ns(second) < 600 * NS_PER_SEC);
	CHECK_STR(json_get_text(template_json(second), "accelerator", ""), guest.accel.name);
	CHECK_HAS(json_get_text(template_json(second), "command_line", ""), "pvpanic");
	template_close(first);
	template_close(second);
}

static int give_up(struct machine *machine, void *arg, struct err *err)
{
	(void)arg;
	CHECK(machine_pid(machine) > 0);
	return err_set(err, -ECANCELED, "gave up");
}

static void a_failed_build_leaves_nothing_that_anybody_would_use(void)
{
	static const char *const parts[] = {"test=failed", NULL};
	struct machine_spec machine = tiny_guest_machine(&guest, NETWORK_USER);
	struct template_spec spec = {.machine = &machine, .parts = parts, .prepare = give_up};
	auto_free char *cache = fs_cache_dir();
	auto_free char *building = NULL;
	char key[HASH_HEX_SIZE];
	struct template *tmpl = NULL;
	struct err err = {0};

	CHECK_INT(template_open(&spec, PATIENCE, &tmpl, &err), -ECANCELED);
	CHECK_HAS(err.text, "gave up");
	CHECK(!template_cached(&spec));
	template_key(&spec, key);
	building = text_fmt("%s/templates/.building-%s", cache, key);
	CHECK(!fs_exists(building));
}

static void every_part_of_the_key_matters(void)
{
	static const char *const one[] = {"image=a", "target=b", NULL};
	static const char *const other[] = {"image=a", "target=c", NULL};
	struct machine_spec machine = tiny_guest_machine(&guest, NETWORK_USER);
	struct template_spec spec = {.machine = &machine, .parts = one};
	char before[HASH_HEX_SIZE], after[HASH_HEX_SIZE];
	struct accel accel = guest.accel;

	template_key(&spec, before);
	template_key(&spec, after);
	CHECK_STR(after, before);
#define CHECK_NEW_KEY()                            \
	do {                                       \
		template_key(&spec, after);        \
		CHECK(strcmp(after, before) != 0); \
	} while (0)
	spec.parts = other;
	CHECK_NEW_KEY();
	spec.parts = one;
	machine.memory_bytes *= 2;
	CHECK_NEW_KEY();
	machine.memory_bytes /= 2;
	machine.disk_count--;
	CHECK_NEW_KEY();
	machine.disk_count++;
	machine.network.kind = NETWORK_TAP;
	CHECK_NEW_KEY();
	machine.network.kind = NETWORK_USER;
	machine.accel = &accel;
	accel.qemu[0]++;
	CHECK_NEW_KEY();
	accel.qemu[0]--;
	accel.kvm = !accel.kvm;
	CHECK_NEW_KEY();
	accel.kvm = !accel.kvm;
	machine.initrd = machine.kernel;
	CHECK_NEW_KEY();
	machine.initrd = guest.initrd;
	template_key(&spec, after);
	CHECK_STR(after, before);
}

/* ---- clones ----------------------------------------------------------------------------------------- */

static void two_clones_at_once_share_nothing_and_leave_the_template_alone(void)
{
	struct template *tmpl = template_of(NETWORK_USER);
	auto_free char *ram = path_join(template_dir(tmpl), "ram");
	char before[HASH_HEX_SIZE], after[HASH_HEX_SIZE];
	struct machine *clones[2];
	struct tiny_shell shells[2];

	hash_file(ram, before, NULL);
	for (int i = 0; i < 2; i++) {
		struct machine_options options = {.dir = check_dir()};

		clones[i] = clone_of(tmpl, &options);
		tiny_shell_open(&shells[i], machine_take_witness_fd(clones[i]));
	}
	for (int i = 0; i < 2; i++) {
		auto_free char *line =
			text_fmt("echo I am %d >/tmp/who; "
				 "cat /tmp/who | dd of=/dev/vdb conv=fsync 2>/dev/null",
				i);

		CHECK_SAYS(&shells[i], "cat /tmp/prepared", "yes\n"); /* the template's memory */
		CHECK_SAYS(&shells[i], "head -c 8 /dev/vda", "prepared"); /* and its disk */
		CHECK_SAYS(&shells[i], line, "");
	}
	CHECK_SAYS(&shells[0], "cat /tmp/who; head -c 6 /dev/vdb", "I am 0\nI am 0");
	CHECK_SAYS(&shells[1], "cat /tmp/who; head -c 6 /dev/vdb", "I am 1\nI am 1");
	for (int i = 0; i < 2; i++) {
		CHECK_INT(machine_check(clones[i], NULL), 0);
		tiny_shell_close(&shells[i]);
		machine_close(clones[i]);
	}
	hash_file(ram, after, NULL);
	CHECK_STR(after, before);
	template_close(tmpl);
}

static void a_template_with_its_memory_in_the_state_works_too(void)
{
	static const char *const parts[] = {"test=memory-in-state", NULL};
	struct machine_spec machine = tiny_guest_machine(&guest, NETWORK_USER);
	struct template_spec spec = tiny_guest_spec(&guest, &machine);
	struct machine_options options = {.dir = check_dir()};
	struct template *tmpl = NULL;
	struct tiny_shell shell;
	struct machine *clone;
	auto_free char *ram = NULL;
	struct err err = {0};

	spec.parts = parts;
	spec.memory_in_state = true;
	CHECK_INT(template_open(&spec, PATIENCE, &tmpl, &err), 0);
	CHECK(!template_ignores_shared(tmpl));
	ram = path_join(template_dir(tmpl), "ram");
	CHECK(!fs_exists(ram));
	clone = clone_of(tmpl, &options);
	tiny_shell_open(&shell, machine_take_witness_fd(clone));
	CHECK_SAYS(&shell, "cat /tmp/prepared", "yes\n");
	tiny_shell_close(&shell);
	machine_close(clone);
	template_close(tmpl);
}

static void a_state_that_cannot_be_loaded_is_an_error_and_a_cold_boot_helps(void)
{
	static const char *const parts[] = {"test=bad-state", NULL};
	struct machine_spec machine = tiny_guest_machine(&guest, NETWORK_USER);
	struct template_spec spec = tiny_guest_spec(&guest, &machine);
	struct machine_options options = {.dir = check_dir()};
	struct template *tmpl = NULL;
	struct machine *clone = NULL;
	struct tiny_shell shell;
	auto_free char *state = NULL;
	struct err err = {0};

	spec.parts = parts;
	CHECK_INT(template_open(&spec, PATIENCE, &tmpl, &err), 0);
	state = path_join(template_dir(tmpl), "state");
	CHECK_INT(fs_write_atomic(state, "garbage", 7, &err), 0);
	CHECK(clone_open(tmpl, &options, &clone, &err) < 0);
	CHECK(!clone);
	CHECK_HAS(err.text, "cannot load the state");
	CHECK_INT(clone_boot(tmpl, &options, &clone, &err), 0);
	tiny_shell_open(&shell, machine_take_witness_fd(clone));
	CHECK_SAYS(&shell, "head -c 8 /dev/vda; ls /tmp/prepared 2>&1 | wc -l", "prepared1\n");
	tiny_shell_close(&shell);
	machine_close(clone);
	template_close(tmpl);
	CHECK(template_cached(&spec));
	CHECK_INT(template_forget(&spec, &err), 0);
	CHECK(!template_cached(&spec));
	CHECK_INT(template_forget(&spec, &err), 0);
}

/* ---- network ------------------------------------------------------------------------------------------ */

/* GET / from the guest's httpd. */
static void check_fetch(struct machine *machine)
{
	static const char request[] = "GET /hello HTTP/1.0\r\n\r\n";
	struct err err = {0};
	auto_close int fd =
		network_connect(machine_network(machine), TINY_GUEST_PORT, PATIENCE, &err);
	auto_buf struct buf reply = {0};
	ssize_t n;

	CHECK(fd >= 0);
	if (fd < 0) {
		fprintf(stderr, "%s\n", err.text);
		return;
	}
	CHECK_INT(io_write_all(fd, request, strlen(request), PATIENCE, NULL), 0);
	while ((n = io_read(fd, buf_reserve(&reply, 4096), 4096, PATIENCE)) > 0)
		reply.len += (size_t)n;
	buf_addc(&reply, '\0');
	CHECK_HAS(buf_text(&reply), "hello from the guest");
}

/* Two connections from the guest, both open before either is served. */
static void check_servers(struct machine *machine, struct tiny_shell *shell)
{
	struct err err = {0};
	auto_close int server = network_listen(machine_network(machine), "lmtp.rig", 24, &err);
	auto_close int one = -1, two = -1;
	char line[8] = {0};

	CHECK(server >= 0);
	tiny_shell_send(shell, "for i in 1 2; do (echo from $i | nc lmtp.rig 24 >/tmp/got$i; echo "
			       "done >>/tmp/done) & done");
	CHECK_INT(io_readable(server, PATIENCE), 1);
	one = accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	CHECK_INT(io_readable(server, PATIENCE), 1);
	two = accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	CHECK(one >= 0 && two >= 0);
	CHECK_INT(io_read(two, line, 7, PATIENCE), 7);
	CHECK_HAS(line, "from ");
	CHECK_INT(
		io_read(one, line, 7, PATIENCE), 7); /* unread bytes would make the close a reset */
	CHECK_HAS(line, "from ");
	io_write_all(one, "to one\n", 7, PATIENCE, NULL);
	io_write_all(two, "to two\n", 7, PATIENCE, NULL);
	shutdown(one, SHUT_RDWR);
	shutdown(two, SHUT_RDWR);
	CHECK_SAYS(shell,
		"while [ \"$(cat /tmp/done 2>/dev/null | wc -l)\" != 2 ]; do sleep 0.05; done; "
		"cat /tmp/got1 /tmp/got2 | sort",
		"to one\nto two\n");
}

static void check_undeclared(struct machine *machine)
{
	struct err err = {0};

	CHECK_INT(network_connect(machine_network(machine), 9999, PATIENCE, &err), -EINVAL);
	CHECK_HAS(err.text, "9999");
	CHECK_INT(network_listen(machine_network(machine), "lmtp.rig", 25, &err), -EINVAL);
	CHECK_INT(network_listen(machine_network(machine), "nobody.rig", 24, &err), -EINVAL);
	CHECK_HAS(err.text, "nobody.rig");
}

/* No way out: not even to the host's loopback, where an open slirp would let the guest in. */
static void check_shut(struct tiny_shell *shell)
{
	uint16_t port = 0;
	auto_close int listener = io_listen_tcp("127.0.0.1", 0, &port, NULL);
	auto_free char *line =
		text_fmt("ip route add default via 10.0.2.2; "
			 "nc -w 2 10.0.2.2 %u </dev/null >/dev/null 2>&1; echo tried",
			port);

	CHECK(listener >= 0);
	CHECK_SAYS(shell, line, "tried\n");
	CHECK_INT(io_readable(listener, 0), 0);
}

static void check_network(enum network_kind kind)
{
	struct template *tmpl = template_of(kind);
	struct machine_options options = {.dir = check_dir()};
	struct machine *clone = clone_of(tmpl, &options);
	struct tiny_shell shell;

	tiny_shell_open(&shell, machine_take_witness_fd(clone));
	CHECK_INT(network_kind(machine_network(clone)), kind);
	check_fetch(clone);
	check_fetch(clone);
	check_servers(clone, &shell);
	check_undeclared(clone);
	check_shut(&shell);
	tiny_shell_close(&shell);
	machine_close(clone);
	template_close(tmpl);
}

static void the_user_network_reaches_both_ways_and_not_out(void)
{
	check_network(NETWORK_USER);
}

static void the_tap_network_reaches_both_ways_and_not_out(void)
{
	struct err err = {0};

	if (network_probe(NETWORK_TAP, &err)) {
		check_skip("no tap network here: %s", err.text);
		return;
	}
	check_network(NETWORK_TAP);
}

static void a_closed_port_refuses_on_the_tap_network(void)
{
	struct template *tmpl;
	struct machine_options options = {.dir = check_dir()};
	struct tiny_shell shell;
	struct machine *clone;
	struct err err = {0};
	int server, client;

	if (network_probe(NETWORK_TAP, &err)) {
		check_skip("no tap network here: %s", err.text);
		return;
	}
	tmpl = template_of(NETWORK_TAP);
	clone = clone_of(tmpl, &options);
	tiny_shell_open(&shell, machine_take_witness_fd(clone));
	CHECK_INT(network_connect(machine_network(clone), TINY_GUEST_CLOSED_PORT, PATIENCE, &err),
		-ECONNREFUSED);
	CHECK_SAYS(&shell, "nc lmtp.rig 24 </dev/null >/dev/null 2>&1; echo $?", "1\n");
	server = network_listen(machine_network(clone), "lmtp.rig", 24, &err);
	tiny_shell_send(&shell, "nc lmtp.rig 24 </dev/null >/dev/null 2>&1 &");
	CHECK_INT(io_readable(server, PATIENCE), 1);
	client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	CHECK(client >= 0);
	close(client);
	close(server);
	CHECK_SAYS(&shell, "nc lmtp.rig 24 </dev/null >/dev/null 2>&1; echo $?", "1\n");
	tiny_shell_close(&shell);
	machine_close(clone);
	template_close(tmpl);
}

static void the_capture_gets_the_frames(void)
{
	struct template *tmpl = template_of(NETWORK_USER);
	const char *dir = check_dir();
	auto_free char *fifo = path_join(dir, "capture");
	auto_free char *refused = path_join(dir, "refused");
	struct machine_options options = {.dir = refused, .capture = fifo};
	auto_close int reader = -1;
	struct machine *clone = NULL;
	unsigned char head[24] = {0};
	struct err err = {0};

	CHECK_INT(mkfifo(fifo, 0600), 0);
	CHECK_INT(clone_open(tmpl, &options, &clone, &err), -ENXIO);
	CHECK_HAS(err.text, "nobody reads");
	reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	options.dir = dir;
	clone = clone_of(tmpl, &options);
	check_fetch(clone);
	CHECK_INT(io_readable(reader, PATIENCE), 1);
	CHECK_INT(read(reader, head, sizeof(head)), sizeof(head));
	CHECK_INT(
		head[0] | head[1] << 8 | head[2] << 16 | (unsigned int)head[3] << 24, 0xa1b2c3d4u);
	machine_close(clone);
	template_close(tmpl);
}

/* ---- what a machine does to itself, and what is done to it -------------------------------------------- */

static void a_pause_stops_the_guest_and_is_accounted_for(void)
{
	struct template *tmpl = template_of(NETWORK_USER);
	struct machine_options options = {.dir = check_dir()};
	struct machine *clone = clone_of(tmpl, &options);
	int64_t start_ns, outside, inside;

	CHECK_INT(machine_paused_ns(clone), 0);
	start_ns = clock_mono_ns();
	CHECK_INT(machine_pause(clone, NULL), 0);
	CHECK_INT(machine_pause(clone, NULL), 0);
	CHECK_INT(qga_ping(machine_qga(clone), deadline_in_ms(100), NULL), -ETIMEDOUT);
	inside = machine_paused_ns(clone);
	CHECK(inside > 90 * NS_PER_MS);
	CHECK_INT(machine_resume(clone, NULL), 0);
	CHECK_INT(machine_resume(clone, NULL), 0);
	outside = clock_mono_ns() - start_ns;
	CHECK(machine_paused_ns(clone) >= inside && machine_paused_ns(clone) <= outside);
	CHECK_INT(machine_paused_before(clone, clock_mono_ns()), machine_paused_ns(clone));
	CHECK(machine_paused_before(clone, start_ns + outside / 2) < inside);
	machine_close(clone);
	template_close(tmpl);
}

/* Let the guest end itself by `line`, and look at what the machine says. */
static void check_end(const char *line, int code, const char *sentence, const struct seen *want)
{
	struct template *tmpl = template_of(NETWORK_USER);
	struct seen seen = {0};
	struct machine_options options = {.dir = check_dir(), .on_event = see, .arg = &seen};
	struct machine *clone = clone_of(tmpl, &options);
	struct tiny_shell shell;
	struct err err = {0};

	tiny_shell_open(&shell, machine_take_witness_fd(clone));
	CHECK_INT(machine_check(clone, &err), 0);
	tiny_shell_send(&shell, line);
	CHECK_INT(machine_wait_end(clone, PATIENCE, &err), code);
	CHECK_HAS(err.text, sentence);
	CHECK_INT(machine_check(clone, NULL), code);
	CHECK_INT(machine_pause(clone, NULL), code);
	CHECK(qmp_alive(machine_qmp(clone))); /* it can still be looked at */
	tiny_shell_close(&shell);
	machine_close(clone);
	CHECK_INT(seen.panics, want->panics);
	CHECK_INT(seen.halts, want->halts);
	CHECK_INT(seen.gone, want->gone);
	template_close(tmpl);
}

static void a_panic_is_told_with_the_consoles_last_words(void)
{
	check_end("echo c >/proc/sysrq-trigger", MACHINE_PANICKED, "sysrq triggered crash",
		&(struct seen){.panics = 1});
}

static void a_panic_without_the_driver_is_told_as_well(void)
{
	check_end("rmmod pvpanic_mmio; echo c >/proc/sysrq-trigger", MACHINE_PANICKED,
		"the guest's kernel panicked", &(struct seen){.panics = 1});
}

static void a_guest_that_powers_off_is_no_panic(void)
{
	check_end("poweroff -f", MACHINE_HALTED, "halted", &(struct seen){.halts = 1});
}

static void a_guest_that_reboots_stays_where_it_is(void)
{
	check_end("reboot -f", MACHINE_HALTED, "rebooted", &(struct seen){.halts = 1});
}

static void qemu_gone_is_told_with_how_it_ended(void)
{
	struct template *tmpl = template_of(NETWORK_USER);
	struct seen seen = {0};
	struct machine_options options = {.dir = check_dir(), .on_event = see, .arg = &seen};
	struct machine *clone = clone_of(tmpl, &options);
	struct err err = {0};

	kill(machine_pid(clone), SIGSEGV);
	CHECK_INT(machine_wait_end(clone, PATIENCE, &err), MACHINE_GONE);
	CHECK_HAS(err.text, "signal 11");
	CHECK_HAS(err.text, "the console");
	CHECK(qmp_execute(machine_qmp(clone), "stop", NULL, PATIENCE, NULL, &err) < 0);
	CHECK_INT(machine_reset(clone, &err), MACHINE_GONE);
	machine_close(clone);
	CHECK_INT(seen.gone, 1);
	template_close(tmpl);
	machine_close(NULL);
}

static void a_power_cut_keeps_what_was_flushed_and_the_network_comes_back(void)
{
	struct template *tmpl = template_of(NETWORK_USER);
	struct machine_options options = {.dir = check_dir()};
	struct machine *clone = clone_of(tmpl, &options);
	struct tiny_shell shell;
	struct err err = {0};
	int64_t paused;

	tiny_shell_open(&shell, machine_take_witness_fd(clone));
	CHECK_SAYS(&shell, "echo durable | dd of=/dev/vdb conv=fsync 2>/dev/null; echo ok", "ok\n");
	tiny_shell_close(&shell);
	machine_kill(clone);
	CHECK_INT(machine_check(clone, &err), MACHINE_HALTED);
	CHECK_HAS(err.text, "switched off");
	CHECK_INT(machine_restart(clone, NULL, &err), 0);
	paused = machine_paused_ns(clone);
	CHECK(paused > 0);
	tiny_shell_open(&shell, machine_take_witness_fd(clone));
	CHECK_SAYS(&shell, "head -c 7 /dev/vdb; head -c 8 /dev/vda", "durableprepared");
	check_fetch(clone);
	CHECK_INT(machine_check(clone, &err), 0);
	CHECK_INT(machine_paused_ns(clone), paused);
	tiny_shell_close(&shell);
	machine_close(clone);
	template_close(tmpl);
}

static void the_reset_button_boots_again(void)
{
	struct template *tmpl = template_of(NETWORK_USER);
	struct machine_options options = {.dir = check_dir()};
	struct machine *clone = clone_of(tmpl, &options);
	struct tiny_shell shell;
	struct err err = {0};

	tiny_shell_open(&shell, machine_take_witness_fd(clone));
	CHECK_SAYS(&shell, "cat /tmp/prepared", "yes\n");
	CHECK_INT(machine_reset(clone, &err), 0);
	tiny_shell_wait(&shell); /* the new boot's shell has opened the port */
	CHECK_SAYS(&shell, "cat /tmp/prepared 2>/dev/null || echo new", "new\n");
	CHECK_INT(machine_check(clone, &err), 0);
	fprintf(stderr, "%s\n", err.text);
	tiny_shell_send(&shell, "reboot -f"); /* and a reboot from inside still ends it */
	CHECK_INT(machine_wait_end(clone, PATIENCE, &err), MACHINE_HALTED);
	tiny_shell_close(&shell);
	machine_close(clone);
	template_close(tmpl);
}

static void an_agent_that_is_not_there_is_silent(void)
{
	struct template *tmpl = template_of(NETWORK_USER);
	struct machine_options options = {.dir = check_dir()};
	struct machine *clone = clone_of(tmpl, &options);
	struct err err = {0};

	CHECK_INT(qga_ping(machine_qga(clone), deadline_in_ms(100), &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "guest agent");
	machine_close(clone);
	template_close(tmpl);
}

/* ---- kill -9 ------------------------------------------------------------------------------------------ */

/* The owner: opens a clone, says QEMU's pid, waits for its end. */
static _Noreturn void own_a_machine(enum network_kind kind, const char *dir, int out)
{
	struct template *tmpl = template_of(kind);
	struct machine_options options = {.dir = dir};
	struct machine *clone = clone_of(tmpl, &options);
	pid_t pid = machine_pid(clone);

	if (write(out, &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
	for (;;)
		pause();
}

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) && errno == ESRCH;
}

static void check_kill_9(enum network_kind kind)
{
	int64_t deadline_ns = 0;
	const char *dir = check_dir();
	pid_t owner, qemu = 0;
	int ends[2];

	template_close(template_of(kind)); /* not in the child */
	CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
	owner = fork();
	if (!owner)
		own_a_machine(kind, dir, ends[1]);
	close(ends[1]);
	CHECK_INT(io_readable(ends[0], PATIENCE), 1);
	CHECK_INT(read(ends[0], &qemu, sizeof(qemu)), sizeof(qemu));
	close(ends[0]);
	CHECK(qemu > 0 && !is_gone(qemu));
	kill(owner, SIGKILL);
	waitpid(owner, NULL, 0);
	/* An orphan has no parent that could be told: look until it is gone. */
	deadline_ns = PATIENCE;
	while (!is_gone(qemu) && deadline_left_ms(deadline_ns))
		io_readable(-1, deadline_in_ms(5));
	CHECK(is_gone(qemu));
}

static void kill_9_of_the_owner_leaves_no_qemu(void)
{
	check_kill_9(NETWORK_USER);
	if (!network_probe(NETWORK_TAP, NULL))
		check_kill_9(NETWORK_TAP);
}

/* ---- the host ----------------------------------------------------------------------------------------- */

static void the_accelerator_was_proved_by_a_boot_or_refused_with_a_reason(void)
{
	struct accel again;
	struct err err = {0};

	CHECK_INT(accel_probe(guest.kernel, guest.initrd, &again, &err), 0);
	CHECK_STR(again.name, guest.accel.name);
	CHECK(again.why[0]);
	printf("accelerator %s: %s\n", again.name, again.why);
	setenv("MAILRIG_ACCEL", "tcg", 1);
	CHECK_INT(accel_probe(guest.kernel, guest.initrd, &again, &err), 0);
	CHECK_STR(again.name, "tcg");
	setenv("MAILRIG_ACCEL", "hvf", 1);
	CHECK_INT(accel_probe(guest.kernel, guest.initrd, &again, &err), -EINVAL);
	CHECK_HAS(err.text, "hvf");
	unsetenv("MAILRIG_ACCEL");
}

static const struct check_case cases[] = {
	CHECK_CASE(the_accelerator_was_proved_by_a_boot_or_refused_with_a_reason),
	CHECK_CASE(a_template_is_built_once_and_found_again),
	CHECK_CASE(a_failed_build_leaves_nothing_that_anybody_would_use),
	CHECK_CASE(every_part_of_the_key_matters),
	CHECK_CASE(two_clones_at_once_share_nothing_and_leave_the_template_alone),
	CHECK_CASE(a_template_with_its_memory_in_the_state_works_too),
	CHECK_CASE(a_state_that_cannot_be_loaded_is_an_error_and_a_cold_boot_helps),
	CHECK_CASE(the_user_network_reaches_both_ways_and_not_out),
	CHECK_CASE(the_tap_network_reaches_both_ways_and_not_out),
	CHECK_CASE(a_closed_port_refuses_on_the_tap_network),
	CHECK_CASE(the_capture_gets_the_frames),
	CHECK_CASE(a_pause_stops_the_guest_and_is_accounted_for),
	CHECK_CASE(a_panic_is_told_with_the_consoles_last_words),
	CHECK_CASE(a_panic_without_the_driver_is_told_as_well),
	CHECK_CASE(a_guest_that_powers_off_is_no_panic),
	CHECK_CASE(a_guest_that_reboots_stays_where_it_is),
	CHECK_CASE(qemu_gone_is_told_with_how_it_ended),
	CHECK_CASE(a_power_cut_keeps_what_was_flushed_and_the_network_comes_back),
	CHECK_CASE(the_reset_button_boots_again),
	CHECK_CASE(an_agent_that_is_not_there_is_silent),
	CHECK_CASE(kill_9_of_the_owner_leaves_no_qemu),
};

int main(int argc, char **argv)
{
	int rc;

	/* QEMU runs the program that opened the network as its relay. */
	if (argc > 1 && !strcmp(argv[1], "relay"))
		return cmd_relay(argc - 1, argv + 1);
	if (tiny_guest_open(&guest, 128))
		return 1;
	rc = check_main(__FILE__, cases, ARRAY_SIZE(cases), argc, argv);
	tiny_guest_close(&guest);
	return rc;
}
