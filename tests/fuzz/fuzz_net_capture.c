/*
 * Any file: capture, decoder, reassembly, dialogues and what is printed of them. The input is the file.
 */
#include "base/buf.h"
#include "net/capture.h"
#include "net/ledger.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FILE *null_file(void)
{
	static FILE *file;

	if (!file)
		file = fopen("/dev/null", "we");
	assert(file);
	return file;
}

static void read_all(struct capture *capture, struct decoder *decoder, bool json)
{
	static const struct dialogue_port ports[] = {{25, DIALOGUE_PROTOCOL_SMTP, NULL},
		{24, DIALOGUE_PROTOCOL_LMTP, NULL}, {143, DIALOGUE_PROTOCOL_IMAP, NULL},
		{110, DIALOGUE_PROTOCOL_POP3, NULL}};
	struct wire_ledger *ledger = wire_ledger_new(null_file(), json);
	struct dialogue_set *set =
		dialogue_set_new(ports, ARRAY_SIZE(ports), false, wire_ledger_event, ledger);
	struct reassembly *reassembly = reassembly_new(&dialogue_reassembly_ops, set);
	struct wire_ledger_end end = {0};
	struct segment segment;
	struct frame frame;
	struct owed owed[4];

	while (capture_next(capture, &frame, NULL) == 1)
		if (decoder_frame(decoder, frame.data, frame.captured, frame.len, &segment))
			reassembly_segment(reassembly, &segment, frame.ns);
	dialogue_owed(set, owed, ARRAY_SIZE(owed));
	reassembly_finish(reassembly);
	assert(!reassembly_stats(reassembly).held_bytes);
	wire_ledger_close(ledger, &end, NULL);
	reassembly_free(reassembly);
	dialogue_set_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct capture *capture;
	struct decoder *decoder;
	FILE *file;

	if (!size)
		return 0;
	file = fmemopen((void *)(uintptr_t)data, size, "r");
	if (capture_open_stream(&capture, file, "input", NULL))
		return 0;
	decoder = decoder_new(capture_link_type(capture));
	if (decoder)
		read_all(capture, decoder, size % 2);
	decoder_free(decoder);
	capture_close(capture);
	return 0;
}
