#include "run/score/score_zoo.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/rng.h"
#include "run/bed/bed_spec.h"
#include "run/score/score_zoo_cell.h"

#include <errno.h>
#include <fnmatch.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define CASES_MAX  1024
#define LIST_MS	   30000
#define LIST_MAX   (1u << 20)
#define TRIES	   2 /* of a cell that the rig could not run */
#define ALONE_IN   4 /* every fourth cell has no neighbour */
#define SEED_RANGE 1000000

/* A machine like a target's, whose only program is the zoo. Any image will do: nothing of it is started. */
static char zoo_name[] = "zoo", zoo_image[] = "bookworm-postfix-dovecot";
static char zoo_mount[] = "/srv/zoo";
static struct disk zoo_disk = {.name = zoo_name, .mount = zoo_mount, .size_bytes = 64u << 20};
static const struct target zoo_target = {
	.name = zoo_name,
	.image = zoo_image,
	.memory_bytes = 128u << 20,
	.cpus = 1,
	.ready_within_ms = 60000,
	.disks = &zoo_disk,
	.disk_count = 1,
};

struct scoring {
	const struct zoo_options *options;
	struct bed_spec *spec;
	struct template *template;
	struct zoo_truth *cases;
	size_t case_count;
	struct zoo_outcome *outcomes;
	size_t count;
	unsigned int spoilt, number;
	struct rng rng;
};

