#include "run/bed/bed_legs.h"

#include "base/clock.h"
#include "base/json.h"
#include "mail/forwarder.h"
#include "mail/sink.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define DELAY_MS 1000 /* where a change says none */

struct leg {
	struct legs *legs;
	const struct service *service;
	struct forwarder *forwarder;
	enum leg_mode mode;
	/* Stands in for the service where the mode says so. It never goes back to taking mail: nobody would
	 * pass it on. */
	struct sink *stand_in;
	struct sockaddr_un address;
	socklen_t address_len;
	atomic_bool stands_in;
};

struct legs {
	struct machine *machine;
	struct leg at[LEGS_MAX];
	size_t count;
	struct sink *sink;
};

const char *legs_relay_name(const struct service *service)
{
	return service->protocol == PROTOCOL_LMTP ? "lmtp.rig" : "relay.rig";
}

size_t legs_servers(const struct target *target, struct network_server *out, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < target->service_count && count + 1 < max; i++)
		if (target->services[i].seen == SEEN_RELAY)
			out[count++] = (struct network_server){
				legs_relay_name(&target->services[i]), target->services[i].port};
	out[count++] = (struct network_server){"sink.rig", SINK_PORT};
	return count;
}

/* ---- the server that stands in ---- */

/* An abstract unix socket that the kernel names (unix(7), autobind): nothing is left in any folder. */
static int listen_abstract(struct sockaddr_un *ret, socklen_t *ret_len, struct err *err)
{
	struct sockaddr_un any = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*ret_len = sizeof(*ret);
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any.sun_family)) ||
		listen(fd, SINK_SESSIONS_MAX) || getsockname(fd, (struct sockaddr *)ret, ret_len)) {
		err_sys(err, errno, "cannot listen for the relay");
		cleanup_fd(&fd);
		return -EIO;
	}
	return fd;
}

static int open_stand_in(struct leg *leg, struct err *err)
{
	struct sink_opts opts = {
		.lmtp = leg->service->protocol == PROTOCOL_LMTP,
		.name = legs_relay_name(leg->service),
	};

	opts.listen_fd = listen_abstract(&leg->address, &leg->address_len, err);
	if (opts.listen_fd < 0)
		return opts.listen_fd;
	leg->stand_in = sink_start(&opts, err);
	return leg->stand_in ? 0 : -EIO;
}

static int connect_stand_in(const struct leg *leg, struct err *err)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ret = fd;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&leg->address, leg->address_len))
		return err_sys(err, errno, "cannot reach the rig's own server");
	fd = -1;
	return ret;
}

static int connect_upstream(void *arg, int64_t deadline_ns, struct err *err)
{
	struct leg *leg = arg;

	if (leg->stands_in)
		return connect_stand_in(leg, err);
	return network_connect(
		machine_network(leg->legs->machine), leg->service->port, deadline_ns, err);
}

static int open_leg(struct legs *legs, const struct service *service, struct err *err)
{
	struct leg *leg = &legs->at[legs->count];
	struct forwarder_opts opts = {.connect = connect_upstream, .arg = leg};

	if (legs->count == LEGS_MAX)
		return err_set(err, -E2BIG, "more than %d services are seen: relay", LEGS_MAX);
	leg->legs = legs;
	leg->service = service;
	opts.listen_fd = network_listen(
		machine_network(legs->machine), legs_relay_name(service), service->port, err);
	if (opts.listen_fd < 0)
		return opts.listen_fd;
	leg->forwarder = forwarder_start(&opts, err);
	if (!leg->forwarder)
		return -EIO;
	legs->count++; /* from here on legs_close() takes it down */
	return open_stand_in(leg, err);
}

int legs_open(struct legs **ret, const struct target *target, struct machine *machine,
	int64_t (*clock_ns)(void *arg), void *arg, struct err *err)
{
	struct sink_opts opts = {.clock_ns = clock_ns, .arg = arg};
	struct legs *legs = mem_zero(1, sizeof(*legs));
	int rc = 0;

	legs->machine = machine;
	for (size_t i = 0; i < target->service_count && !rc; i++)
		if (target->services[i].seen == SEEN_RELAY)
			rc = open_leg(legs, &target->services[i], err);
	if (!rc) {
		opts.listen_fd =
			network_listen(machine_network(machine), "sink.rig", SINK_PORT, err);
		rc = opts.listen_fd < 0 ? opts.listen_fd : 0;
	}
	if (!rc) {
		legs->sink = sink_start(&opts, err);
		rc = legs->sink ? 0 : -EIO;
	}
	if (rc)
		legs_close(legs);
	else
		*ret = legs;
	return rc;
}

void legs_close(struct legs *legs)
{
	if (!legs)
		return;
	for (size_t i = 0; i < legs->count; i++)
		forwarder_stop(legs->at[i].forwarder);
	for (size_t i = 0; i < legs->count; i++)
		sink_stop(legs->at[i].stand_in);
	sink_stop(legs->sink);
	free(legs);
}

static struct leg *leg_of(struct legs *legs, const struct service *service)
{
	for (size_t i = 0; i < legs->count; i++)
		if (legs->at[i].service == service)
			return &legs->at[i];
	return NULL;
}

