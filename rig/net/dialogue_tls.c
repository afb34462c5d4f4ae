/* Dialogues inside TLS: between the reassembly and the protocols. */
#include "net/dialogue_priv.h"

void dialogue_set_keys(struct dialogue_set *set, struct tls_keys *keys)
{
	set->keys = keys;
}

/* The first content of the session: the protocol begins anew, after STARTTLS without a greeting. */
static void begin(struct dialogue *d, int64_t ns)
{
	d->tls_begins = false;
	if (d->protocol != DIALOGUE_PROTOCOL_TLS) {
		d->upgraded = true;
		dialogue_set_protocol(d, d->protocol, ns);
	} else {
		d->protocol = DIALOGUE_PROTOCOL_UNKNOWN;
	}
}

static void on_content(void *arg, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns)
{
	struct dialogue *d = arg;

	if (!len) {
		dialogue_client_ended(d, ns);
		return;
	}
	if (d->tls_begins)
		begin(d, ns);
	dialogue_bytes(d, from, bytes, len, ns);
}

/* TLS within TLS is nobody's: it stays opaque. */
void dialogue_tls(struct dialogue *d, int64_t ns)
{
	struct buf held = d->held;

	d->held = (struct buf){0};
	dialogue_opaque(d, ns);
	if (!d->tls) {
		d->tls = tls_new(d->set->keys, on_content, d);
		d->tls_begins = true;
		if (held.len) /* sent before the reply that began it */
			dialogue_tls_data(
				d, FLOW_CLIENT, (const uint8_t *)held.data, held.len, d->held_ns);
	}
	buf_free(&held);
}

/* Once it cannot be opened any more, whatever waits for a reply waits in vain. */
static void look_for_loss(struct dialogue *d, int64_t ns)
{
	if (!tls_is_lost(d->tls) || d->tls_lost)
		return;
	d->tls_lost = true;
	for (int side = FLOW_CLIENT; side <= FLOW_SERVER && d->ops; side++) {
		if (side == FLOW_CLIENT) {
			buf_free(&d->held);
			d->hold = false;
		}
		d->ops->gap(d, (enum flow_side)side, UINT64_MAX, ns); /* all that follows */
	}
}

void dialogue_tls_data(
	struct dialogue *d, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns)
{
	tls_feed(d->tls, from, bytes, len, ns);
	look_for_loss(d, ns);
}

void dialogue_tls_gap(struct dialogue *d, int64_t ns)
{
	tls_lose(d->tls);
	look_for_loss(d, ns);
}

static void retry(struct dialogue_list *list)
{
	for (struct dialogue *d = list->oldest, *next; d; d = next) {
		next = d->next;
		if (!d->tls)
			continue;
		tls_retry(d->tls);
		look_for_loss(d, d->held_ns);
		if (list == &d->set->late && !tls_is_waiting(d->tls))
			dialogue_end(d, d->end, d->end_ns);
	}
}

void dialogue_set_retry(struct dialogue_set *set)
{
	retry(&set->open);
	retry(&set->late);
}

size_t dialogue_set_late(const struct dialogue_set *set)
{
	return set->late.count;
}

/* ---- the end of a connection whose secrets have not come yet ---- */

static void give_up(struct dialogue *d)
{
	tls_lose(d->tls);
	look_for_loss(d, d->end_ns);
	dialogue_end(d, d->end, d->end_ns);
}

void dialogue_tls_end(struct dialogue *d, enum flow_end end, int64_t ns)
{
	if (!tls_is_waiting(d->tls)) {
		dialogue_end(d, end, ns);
		return;
	}
	d->end = end;
	d->end_ns = ns;
	dialogue_enlist(d, &d->set->late);
	if (d->set->late.count > DIALOGUE_LATE_MAX)
		give_up(d->set->late.oldest);
}

void dialogue_tls_expire(struct dialogue_set *set, int64_t ns)
{
	while (set->late.oldest && set->late.oldest->end_ns < ns - DIALOGUE_LATE_NS)
		give_up(set->late.oldest);
}