static void say(const struct scoring *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void say(const struct scoring *s, const char *fmt, ...)
{
	struct buf line = {0};
	va_list ap;

	if (!s->options->say)
		return;
	va_start(ap, fmt);
	buf_addv(&line, fmt, ap);
	va_end(ap);
	s->options->say(s->options->arg, buf_text(&line));
	buf_free(&line);
}

/* ---- the truth ---- */

static bool read_case(const json_t *json, struct zoo_truth *ret)
{
	const char *class = json_get_text(json, "class", NULL);

	*ret = (struct zoo_truth){
		.hang_class = class ? hang_class_find(class) : NULL,
		.deaths = (int)json_get_int(json, "deaths", 0),
		.spins = json_get_bool(json, "spins", false),
		.progressed = json_get_bool(json, "progressed", false),
		.exits = json_get_bool(json, "exits", false),
		.overdue = json_get_bool(json, "overdue", false),
		.frozen = json_get_bool(json, "frozen", false),
		.thawed = json_get_bool(json, "thawed", false),
		.starved = json_get_bool(json, "starved", false),
		.slow_disk = json_get_bool(json, "slow_disk", false),
		.stopping = json_get_bool(json, "stopping", false),
		.held_out = json_get_bool(json, "held_out", false),
	};
	snprintf(ret->name, sizeof(ret->name), "%s", json_get_text(json, "name", ""));
	snprintf(ret->role, sizeof(ret->role), "%s", json_get_text(json, "role", ""));
	return ret->name[0] && !class == !ret->hang_class;
}

static int read_cases(struct scoring *s, struct err *err)
{
	auto_free char *path = text_fmt("%s/build/targets/zoo/zoo", s->options->root);
	char *argv[] = {path, (char[]){"list"}, NULL};
	auto_buf struct buf out = {0};
	auto_json json_t *list = NULL;
	const json_t *json;
	size_t i;
	int rc = proc_run(argv, deadline_in_ms(LIST_MS), &out, LIST_MAX, err);

	if (rc)
		return rc < 0 ? rc : err_set(err, -EIO, "'%s list' ended with %d", path, rc);
	list = json_loads(buf_text(&out), 0, NULL);
	if (!json_is_array(list) || json_array_size(list) > CASES_MAX)
		return err_set(err, -EPROTO, "'%s list' gave no list of cases", path);
	s->cases = mem_zero(json_array_size(list), sizeof(*s->cases));
	json_array_foreach (list, i, json)
		if (!read_case(json, &s->cases[s->case_count++]))
			return err_set(err, -EPROTO, "'%s list' has a case without sense", path);
	return 0;
}

static bool is_chosen(const struct scoring *s, const struct zoo_truth *truth)
{
	return (!s->options->only || !fnmatch(s->options->only, truth->name, 0)) &&
	       (!s->options->held_out || truth->held_out);
}

/* One that is healthy, idle and nothing to do with a fault. */
static bool may_be_beside(const struct zoo_truth *one, const struct zoo_truth *truth)
{
	return !one->hang_class && !one->exits && !one->spins && !one->progressed &&
	       !one->overdue && !one->frozen && !one->slow_disk &&
	       strcmp(one->role, truth->role) != 0;
}

static const struct zoo_truth *neighbour_of(struct scoring *s, const struct zoo_truth *truth)
{
	size_t able = 0, chosen;

	for (size_t i = 0; i < s->case_count; i++)
		able += may_be_beside(&s->cases[i], truth);
	if (!able || rng_below(&s->rng, ALONE_IN) == 0)
		return NULL;
	chosen = rng_below(&s->rng, able);
	for (size_t i = 0; i < s->case_count; i++)
		if (may_be_beside(&s->cases[i], truth) && chosen-- == 0)
			return &s->cases[i];
	return NULL;
}

/* ---- cells ---- */

static void tell(const struct scoring *s, const struct zoo_outcome *o, const char *beside)
{
	const char *want = o->want_class ? o->want_class : "healthy";
	const char *got = o->got_class ? o->got_class : "healthy";
	bool right =
		o->want_class ? o->finding && o->first_right && !strcmp(want, got) : !o->finding;

	say(s, "%-5s %4u  %-28s %-24s %s%s%s", right ? "ok" : "WRONG", s->number, o->name,
		o->signature[0] ? o->signature : got, beside ? "beside " : "", beside ? beside : "",
		right				   ? ""
		: o->want_class && !o->finding	   ? "  not found"
		: o->want_class && !o->first_right ? "  another culprit"
						   : "  another class");
}

static bool is_cancelled(const struct scoring *s)
{
	struct pollfd fd = {.fd = s->options->cancel_fd, .events = POLLIN};

	return fd.fd >= 0 && poll(&fd, 1, 0) > 0;
}

static bool is_wrong(const struct zoo_outcome *o)
{
	return o->want_class ? !o->finding || !o->first_right || !o->got_class ||
				       strcmp(o->want_class, o->got_class) != 0
			     : o->finding;
}

/* The evidence of what was right goes; what was wrong is for people to read. */
static void clear(const struct zoo_cell *cell, const struct zoo_outcome *o)
{
	if (!is_wrong(o) && !getenv("MAILRIG_ZOO_KEEP"))
		fs_remove_tree(cell->dir, NULL);
}

static int run_cell(struct scoring *s, const struct zoo_truth *truth, struct err *err)
{
	auto_free char *dir = text_fmt("%s/%04u-%s", s->options->dir, ++s->number, truth->name);
	const struct zoo_cell cell = {.spec = s->spec,
		.template = s->template,
		.disk = zoo_disk.name,
		.mount = zoo_disk.mount,
		.dir = dir,
		.truth = truth,
		.neighbour = neighbour_of(s, truth),
		.seed = (unsigned int)rng_below(&s->rng, SEED_RANGE)};
	struct zoo_outcome *o = &s->outcomes[s->count];
	int rc = -EIO;

	if (is_cancelled(s))
		return err_set(err, -ECANCELED, "interrupted");
	for (int i = 0; i < TRIES && rc; i++) {
		struct err why = {0};

		rc = zoo_cell_run(&cell, o, &why);
		if (rc)
			say(s, "spoilt %s: %s", truth->name, why.text);
	}
	if (rc) {
		s->spoilt++;
		return 0;
	}
	tell(s, o, cell.neighbour ? cell.neighbour->name : NULL);
	clear(&cell, o);
	s->count++;
	return 0;
}

/* Every chosen case of that kind once. */
static int run_round(struct scoring *s, bool planted, size_t *ret_cells, struct err *err)
{
	size_t before = s->number;
	int rc = 0;

	for (size_t i = 0; i < s->case_count && !rc && s->count < ZOO_OUTCOMES_MAX; i++)
		if (!s->cases[i].hang_class != planted && is_chosen(s, &s->cases[i]))
			rc = run_cell(s, &s->cases[i], err);
	*ret_cells = s->number - before;
	return rc;
}

static int run_all(struct scoring *s, struct err *err)
{
	unsigned int times = s->options->times || s->options->healthy ? s->options->times : 1;
	size_t healthy = 0, ran = 1;
	int rc = 0;

	for (unsigned int i = 0; i < times && !rc; i++)
		rc = run_round(s, true, &ran, err);
	ran = 1;
	for (unsigned int i = 0; !rc && ran && (i < times || healthy < s->options->healthy); i++) {
		rc = run_round(s, false, &ran, err);
		healthy += ran;
	}
	return rc;
}

/* ---- all of it ---- */

static int prepare(struct scoring *s, struct err *err)
{
	int rc = read_cases(s, err);

	if (!rc)
		rc = fs_mkdir_p(s->options->dir, err);
	if (!rc)
		rc = bed_spec_new(&zoo_target, s->options->say, s->options->arg, &s->spec, err);
	return rc ? rc : bed_spec_template(s->spec, &s->template, err);
}

int score_zoo(const struct zoo_options *options, struct zoo_score *ret, struct err *err)
{
	struct scoring s = {.options = options, .rng = rng_stream(options->seed, "zoo")};
	int rc;

	s.outcomes = mem_zero(ZOO_OUTCOMES_MAX, sizeof(*s.outcomes));
	rc = prepare(&s, err);
	if (!rc)
		rc = run_all(&s, err);
	if (!rc || rc == -ECANCELED) {
		score_zoo_tally(s.outcomes, s.count, ret);
		ret->spoilt = s.spoilt;
	}
	template_close(s.template);
	bed_spec_free(s.spec);
	free(s.cases);
	free(s.outcomes);
	return rc;
}
