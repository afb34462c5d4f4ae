#include "net/dialogue_priv.h"

#include <assert.h>
#include <string.h>

static const char *const protocol_names[] = {
	[DIALOGUE_PROTOCOL_SMTP] = "smtp",
	[DIALOGUE_PROTOCOL_LMTP] = "lmtp",
	[DIALOGUE_PROTOCOL_IMAP] = "imap",
	[DIALOGUE_PROTOCOL_POP3] = "pop3",
	[DIALOGUE_PROTOCOL_TLS] = "tls",
	[DIALOGUE_PROTOCOL_NONE] = NULL,
};

const char *dialogue_protocol_name(enum dialogue_protocol protocol)
{
	return protocol_names[protocol];
}

enum dialogue_protocol dialogue_protocol_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocol_names); i++)
		if (protocol_names[i] && !strcmp(name, protocol_names[i]))
			return (enum dialogue_protocol)i;
	return DIALOGUE_PROTOCOL_UNKNOWN;
}

const char *dialogue_attempt_name(enum dialogue_result result)
{
	static const char *const names[] = {
		[ATTEMPT_NOT_SENT] = "not-sent",
		[ATTEMPT_2YZ] = "2yz",
		[ATTEMPT_4YZ] = "4yz",
		[ATTEMPT_5YZ] = "5yz",
		[ATTEMPT_NONE] = "none",
		[ATTEMPT_UNKNOWN] = "unknown",
	};

	return names[result];
}

struct dialogue_set *dialogue_set_new(
	const struct dialogue_port *ports, size_t count, bool only_ports, dialogue_fn fn, void *arg)
{
	struct dialogue_set *set = mem_zero(1, sizeof(*set));

	set->ports = ports;
	set->port_count = count;
	set->only_ports = only_ports;
	set->fn = fn;
	set->arg = arg;
	set->keys = set->no_keys = tls_keys_new(true);
	return set;
}

static const struct dialogue_port *port_of(const struct dialogue_set *set, uint16_t port)
{
	for (size_t i = 0; i < set->port_count; i++)
		if (set->ports[i].port == port)
			return &set->ports[i];
	return NULL;
}

/* ---- telling ---- */

void dialogue_tell(struct dialogue *d, struct dialogue_event *event)
{
	event->conn = d->conn;
	event->protocol = d->protocol;
	event->hop = d->hop;
	event->client = d->client;
	event->server = d->server;
	event->midstream = d->midstream;
	event->user = &d->user;
	event->gave_up_ns = d->client_ended ? d->client_ended_ns : 0;
	d->set->fn(d->set->arg, event);
}

void pending_event(const struct pending *pending, struct dialogue_event *event)
{
	event->verb = pending->verb;
	event->args = pending->args;
	event->tag = pending->tag[0] ? pending->tag : NULL;
	event->sent_ns = pending->sent_ns;
}

void dialogue_tell_command(
	struct dialogue *d, const struct pending *pending, const char *moment, int64_t ns)
{
	struct dialogue_event event = {
		.kind = DIALOGUE_COMMAND,
		.ns = ns,
		.moment = moment,
		.from = FLOW_CLIENT,
		.unknown = d->uncertain,
	};

	pending_event(pending, &event);
	dialogue_tell(d, &event);
}

void dialogue_tell_unanswered(
	struct dialogue *d, const struct pending *pending, bool unknown, int64_t ns)
{
	struct dialogue_event event = {
		.kind = DIALOGUE_UNANSWERED,
		.ns = ns,
		.from = FLOW_CLIENT,
		.unknown = unknown || pending->unsure,
	};

	pending_event(pending, &event);
	dialogue_tell(d, &event);
}

/* ---- commands that wait ---- */

struct pending *pending_add(struct dialogue *d, int command, int64_t ns)
{
	struct pending *pending = mem_zero(1, sizeof(*pending));

