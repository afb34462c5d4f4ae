/*
 * What a dialogue tells, as text: one line per event, times left out, so that tests compare texts. For
 * tests/unit/test_net_*.c.
 */
#pragma once

#include "net/dialogue.h"
#include "tests/fake/wire_gen.h"

#include <stdio.h>
#include <string.h>

static inline void tell_message(struct buf *out, const struct dialogue_message *m)
{
	buf_addf(out, " from=<%s> to=", m->from);
	for (size_t i = 0; i < m->to_count; i++)
		buf_addf(out, "%s<%s>", i ? "," : "", m->to[i].address);
	buf_addf(out, " bytes=%llu %.8s token=%s%s", (unsigned long long)m->bytes,
		m->sha256[0] ? m->sha256 : "-", m->token, m->complete ? "" : " incomplete");
}

static inline void tell_event(void *arg, const struct dialogue_event *e)
{
	static const char *const kinds[] = {"connected", "refused", "command", "reply",
		"unanswered", "push", "message", "result", "attempt", "tls", "gap", "closed"};
	struct buf *out = arg;

	buf_addf(out, "%llu %s", (unsigned long long)e->conn, kinds[e->kind]);
	if (e->moment)
		buf_addf(out, " [%s]", e->moment);
	if (e->tag)
		buf_addf(out, " %s", e->tag);
	if (e->verb)
		buf_addf(out, " '%s' '%s'", e->verb, e->args);
	if (e->code || e->status)
		buf_addf(out, " %d%s", e->code, e->status ? e->status : "");
	if (e->text)
		buf_addf(out, " \"%s\"", e->text);
	if (e->message)
		tell_message(out, e->message);
	if (e->attempt)
		buf_addf(out, " %s <%s> to <%s> %s rcpt=%d code=%d", e->attempt->token,
			e->attempt->from, e->attempt->to, dialogue_attempt_name(e->attempt->result),
			e->attempt->rcpt_code, e->attempt->code);
	if (e->kind == DIALOGUE_GAP)
		buf_addf(out, " %s %llu", e->from == FLOW_CLIENT ? "client" : "server",
			(unsigned long long)e->bytes);
	if (e->kind == DIALOGUE_CLOSED)
		buf_addf(out, " %s", flow_end_name(e->end));
	if (e->unknown)
		buf_addf(out, " unknown");
	buf_addc(out, '\n');
}

/* Feed all frames and end the capture. `fn` gets the events. */
static inline void tell_capture(const struct gen *gen, const struct dialogue_port *ports,
	size_t count, dialogue_fn fn, void *arg)
{
	struct decoder *decoder = decoder_new(gen->link_type);
	struct dialogue_set *set = dialogue_set_new(ports, count, false, fn, arg);
	struct reassembly *reassembly = reassembly_new(&dialogue_reassembly_ops, set);
	struct segment segment;

	for (size_t i = 0; i < gen->count; i++) {
		const struct gen_frame *frame = &gen->frames[i];

		if (decoder_frame(decoder, (const uint8_t *)frame->bytes.data, frame->captured,
			    frame->bytes.len, &segment))
			reassembly_segment(reassembly, &segment, frame->ns);
	}
	reassembly_finish(reassembly);
	reassembly_free(reassembly);
	dialogue_set_free(set);
	decoder_free(decoder);
}
