#include "cmd.h"

#include "api/oracle.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "diagnose/diagnose.h"
#include "run/bed/bed_vm.h"
#include "run/bed/bed_vm_core.h"
#include "run/bed/closer.h"
#include "run/plan/target_load.h"
#include "run/rig_programs.h"
#include "run/visit.h"
#include "vm/qmp.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096
#define COMMANDS_MAX   64
#define RUN_MS	       60000
#define ASK_MS	       30000
#define JSON_MAX       (64u << 20)

const char usage_shell[] =
	"usage: mailrig shell [CELL|TARGET] [--at onset|heal] [--command LINE]... [--results "
	"DIR]\n\n"
	"Stand inside a machine. CELL (as for `mailrig show`; without it the latest finding) is "
	"run "
	"again until\n"
	"its hang is seen, its machine is copied there, and you are in the copy, with nobody else "
	"on "
	"its network.\n"
	"TARGET: a fresh clone of it. Each line you type is run there as root by `sh -c`, with a "
	"limit of a minute;\n"
	".help says what else there is. Exit code: 0 you were inside, 2 the moment did not come in "
	"this run, 4 no\n"
	"such cell, 16 rig trouble.\n"
	"  --at WHEN       onset (default): as soon as the hang is seen; heal: the fault is in "
	"force, "
	"just before its heal\n"
	"  --command LINE  run this and leave; may be repeated\n"
	"  --results DIR   where campaigns are, and where this one goes (default: results)\n";

struct asked {
	const char *word, *results;
	const char *commands[COMMANDS_MAX];
	size_t command_count;
	enum visit_at at;
};

static const char *dump_dir; /* where .dump puts its file */

/* ---- what can be asked inside ---- */

static void run_line(const struct visit_place *place, const char *line)
{
	struct witness_command command = {.line = line, .timeout_ms = RUN_MS};
	struct witness_result result = {0};
	struct err err = {0};

	if (witness_run(place->witness, &command, &result, &err)) {
		printf("mailrig: %s\n", err.text);
	} else {
		fwrite(buf_text(&result.output), 1, result.output.len, stdout);
		if (result.timed_out)
			printf("(ended after %d s)\n", RUN_MS / 1000);
		else if (result.status)
			printf("(status %d)\n", result.status);
	}
	buf_free(&result.output);
}

static json_t *load(const struct visit_place *place, const char *name)
{
	auto_free char *path = place->evidence ? path_join(place->evidence, name) : NULL;

	return path && fs_exists(path) ? json_load_path(path, JSON_MAX, NULL) : NULL;
}

static void print_lines(char *const *lines, size_t count, const char *before)
{
	for (size_t i = 0; i < count; i++)
		printf("%s%s\n", before, lines[i]);
}

/* As the machine stands now: with functions, which only a machine that stands has. */
static void tell_who(const struct visit_place *place)
{
	const struct stack_source source = {.witness = place->witness, .spec = place->spec};
	auto_json json_t *owed = load(place, "owed.json"), *saved = load(place, "scan.json");
	auto_json json_t *scan = NULL;
	struct diagnose_input input = {.earlier = saved,
		.owed = owed,
		.target = place->spec->target,
		.ours = rig_programs};
	struct diagnosis diagnosis;
	struct err err = {0};

	if (witness_scan_deep(place->witness, deadline_in_ms(ASK_MS), &scan, &err)) {
		printf("mailrig: %s\n", err.text);
		return;
	}
	input.scan = scan;
	input.frozen = json_get_bool(scan, "frozen", false);
	closer_look(&source, &input, scan);
	diagnose(&input, &diagnosis);
	printf("%s\n", diagnosis.title);
	print_lines(diagnosis.evidence, diagnosis.evidence_count, "  ");
	print_lines(diagnosis.unknown, diagnosis.unknown_count, "  not known: ");
	diagnosis_free(&diagnosis);
}

static void tell_wire(const struct visit_place *place)
{
	auto_json json_t *owed = load(place, "owed.json");
	json_t *one;
	size_t i;

	if (!json_array_size(owed))
		puts("no reply was owed on the wire");
	json_array_foreach (owed, i, one)
		printf("%s  %s to %s  %s %s  owed for %.1f s\n",
			json_get_text(one, "protocol", "?"), json_get_text(one, "client", "?"),
			json_get_text(one, "server", "?"), json_get_text(one, "verb", "?"),
			json_get_text(one, "token", ""), json_get_real(one, "age_s", 0));
}