	pending->command = command;
	pending->sent_ns = pending->owed_ns = ns;
	if (d->newest)
		d->newest->next = pending;
	else
		d->oldest = pending;
	d->newest = pending;
	d->pending_count++;
	return pending;
}

void pending_remove(struct dialogue *d, struct pending *pending)
{
	struct pending **at = &d->oldest, *before = NULL;

	while (*at != pending) {
		before = *at;
		at = &before->next;
	}
	*at = pending->next;
	if (d->newest == pending)
		d->newest = before;
	d->pending_count--;
	free(pending);
}

/* ---- which protocol ---- */

void dialogue_set_protocol(struct dialogue *d, enum dialogue_protocol protocol, int64_t ns)
{
	static const struct protocol_ops *const table[] = {
		[DIALOGUE_PROTOCOL_SMTP] = &dialogue_smtp,
		[DIALOGUE_PROTOCOL_LMTP] = &dialogue_smtp,
		[DIALOGUE_PROTOCOL_IMAP] = &dialogue_imap,
		[DIALOGUE_PROTOCOL_POP3] = &dialogue_pop3,
		[DIALOGUE_PROTOCOL_NONE] = NULL,
	};

	d->protocol = protocol;
	d->ops = table[protocol];
	if (d->ops)
		d->ops->begin(d, ns);
}

void dialogue_opaque(struct dialogue *d, int64_t ns)
{
	struct dialogue_event event = {.kind = DIALOGUE_TLS, .ns = ns, .from = FLOW_CLIENT};

	dialogue_tell(d, &event);
	dialogue_not_mail(d);
}

void dialogue_not_mail(struct dialogue *d)
{
	if (d->ops)
		d->ops->free(d);
	d->ops = NULL;
	d->hold = false;
	buf_free(&d->held);
	for (int side = 0; side < 2; side++) {
		buf_free(&d->lines[side].text);
		buf_free(&d->first[side]);
	}
}

/* ---- feeding ---- */

static void hold(struct dialogue *d, const uint8_t *bytes, size_t len, int64_t ns)
{
	uint64_t lost;

	buf_add(&d->held, bytes, len);
	d->held_ns = ns;
	lost = d->held.len;
	if (lost <= DIALOGUE_HELD_MAX)
		return;
	buf_free(&d->held);
	d->hold = false;
	d->ops->gap(d, FLOW_CLIENT, lost, ns);
}

static void feed_held(struct dialogue *d);

static void feed(
	struct dialogue *d, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns)
{
	while (len && d->ops && !(from == FLOW_CLIENT && d->hold)) {
		size_t taken = from == FLOW_CLIENT ? d->ops->client(d, bytes, len, ns)
						   : d->ops->server(d, bytes, len, ns);

		assert(taken <= len);
		bytes += taken;
		len -= taken;
		if (from == FLOW_SERVER) /* at once: it must not matter what came in one segment */
			feed_held(d);
	}
	if (len && d->tls_begins)
		dialogue_tls_data(d, from, bytes, len, ns);
	else if (len && d->ops)
		hold(d, bytes, len, ns);
}

/* A reply came: what the client had sent before it can be understood now. */
static void feed_held(struct dialogue *d)
{
	while (d->held.len && !d->hold && d->ops) {
		struct buf held = d->held;

		d->held = (struct buf){0};
		feed(d, FLOW_CLIENT, (const uint8_t *)held.data, held.len, d->held_ns);
		buf_free(&held);
	}
}

static void dialogue_data(
	struct dialogue *d, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns)
{
	if (from == FLOW_CLIENT && d->held.len && d->ops)
		hold(d, bytes, len, ns);
	else
		feed(d, from, bytes, len, ns);
	feed_held(d);
}

