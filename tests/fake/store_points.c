/* The fake store's own points: sessions stand still there while a rule says so. */
#include "tests/fake/store_private.h"

#include "base/clock.h"

#include <string.h>

static struct fake_point_rule *rule_of(struct fake *fake, unsigned int slot)
{
	return slot && slot < FAKE_RULES_MAX ? &fake->rules[slot] : NULL;
}

bool fake_arm(struct fake *fake, unsigned int slot, const char *point, uint32_t hit, uint32_t calls)
{
	struct fake_point_rule *rule = rule_of(fake, slot);

	if (!rule || strncmp(point, "fake/", 5) != 0)
		return false;
	pthread_mutex_lock(&fake->lock);
	*rule = (struct fake_point_rule){
		.hit = hit ? hit : 1, .calls = calls ? calls : 1, .parked = rule->parked};
	snprintf(rule->point, sizeof(rule->point), "%s", point);
	pthread_mutex_unlock(&fake->lock);
	return true;
}

void fake_disarm(struct fake *fake, unsigned int slot)
{
	struct fake_point_rule *rule = rule_of(fake, slot);

	if (!rule)
		return;
	pthread_mutex_lock(&fake->lock);
	rule->point[0] = '\0';
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
}

bool fake_rule_status(
	struct fake *fake, unsigned int slot, uint64_t *ret_fired, uint32_t *ret_parked)
{
	struct fake_point_rule *rule = rule_of(fake, slot);
	bool known;

	if (!rule)
		return false;
	pthread_mutex_lock(&fake->lock);
	known = rule->point[0] || rule->fired;
	*ret_fired = rule->fired;
	*ret_parked = rule->parked;
	pthread_mutex_unlock(&fake->lock);
	return known;
}

/* Lock held. */
static void park(struct fake *fake, struct fake_point_rule *rule)
{
	rule->fired++;
	rule->parked++;
	while (rule->point[0] && !fake->stopping && !fake->killed)
		cond_wait(&fake->changed, &fake->lock, CLOCK_NEVER);
	rule->parked--;
}

void fake_point(struct fake *fake, const char *point)
{
	pthread_mutex_lock(&fake->lock);
	for (size_t i = 1; i < FAKE_RULES_MAX; i++) {
		struct fake_point_rule *rule = &fake->rules[i];

		if (strcmp(rule->point, point) != 0 || ++rule->hits < rule->hit ||
			rule->hits >= rule->hit + rule->calls)
			continue;
		park(fake, rule);
		break;
	}
	pthread_mutex_unlock(&fake->lock);
}