static int free_port(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;

	if (fd < 0)
		return 0;
	if (!bind(fd, (struct sockaddr *)&at, sizeof(at)) &&
		!getsockname(fd, (struct sockaddr *)&at, &len))
		port = ntohs(at.sin_port);
	close(fd);
	return port;
}

static void start_gdb(const struct visit_place *place)
{
	int port = free_port();
	auto_free char *line = text_fmt("gdbserver tcp:127.0.0.1:%d", port);
	struct err err = {0};

	if (!port || qmp_execute(machine_qmp(place->machine), "human-monitor-command",
			     json_pack("{ss}", "command-line", line), deadline_in_ms(ASK_MS), NULL,
			     &err))
		printf("mailrig: no gdb: %s\n", err.text[0] ? err.text : "no port is free");
	else
		printf("gdb -ex 'target remote 127.0.0.1:%d'   (the machine's processor; for one "
		       "process see .who)\n",
			port);
}

static void dump_memory(const struct visit_place *place)
{
	auto_free char *path = text_fmt("%s/memory-%d.kdump", dump_dir, (int)getpid());
	struct err err = {0};

	if (vm_dump_memory(place->machine, path, &err)) {
		printf("mailrig: %s\n", err.text);
		return;
	}
	printf("%s   (for crash(8))\n", path);
}

static void tell_tasks(const struct visit_place *place)
{
	run_line(place,
		"for t in /proc/[0-9]*/task/[0-9]*; do echo \"${t#/proc/} $(cat $t/comm) "
		"$(cut -d' ' -f1 $t/syscall 2>/dev/null) $(cat $t/wchan 2>/dev/null)\"; done");
}

static void tell_help(const struct visit_place *place);

static const struct {
	const char *name, *says;
	void (*run)(const struct visit_place *place);
} inside[] = {
	{".help", "this", tell_help},
	{".who", "who waits for whom in the machine now, with functions", tell_who},
	{".tasks", "every thread: process/task/thread, name, system call, where in the kernel",
		tell_tasks},
	{".wire", "replies that were owed when the copy was made", tell_wire},
	{".gdb", "let gdb in, on a port of 127.0.0.1", start_gdb},
	{".dump", "write the machine's memory to a file", dump_memory},
	{".exit", "leave, as the end of input does; the machine is gone then", NULL},
};

#define INSIDE_COUNT (sizeof(inside) / sizeof(inside[0]))

static void tell_help(const struct visit_place *place)
{
	(void)place;
	for (size_t i = 0; i < INSIDE_COUNT; i++)
		printf("  %-7s %s\n", inside[i].name, inside[i].says);
	puts("  others  run in the machine as root by sh -c");
}

/* False: leave. */
static bool obey(const struct visit_place *place, const char *line)
{
	line += strspn(line, " \t");
	if (!*line)
		return true;
	for (size_t i = 0; i < INSIDE_COUNT; i++)
		if (!strcmp(line, inside[i].name)) {
			if (inside[i].run)
				inside[i].run(place);
			return inside[i].run;
		}
	if (*line == '.')
		printf("no '%s'; .help says what there is\n", line);
	else
		run_line(place, line);
	return true;
}

/* ---- the visit ---- */

static void greet(const struct visit_place *place)
{
	printf("inside %s", place->spec->target->name);
	if (place->evidence)
		printf(", %.2f s after the workload began; its evidence: %s", place->cell_s,
			place->evidence);
	puts("\n.help says what there is");
}

static void stay(void *arg, const struct visit_place *place)
{
	const struct asked *asked = arg;
	char line[LINE_MAX_BYTES];
	bool on = true;

	for (size_t i = 0; i < asked->command_count && on; i++) {
		on = obey(place, asked->commands[i]);
		fflush(stdout);
	}
	if (asked->command_count)
		return;
	greet(place);
	while (on) {
		if (isatty(STDIN_FILENO))
			fputs("rig# ", stdout);
		fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			break;
		line[strcspn(line, "\n")] = '\0';
		on = obey(place, line);
	}
}

static void say(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "  %s\n", line);
}

