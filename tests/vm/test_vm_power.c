/* A power cut on real QEMU: what the guest wrote and flushed, wrote only, and what is on its disks afterwards. */
#include "tests/check/check.h"
#include "tests/vm/tiny_guest.h"

#include "base/clock.h"
#include "vm/clone.h"
#include "vm/qga.h"
#include "vm/qmp.h"
#include "vm/relay.h"
#include "vm/write_watch.h"

#include <string.h>

#define WRITE_FLUSHED "echo flushed | dd of=/dev/vdb conv=fsync 2>/dev/null; echo ok"
#define WRITE_ONLY                                                                          \
	"head -c 4096 /dev/zero | tr '\\0' w | dd of=/dev/vdb bs=4096 seek=1 oflag=direct " \
	"2>/dev/null; echo ok"
#define LOOK                                                                       \
	"head -c 7 /dev/vdb; dd if=/dev/vdb bs=4096 skip=1 count=1 2>/dev/null | " \
	"head -c 1 | tr '\\0' -"

static struct tiny_guest guest;
static struct template *tmpl;

static void check_says(
	const struct machine *machine, struct tiny_shell *shell, const char *line, const char *want)
{
	auto_free char *said = tiny_shell_ask(shell, line);
	auto_buf struct buf console = {0};

	if (CHECK_STR(said, want))
		return;
	machine_console_tail(machine, &console);
	fprintf(stderr, "asked: %s; its console: %s\n", line, buf_text(&console));
}

/* A clone that wrote a flushed block and one that was not, watched; the view after the first in `*ret`. */
static struct machine *clone_that_wrote(struct write_view *ret_flushed, struct write_view *ret_all)
{
	struct machine_options options = {.dir = check_dir(), .log_writes = true};
	struct machine *clone = NULL;
	struct write_watch *watch = NULL;
	const char *paths[2];
	struct tiny_shell shell;
	struct err err = {0};

	check_alarm(300);
	if (!tmpl && tiny_guest_template(&guest, NETWORK_USER, &tmpl, &err))
		abort();
	if (clone_open(tmpl, &options, &clone, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	for (int i = 0; i < 2; i++)
		paths[i] = machine_write_log_path(machine_dir(clone), &guest.disks[i]);
	if (!CHECK_INT(write_watch_open(paths, 2, &watch, &err), 0)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	tiny_shell_open(&shell, machine_take_witness_fd(clone));
	check_says(clone, &shell, WRITE_FLUSHED, "ok\n");
	write_watch_since(watch, clock_mono_ns(), ret_flushed);
	check_says(clone, &shell, WRITE_ONLY, "ok\n");
	write_watch_since(watch, CLOCK_NEVER, ret_all);
	CHECK(ret_all->bytes[1] > ret_flushed->bytes[1]);
	CHECK_INT(ret_all->bytes[0], ret_flushed->bytes[0]);
	CHECK_INT(machine_cut(clone, &err), 0);
	tiny_shell_close(&shell);
	write_watch_close(watch);
	for (int i = 0; i < 2; i++)
		free((char *)(uintptr_t)paths[i]);
	return clone;
}

static void look_after(struct machine *clone, const struct write_view *view, enum write_keep keep,
	uint64_t seed, size_t lost, const char *want)
{
	struct write_cut cuts[2] = {{view->bytes[0], keep, seed}, {view->bytes[1], keep, seed}};
	struct write_tally tallies[2];
	struct tiny_shell shell;
	struct err err = {0};

	if (!CHECK_INT(clone_cut_layers(tmpl, clone, cuts, tallies, &err), 0) ||
		!CHECK_INT(machine_power_on(clone, &err), 0)) {
		fprintf(stderr, "%s\n", err.text);
		return;
	}
	CHECK_INT(tallies[1].lost, lost);
	tiny_shell_open(&shell, machine_take_witness_fd(clone));
	check_says(clone, &shell, LOOK, want);
	check_says(clone, &shell, "head -c 8 /dev/vda", "prepared"); /* of the template */
	tiny_shell_close(&shell);
}

static void a_dead_guest_loses_nothing_that_it_wrote(void)
{
	struct write_view flushed, all;
	struct machine *clone = clone_that_wrote(&flushed, &all);

	look_after(clone, &all, WRITE_KEEP_ALL, 1, 0, "flushedw");
	machine_close(clone);
}

static void a_lost_cache_keeps_what_was_flushed(void)
{
	struct write_view flushed, all;
	struct machine *clone = clone_that_wrote(&flushed, &all);

	look_after(clone, &all, WRITE_KEEP_FLUSHED, 1, 1, "flushed-");
	machine_close(clone);
}

static void a_cut_may_come_at_an_earlier_moment(void)
{
	struct write_view flushed, all;
	struct machine *clone = clone_that_wrote(&flushed, &all);

	look_after(clone, &flushed, WRITE_KEEP_ALL, 1, 0, "flushed-");
	machine_close(clone);
}

static void whoever_asks_a_machine_without_power_gets_an_error(void)
{
	struct write_view flushed, all;
	struct machine *clone = clone_that_wrote(&flushed, &all);
	struct qmp *qmp = machine_qmp(clone);
	struct qga *qga = machine_qga(clone);
	struct err err = {0};

	CHECK_INT(machine_check(clone, &err), MACHINE_HALTED);
	CHECK_HAS(err.text, "switched off");
	CHECK(qmp_execute(qmp, "query-status", NULL, deadline_in_ms(1000), NULL, &err) < 0);
	CHECK(qga_ping(qga, deadline_in_ms(1000), &err) < 0);
	look_after(clone, &all, WRITE_KEEP_ALL, 1, 0, "flushedw");
	CHECK(machine_qmp(clone) != qmp);
	CHECK(qmp_execute(qmp, "query-status", NULL, deadline_in_ms(1000), NULL, &err) < 0);
	CHECK_INT(qmp_execute(machine_qmp(clone), "query-status", NULL, deadline_in_ms(10000), NULL,
			  &err),
		0);
	machine_close(clone);
}

static const struct check_case cases[] = {
	CHECK_CASE(a_dead_guest_loses_nothing_that_it_wrote),
	CHECK_CASE(a_lost_cache_keeps_what_was_flushed),
	CHECK_CASE(a_cut_may_come_at_an_earlier_moment),
	CHECK_CASE(whoever_asks_a_machine_without_power_gets_an_error),
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
	template_close(tmpl);
	tiny_guest_close(&guest);
	return rc;
}
