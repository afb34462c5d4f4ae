/*
 * The dialogue parsers alone. The input: one byte for the port, then records of a byte that says who sends
 * (or that bytes are lost) and how much, and the bytes. Each input is told twice, the second time byte by
 * byte: the events must be the same.
 */
#include "net/dialogue.h"

#include "base/buf.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct dialogue_port ports[] = {{25, DIALOGUE_PROTOCOL_SMTP, NULL},
	{24, DIALOGUE_PROTOCOL_LMTP, NULL}, {143, DIALOGUE_PROTOCOL_IMAP, NULL},
	{110, DIALOGUE_PROTOCOL_POP3, NULL}};

static void note(void *arg, const struct dialogue_event *event)
{
	struct buf *out = arg;

	buf_addf(out, "%d %s|%s|%s|%s|%d|%s|%d\n", (int)event->kind,
		event->moment ? event->moment : "", event->tag ? event->tag : "",
		event->verb ? event->verb : "", event->args ? event->args : "", event->code,
		event->text ? event->text : "", event->unknown);
	if (event->message) {
		buf_addf(out, "%s %s %llu\n", event->message->token, event->message->sha256,
			(unsigned long long)event->message->bytes);
		for (size_t i = 0; i < event->message->to_count; i++)
			buf_addf(out, "to %s\n", event->message->to[i].address);
	}
	if (event->attempt)
		buf_addf(out, "%s %s %s %d %d\n", event->attempt->token, event->attempt->from,
			event->attempt->to, event->attempt->result, event->attempt->code);
}

static void tell(struct dialogue_set *set, struct flow *flow, const uint8_t *data, size_t size,
	bool bytewise)
{
	const struct reassembly_ops *ops = &dialogue_reassembly_ops;
	int64_t ns = 1;

	while (size > 1) {
		enum flow_side from = data[0] & 1;
		size_t len = 1 + (data[0] >> 3);
		bool lost = (data[0] & 6) == 6;

		data++;
		size--;
		len = len < size ? len : size;
		ns++;
		if (lost)
			ops->gap(set, flow, from, len, ns);
		for (size_t at = 0; !lost && at < len; at += bytewise ? 1 : len)
			ops->data(set, flow, from, data + at, bytewise ? 1 : len, ns);
		data += len;
		size -= len;
	}
	ops->close(set, flow, FLOW_FIN, ns);
}

static void run(const uint8_t *data, size_t size, bool bytewise, struct buf *out)
{
	struct dialogue_set *set = dialogue_set_new(ports, ARRAY_SIZE(ports), false, note, out);
	struct flow flow = {
		.id = 1,
		.side = {{.port = 40000, .family = 4}, {.port = 40001, .family = 4}},
		.established = true,
		.midstream = data[0] & 8,
	};

	if (data[0] % 8 < ARRAY_SIZE(ports))
		flow.side[FLOW_SERVER].port = ports[data[0] % 8].port;
	dialogue_reassembly_ops.open(set, &flow, 1);
	tell(set, &flow, data + 1, size - 1, bytewise);
	dialogue_set_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf whole = {0};
	auto_buf struct buf single = {0};

	if (!size)
		return 0;
	run(data, size, false, &whole);
	run(data, size, true, &single);
	assert(!strcmp(buf_text(&whole), buf_text(&single)));
	return 0;
}