/* The protocol is known now: what was kept comes first, the server's greeting before all. */
static void feed_first(struct dialogue *d, int64_t ns)
{
	struct buf first[2] = {d->first[0], d->first[1]};

	d->first[0] = d->first[1] = (struct buf){0};
	for (int side = FLOW_SERVER; side >= FLOW_CLIENT; side--) {
		if (d->ops && first[side].len)
			dialogue_data(d, (enum flow_side)side, (const uint8_t *)first[side].data,
				first[side].len, ns);
		buf_free(&first[side]);
	}
}

static void begin_tls(struct dialogue *d, int64_t ns)
{
	struct buf first = d->first[FLOW_CLIENT];

	d->first[FLOW_CLIENT] = (struct buf){0};
	d->protocol = DIALOGUE_PROTOCOL_TLS;
	dialogue_tls(d, ns);
	dialogue_tls_data(d, FLOW_CLIENT, (const uint8_t *)first.data, first.len, ns);
	buf_free(&first);
}

static void look_at_first(
	struct dialogue *d, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns)
{
	enum dialogue_protocol protocol;

	buf_add(&d->first[from], bytes, len);
	protocol = dialogue_find_out(d);
	if (protocol == DIALOGUE_PROTOCOL_UNKNOWN)
		return;
	d->found_out = true;
	if (protocol == DIALOGUE_PROTOCOL_TLS && d->tls)
		protocol = DIALOGUE_PROTOCOL_NONE; /* within itself */
	if (protocol == DIALOGUE_PROTOCOL_TLS) {
		begin_tls(d, ns);
	} else {
		dialogue_set_protocol(d, protocol, ns);
		feed_first(d, ns);
		if (protocol == DIALOGUE_PROTOCOL_NONE)
			dialogue_not_mail(d);
	}
}

/* ---- from the reassembly ---- */

static void on_open(void *arg, struct flow *flow, int64_t ns)
{
	struct dialogue_set *set = arg;
	const struct dialogue_port *port = port_of(set, flow->side[FLOW_SERVER].port);
	struct dialogue *d = mem_zero(1, sizeof(*d));
	struct dialogue_event event = {.kind = DIALOGUE_CONNECTED, .ns = ns, .from = FLOW_CLIENT};

	d->set = set;
	d->conn = flow->id;
	d->opened_ns = ns;
	d->midstream = d->uncertain = flow->midstream;
	d->hop = port ? port->hop : NULL;
	endpoint_text(&flow->side[FLOW_CLIENT], d->client);
	endpoint_text(&flow->side[FLOW_SERVER], d->server);
	dialogue_enlist(d, &set->open);
	flow->user = d;
	d->protocol = port		? port->protocol
		      : set->only_ports ? DIALOGUE_PROTOCOL_NONE
					: DIALOGUE_PROTOCOL_UNKNOWN;
	if (flow->established) {
		if (dialogue_protocol_name(d->protocol)) {
			snprintf(d->moment, sizeof(d->moment), "%s/connected",
				dialogue_protocol_name(d->protocol));
			event.moment = flow->midstream ? NULL : d->moment;
		}
		dialogue_tell(d, &event);
	}
	if (d->protocol == DIALOGUE_PROTOCOL_TLS)
		dialogue_tls(d, ns);
	else if (d->protocol != DIALOGUE_PROTOCOL_UNKNOWN)
		dialogue_set_protocol(d, d->protocol, ns);
}

void dialogue_bytes(
	struct dialogue *d, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns)
{
	if (d->ops)
		dialogue_data(d, from, bytes, len, ns);
	else if (d->protocol == DIALOGUE_PROTOCOL_UNKNOWN)
		look_at_first(d, from, bytes, len, ns);
}

static void on_data(void *arg, struct flow *flow, enum flow_side from, const uint8_t *bytes,
	size_t len, int64_t ns)
{
	struct dialogue *d = flow->user;

	dialogue_tls_expire(arg, ns);
	if (from == FLOW_CLIENT)
		d->client_data_ns = ns;
	if (d->tls)
		dialogue_tls_data(d, from, bytes, len, ns);
	else
		dialogue_bytes(d, from, bytes, len, ns);
}