/* results/shell-PID: the run that leads there. Made new. */
static char *make_dir(const char *results, struct err *err)
{
	char *dir = text_fmt("%s/shell-%d", results, (int)getpid());

	if (!fs_mkdir_p(dir, err))
		return dir;
	free(dir);
	return NULL;
}

static int visit_again(const struct asked *asked, const char *cell, struct err *err)
{
	auto_free char *dir = make_dir(asked->results, err);
	auto_free char *log = NULL;
	struct plan *plan = NULL;
	bool came = false;
	int rc = dir ? plan_load(cell, &plan, err) : -EIO;

	if (!rc)
		rc = bed_vm_prepare(plan->target, say, NULL, err);
	if (!rc) {
		fprintf(stderr, "  running %s until %s, in %s\n", plan->id,
			asked->at == VISIT_ONSET ? "its hang is seen"
						 : "its fault is about to be healed",
			dir);
		rc = plan_save(plan, dir, err);
		log = path_join(dir, "rig.log");
	}
	if (!rc)
		rc = log_open(log, err);
	if (!rc)
		rc = visit_cell(plan, dir, asked->at, stay, (void *)asked, &came, err);
	plan_free(plan);
	log_close();
	if (rc)
		return cmd_fail(EXIT_TROUBLE, err);
	if (came)
		return EXIT_OK;
	err_set(err, -ENOENT,
		asked->at == VISIT_ONSET ? "no hang was seen in this run; mailrig repro %s --times "
					   "5 says how often it comes"
					 : "no fault was healed in this run of %s",
		cell);
	return cmd_fail(EXIT_UNTOLD, err);
}

static int visit_clone(const struct asked *asked, const char *root, struct err *err)
{
	auto_free char *folder = text_fmt("%s/targets/%s", root, asked->word);
	auto_free char *dir = make_dir(asked->results, err);
	auto_buf struct buf complaints = {0};
	struct target *target = NULL;
	int rc;

	if (!dir)
		return cmd_fail(EXIT_TROUBLE, err);
	rc = target_load(folder, oracles, &complaints, &target, err);
	fputs(buf_text(&complaints), stderr);
	if (!rc)
		rc = visit_target(target, dir, say, stay, (void *)asked, err);
	target_free(target);
	fs_remove_tree(dir, NULL);
	return rc ? cmd_fail(EXIT_TROUBLE, err) : EXIT_OK;
}

/* ---- the command line ---- */

static int take(void *arg, int option, const char *value, struct err *err)
{
	struct asked *asked = arg;

	if (option == 'r') {
		asked->results = value;
	} else if (option == 'c') {
		if (asked->command_count == COMMANDS_MAX)
			return err_set(err, -EINVAL, "more than %d commands", COMMANDS_MAX);
		asked->commands[asked->command_count++] = value;
	} else if (!strcmp(value, "onset") || !strcmp(value, "heal")) {
		asked->at = *value == 'o' ? VISIT_ONSET : VISIT_HEAL;
	} else {
		return err_set(
			err, -EINVAL, "'--at %s' is no moment; there are: onset heal", value);
	}
	return 0;
}

int cmd_shell(int argc, char **argv)
{
	static const struct option options[] = {{"results", required_argument, NULL, 'r'},
		{"command", required_argument, NULL, 'c'}, {"at", required_argument, NULL, 'a'},
		{NULL, 0, NULL, 0}};
	struct asked asked = {.results = "results"};
	auto_free char *root = NULL, *file = NULL, *cell = NULL;
	struct err err = {0};

	if (cmd_wants_help(argc, argv, usage_shell))
		return EXIT_OK;
	if (cmd_options(argc, argv, options, take, &asked, &err))
		return cmd_misused("shell", "%s", err.text);
	if (argc - optind > 1)
		return cmd_misused("shell", "it takes one cell or target");
	asked.word = argv[optind];
	dump_dir = asked.results;
	root = plan_root(&err);
	if (!root)
		return cmd_fail(EXIT_TROUBLE, &err);
	file = text_fmt("%s/targets/%s/target.yaml", root, asked.word ? asked.word : "");
	if (asked.word && fs_name_ok(asked.word) && fs_exists(file))
		return visit_clone(&asked, root, &err);
	cell = cmd_cell_dir(asked.word, asked.results, &err);
	return cell ? visit_again(&asked, cell, &err) : cmd_fail(EXIT_NOTHING, &err);
}
