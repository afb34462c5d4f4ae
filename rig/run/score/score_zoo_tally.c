#include "run/score/score_zoo.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

/* ---- counting ---- */

static void add(struct zoo_share *share, bool hit)
{
	share->of++;
	share->hits += hit;
}

static bool same_class(const struct zoo_outcome *o)
{
	return o->want_class && o->got_class && !strcmp(o->want_class, o->got_class);
}

static bool found(const struct zoo_outcome *o)
{
	return o->want_class && o->finding;
}

static bool is_right(const struct zoo_outcome *o)
{
	return o->want_class ? o->finding && o->first_right && same_class(o) : !o->finding;
}

/* Of `count` outcomes: how many have a name that none before them has. */
static unsigned int different(const struct zoo_outcome *all, size_t count, bool planted)
{
	unsigned int names = 0;

	for (size_t i = 0; i < count; i++) {
		bool known = !all[i].want_class == planted;

		for (size_t k = 0; k < i && !known; k++)
			known = !strcmp(all[k].name, all[i].name);
		names += !known;
	}
	return names;
}

/* ---- signatures ---- */

static bool is_pure(const struct zoo_outcome *all, size_t count, const struct zoo_outcome *one)
{
	for (size_t i = 0; i < count; i++)
		if (found(&all[i]) && !strcmp(all[i].signature, one->signature) &&
			strcmp(all[i].culprit, one->culprit) != 0)
			return false;
	return true;
}

static size_t count_of(
	const struct zoo_outcome *all, size_t count, const char *culprit, const char *signature)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += found(&all[i]) && !strcmp(all[i].culprit, culprit) &&
		     !strcmp(all[i].signature, signature);
	return n;
}

/* The signature that its culprit has most often; among equals the smallest. */
static const char *usual(const struct zoo_outcome *all, size_t count, const struct zoo_outcome *one)
{
	const char *best = one->signature;
	size_t most = count_of(all, count, one->culprit, best);

	for (size_t i = 0; i < count; i++) {
		size_t n;

		if (!found(&all[i]) || strcmp(all[i].culprit, one->culprit) != 0)
			continue;
		n = count_of(all, count, one->culprit, all[i].signature);
		if (n > most || (n == most && strcmp(all[i].signature, best) < 0)) {
			most = n;
			best = all[i].signature;
		}
	}
	return best;
}

/* ---- the score ---- */

static void add_miss(struct zoo_score *score, const struct zoo_outcome *o)
{
	json_array_append_new(score->misses,
		json_pack("{so so so sb so}", "name", json_text(o->name), "want",
			o->want_class ? json_text(o->want_class) : json_null(), "got",
			o->got_class ? json_text(o->got_class) : json_null(), "first_right",
			(int)o->first_right, "signature", json_text(o->signature)));
}

static void add_outcome(struct zoo_score *score, const struct zoo_outcome *o)
{
	if (!is_right(o))
		add_miss(score, o);
	if (!o->want_class) {
		score->healthy++;
		add(&score->false_alarms, o->finding);
		return;
	}
	score->planted++;
	add(&score->recall, o->finding);
	add(&score->culprit_first, o->finding && o->first_right);
	add(&score->class_right, o->finding && same_class(o));
}

void score_zoo_tally(const struct zoo_outcome *all, size_t count, struct zoo_score *ret)
{
	*ret = (struct zoo_score){.misses = json_array()};
	for (size_t i = 0; i < count; i++) {
		add_outcome(ret, &all[i]);
		if (!found(&all[i]))
			continue;
		add(&ret->purity, is_pure(all, count, &all[i]));
		add(&ret->completeness, !strcmp(all[i].signature, usual(all, count, &all[i])));
	}
	ret->troubles = different(all, count, true);
	ret->controls = different(all, count, false);
}

void score_zoo_free(struct zoo_score *score)
{
	json_decref(score->misses);
	*score = (struct zoo_score){0};
}

/* ---- for machines ---- */

json_t *score_zoo_json(const struct zoo_score *score)
{
	const struct {
		const char *name;
		struct zoo_share share;
	} shares[] = {
		{"recall", score->recall},
		{"false_alarm_rate", score->false_alarms},
		{"culprit_first", score->culprit_first},
		{"class_right", score->class_right},
		{"purity", score->purity},
		{"completeness", score->completeness},
	};
	json_t *json = json_pack(
		"{si si}", "planted", (int)score->planted, "healthy", (int)score->healthy);
	json_t *counts = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(shares); i++) {
		struct zoo_share s = shares[i].share;

		json_object_set_new(json, shares[i].name,
			s.of ? json_real((double)s.hits / s.of) : json_null());
		json_object_set_new(
			counts, shares[i].name, json_pack("[ii]", (int)s.hits, (int)s.of));
	}
	json_object_set_new(json, "counts", counts);
	json_object_set_new(json, "troubles", json_integer(score->troubles));
	json_object_set_new(json, "controls", json_integer(score->controls));
	json_object_set_new(json, "spoilt", json_integer(score->spoilt));
	json_object_set(json, "misses", score->misses);
	return json;
}