static void on_gap(void *arg, struct flow *flow, enum flow_side from, uint64_t bytes, int64_t ns)
{
	struct dialogue *d = flow->user;
	struct dialogue_event event = {
		.kind = DIALOGUE_GAP, .ns = ns, .from = from, .bytes = bytes, .unknown = true};

	(void)arg;
	dialogue_tell(d, &event);
	if (d->tls)
		dialogue_tls_gap(d, ns);
	if (!d->ops || d->tls)
		return;
	if (from == FLOW_CLIENT && d->held.len) { /* the gap stands behind what is held */
		buf_free(&d->held);
		d->hold = false;
	}
	d->ops->gap(d, from, bytes, ns);
	feed_held(d);
}

void dialogue_client_ended(struct dialogue *d, int64_t ns)
{
	if (!d->client_ended)
		d->client_ended_ns = ns;
	d->client_ended = true;
}

static void on_fin(void *arg, struct flow *flow, enum flow_side from, int64_t ns)
{
	struct dialogue *d = flow->user;

	(void)arg;
	if (from != FLOW_CLIENT)
		return;
	if (d->tls) /* behind what waits for its secrets */
		tls_end(d->tls, from, ns);
	else
		dialogue_client_ended(d, ns);
}

static void unlist(struct dialogue *d)
{
	struct dialogue_list *list = d->list;

	*(d->prev ? &d->prev->next : &list->oldest) = d->next;
	*(d->next ? &d->next->prev : &list->newest) = d->prev;
	list->count--;
}

void dialogue_enlist(struct dialogue *d, struct dialogue_list *list)
{
	if (d->list)
		unlist(d);
	d->list = list;
	d->next = NULL;
	d->prev = list->newest;
	*(d->prev ? &d->prev->next : &list->oldest) = d;
	list->newest = d;
	list->count++;
}

static void dialogue_free(struct dialogue *d)
{
	dialogue_not_mail(d);
	tls_free(d->tls);
	while (d->oldest)
		pending_remove(d, d->oldest);
	unlist(d);
	free(d);
}

void dialogue_end(struct dialogue *d, enum flow_end end, int64_t ns)
{
	struct dialogue_event event = {.kind = DIALOGUE_CLOSED,
		.ns = ns,
		.end = end,
		.unheard_ns = d->client_reset ? d->client_data_ns : 0,
		.unknown = d->tls && tls_is_hiding(d->tls)};

	if (end == FLOW_REFUSED) {
		event.kind = DIALOGUE_REFUSED;
		dialogue_tell(d, &event);
		event.kind = DIALOGUE_CLOSED;
	}
	if (d->ops)
		d->ops->close(d, ns);
	dialogue_tell(d, &event);
	dialogue_free(d);
}

static void on_close(void *arg, struct flow *flow, enum flow_end end, int64_t ns)
{
	struct dialogue *d = flow->user;

	flow->user = NULL;
	d->client_reset = flow->client_reset;
	dialogue_tls_expire(arg, ns);
	if (d->tls)
		dialogue_tls_end(d, end, ns);
	else
		dialogue_end(d, end, ns);
}

static void on_finish(void *arg)
{
	dialogue_tls_expire(arg, INT64_MAX);
}

static bool is_server(void *arg, const struct endpoint *endpoint)
{
	return port_of(arg, endpoint->port);
}

const struct reassembly_ops dialogue_reassembly_ops = {
	.open = on_open,
	.data = on_data,
	.gap = on_gap,
	.fin = on_fin,
	.close = on_close,
	.is_server = is_server,
	.finish = on_finish,
};

void dialogue_set_free(struct dialogue_set *set)
{
	if (!set)
		return;
	while (set->open.oldest)
		dialogue_free(set->open.oldest);
	while (set->late.oldest)
		dialogue_free(set->late.oldest);
	tls_keys_free(set->no_keys);
	free(set);
}