/* What a mode is to the forwarder, and to the server that stands in. */
static const struct {
	enum forwarder_mode forwarder;
	enum sink_mode stand_in; /* SINK_OK: nobody stands in */
} ways[LEG_MODES] = {
	[LEG_PASS] = {FORWARDER_PASS, SINK_OK},
	[LEG_REFUSE] = {FORWARDER_RESET, SINK_OK},
	[LEG_SILENT] = {FORWARDER_SILENT, SINK_OK},
	[LEG_CLOSED] = {FORWARDER_CLOSED, SINK_OK},
	[LEG_NOT_ACCEPTING] = {FORWARDER_NOT_ACCEPTING, SINK_OK},
	[LEG_BANNER_LATE] = {FORWARDER_BANNER_LATE, SINK_OK},
	[LEG_DROP] = {FORWARDER_DROP, SINK_OK},
	[LEG_MUTE] = {FORWARDER_MUTE, SINK_OK},
	[LEG_PARTIAL] = {FORWARDER_PARTIAL, SINK_OK},
	[LEG_DRIP] = {FORWARDER_DRIP, SINK_OK},
	[LEG_HALF_CLOSE] = {FORWARDER_HALF_CLOSE, SINK_OK},
	[LEG_BUSY] = {FORWARDER_PASS, SINK_BUSY},
	[LEG_FULL] = {FORWARDER_PASS, SINK_FULL},
	[LEG_DEFERS] = {FORWARDER_PASS, SINK_DATA_4YZ},
	[LEG_TLS_STALLS] = {FORWARDER_PASS, SINK_TLS_STALLS},
};

int legs_set(struct legs *legs, const struct service *service, const struct leg_change *change,
	struct err *err)
{
	static const enum forwarder_held held[] = {
		[LEG_HEAL_LATE] = FORWARDER_HELD_LATE,
		[LEG_HEAL_RESET] = FORWARDER_HELD_RESET,
		[LEG_HEAL_BLACK_HOLE] = FORWARDER_HELD_BLACK_HOLE,
	};
	struct leg *leg = leg_of(legs, service);
	enum sink_mode stand_in = ways[change->mode].stand_in;
	struct forwarder_change how = {
		.mode = ways[change->mode].forwarder,
		.held = held[change->heal],
		.delay_ms = change->delay_ms ? change->delay_ms : DELAY_MS,
		.replies = change->replies,
	};
	int rc;

	if (!leg)
		return err_set(err, -ENOENT, "service '%s' has no relay", service->name);
	/* A warm connection would pass the fault by, and one to the server that stood in has nobody behind it. */
	how.cut = change->mode != LEG_PASS || leg->stands_in;
	if (stand_in != SINK_OK)
		sink_set_mode(leg->stand_in, stand_in);
	leg->stands_in = stand_in != SINK_OK;
	rc = forwarder_change(leg->forwarder, &how, err);
	if (!rc)
		leg->mode = change->mode;
	return rc;
}

static uint64_t sink_met_all(struct sink *sink)
{
	uint64_t met = 0;

	for (int mode = SINK_OK + 1; mode < SINK_MODES; mode++)
		met += sink_fired(sink, (enum sink_mode)mode);
	return met;
}

uint64_t legs_met(struct legs *legs, const struct service *service)
{
	struct leg *leg = leg_of(legs, service);
	struct forwarder_counts counts = {0};

	if (!leg)
		return 0;
	forwarder_get_counts(leg->forwarder, &counts);
	return counts.refused + counts.held + counts.failed + counts.hurt +
	       sink_met_all(leg->stand_in);
}

/* Only a new connection meets it, or is told of it. */
static bool of_connections(enum sink_mode mode)
{
	return mode == SINK_REFUSE || mode == SINK_NOT_ACCEPTING || mode == SINK_BANNER_LATE ||
	       mode == SINK_BUSY || mode == SINK_TLS_STALLS;
}

int legs_sink_set(struct legs *legs, const char *mode, int64_t delay_ms, struct err *err)
{
	enum sink_mode parsed;

	if (sink_mode_parse(mode, &parsed))
		return err_set(err, -EINVAL, "the sink has no mode '%s'", mode);
	sink_set_delay(legs->sink, delay_ms);
	if (of_connections(parsed))
		sink_set_mode_cold(legs->sink, parsed);
	else
		sink_set_mode(legs->sink, parsed);
	return 0;
}

uint64_t legs_sink_met(struct legs *legs)
{
	return sink_met_all(legs->sink);
}

json_t *legs_sunk(struct legs *legs)
{
	size_t count = sink_mail_count(legs->sink);
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *to, *one;
		struct sink_mail copy, *mail = &copy;

		if (!sink_mail_at(legs->sink, i, mail))
			break;
		to = json_array();
		for (size_t k = 0; k < mail->rcpt_count; k++)
			json_array_append_new(to, json_text(mail->rcpts[k]));
		one = json_pack("{so so ss sI sb}", "from", json_text(mail->from), "to", to,
			"sha256", mail->seen.body_sha256, "bytes",
			(json_int_t)mail->seen.size_bytes, "kept", (int)mail->kept);
		if (*mail->seen.token)
			json_object_set_new(one, "token", json_text(mail->seen.token));
		if (mail->seen.report && *mail->seen.quoted)
			json_object_set_new(one, "bounce_of", json_text(mail->seen.quoted));
		if (*mail->seen.failed)
			json_object_set_new(one, "failed", json_text(mail->seen.failed));
		if (*mail->seen.action)
			json_object_set_new(one, "action", json_text(mail->seen.action));
		json_array_append_new(list, one);
	}
	return list;
}

void legs_residue(struct legs *legs, json_t *sentences)
{
	for (size_t i = 0; i < legs->count; i++)
		if (legs->at[i].mode != LEG_PASS) {
			auto_free char *text = text_fmt("the leg in front of '%s' does not pass",
				legs->at[i].service->name);

			json_array_append_new(sentences, json_string(text));
		}
	if (sink_get_mode(legs->sink) != SINK_OK)
		json_array_append_new(sentences, json_string("the sink misbehaves still"));
}
