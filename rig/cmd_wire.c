#include "cmd.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/units.h"
#include "net/capture.h"
#include "net/ledger.h"
#include "net/tls_keys.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define PORTS_MAX     64
#define OUTPUT_BUFFER (1 << 18)

const char usage_wire[] =
	"usage: mailrig wire FILE [--json] [--port N=PROTOCOL]... [--filter BPF] [--keys LOG]\n"
	"       mailrig wire --interface NAME [...]\n\n"
	"The mail dialogues of a capture (pcap or pcapng), and what was acknowledged to whom. "
	"Each\n"
	"connection is printed as it ends. A live capture ends with Ctrl-C.\n\n"
	"  --json             "
	"{\"connections\":[{\"protocol\",\"client\",\"server\",\"commands\",\"messages\",\n"
	"                     \"gaps\",\"ended\"}]}\n"
	"  --port N=PROTOCOL  what TCP port N speaks: smtp lmtp imap pop3 tls. Known: 25 587 smtp, "
	"24 lmtp,\n"
	"                     143 imap, 110 pop3, 465 993 995 tls; other ports by their first "
	"bytes\n"
	"  --filter BPF       only these frames, e.g. 'tcp port 25'\n"
	"  --interface NAME   a live interface instead of a file\n"
	"  --keys LOG         TLS secrets as SSLKEYLOGFILE has them; those in the file itself are "
	"used anyway.\n"
	"                     Without them a dialogue ends at STARTTLS\n\n"
	"Exit code 16: the capture cannot be read, or not to its end (what was read is printed).\n";

struct options {
	const char *file, *interface, *filter, *keys;
	bool json;
	struct dialogue_port ports[PORTS_MAX];
	size_t port_count;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

static void known_ports(struct options *options)
{
	static const struct dialogue_port known[] = {
		{25, DIALOGUE_PROTOCOL_SMTP, NULL},
		{587, DIALOGUE_PROTOCOL_SMTP, NULL},
		{24, DIALOGUE_PROTOCOL_LMTP, NULL},
		{143, DIALOGUE_PROTOCOL_IMAP, NULL},
		{110, DIALOGUE_PROTOCOL_POP3, NULL},
		{465, DIALOGUE_PROTOCOL_TLS, NULL},
		{993, DIALOGUE_PROTOCOL_TLS, NULL},
		{995, DIALOGUE_PROTOCOL_TLS, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known) && options->port_count < PORTS_MAX; i++)
		options->ports[options->port_count++] = known[i];
}

/* "2525=smtp". Before the known ones, so that it counts. */
static int add_port(struct options *options, const char *text, struct err *err)
{
	const char *equal = strchr(text, '=');
	auto_free char *number = equal ? text_dup_n(text, (size_t)(equal - text)) : NULL;
	struct dialogue_port port = {0};
	uint64_t n;

	if (!equal)
		return err_set(err, -EINVAL, "'--port %s' is no N=PROTOCOL", text);
	if (parse_count("--port", number, UINT16_MAX, &n, err))
		return -EINVAL;
	port.port = (uint16_t)n;
	port.protocol = dialogue_protocol_by_name(equal + 1);
	if (port.protocol == DIALOGUE_PROTOCOL_UNKNOWN)
		return err_set(err, -EINVAL,
			"'%s' is no protocol; there are: smtp lmtp imap pop3 tls", equal + 1);
	if (options->port_count == PORTS_MAX)
		return err_set(err, -E2BIG, "more than %d ports", PORTS_MAX);
	options->ports[options->port_count++] = port;
	return 0;
}

static int take_option(void *arg, int option, const char *value, struct err *err)
{
	struct options *options = arg;

	switch (option) {
	case 'j':
		options->json = true;
		return 0;
	case 'f':
		options->filter = value;
		return 0;
	case 'i':
		options->interface = value;
		return 0;
	case 'k':
		options->keys = value;
		return 0;
	default:
		return add_port(options, value, err);
	}
}

static int parse(int argc, char **argv, struct options *options, struct err *err)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},
		{"port", required_argument, NULL, 'p'},
		{"filter", required_argument, NULL, 'f'},
		{"interface", required_argument, NULL, 'i'},
		{"keys", required_argument, NULL, 'k'},
		{0},
	};
	int rc = cmd_options(argc, argv, longs, take_option, options, err);

	if (rc)
		return rc;
	known_ports(options);
	if (argc - optind > 1)
		return err_set(err, -EINVAL, "one FILE at a time");
	options->file = argv[optind];
	if (!options->file == !options->interface)
		return err_set(err, -EINVAL, "one of FILE and --interface is needed");
	return 0;
}

static int read_keys(const char *path, struct tls_keys *keys, struct err *err)
{
	auto_buf struct buf text = {0};
	int rc = fs_read(path, TLS_KEY_BLOCK_MAX, &text, err);

	if (!rc && !tls_keys_text(keys, buf_text(&text), text.len))
		rc = err_set(err, -EINVAL,
			"'%s' holds no TLS secret; say a file as SSLKEYLOGFILE has it", path);
	return rc;
}

static int open_capture(const struct options *options, struct capture **ret, struct err *err)
{
	int rc = options->file ? capture_open_file(ret, options->file, err)
			       : capture_open_interface(ret, options->interface, err);

	if (!rc && options->filter)
		rc = capture_filter(*ret, options->filter, err);
	if (!rc && options->keys)
		rc = read_keys(options->keys, capture_keys(*ret), err);
	return rc;
}

struct pipeline {
	struct capture *capture;
	struct decoder *decoder;
	struct wire_ledger *ledger;
	struct dialogue_set *dialogues;
	struct reassembly *reassembly;
	uint64_t frames;
};

/* 0 at the end or when interrupted; a negative errno if the rest cannot be read. */
static int pump(struct pipeline *p, bool live, struct err *err)
{
	struct segment segment;
	struct frame frame;
	int rc;

	while (!interrupted) {
		rc = capture_next(p->capture, &frame, err);
		if (rc < 0 || (!rc && !live))
			return rc;
		if (!rc) {
			fflush(stdout);
			continue;
		}
		if (!p->frames++)
			wire_ledger_epoch(p->ledger, frame.ns);
		if (capture_found_keys(p->capture))
			dialogue_set_retry(p->dialogues);
		if (decoder_frame(p->decoder, frame.data, frame.captured, frame.len, &segment))
			reassembly_segment(p->reassembly, &segment, frame.ns);
	}
	return 0;
}

static int print(const struct options *options, struct pipeline *p, struct err *err)
{
	struct wire_ledger_end end = {0};
	struct err why = {0};
	int rc, trouble;

	setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER);
	p->ledger = wire_ledger_new(stdout, options->json);
	p->dialogues = dialogue_set_new(
		options->ports, options->port_count, false, wire_ledger_event, p->ledger);
	dialogue_set_keys(p->dialogues, capture_keys(p->capture));
	p->reassembly = reassembly_new(&dialogue_reassembly_ops, p->dialogues);
	trouble = pump(p, options->interface, err);
	reassembly_finish(p->reassembly);
	end.frames = p->frames;
	end.dropped = options->interface ? capture_dropped(p->capture) : 0;
	end.trouble = trouble ? err->text : NULL;
	rc = wire_ledger_close(p->ledger, &end, &why);
	if (rc)
		*err = why;
	reassembly_free(p->reassembly);
	dialogue_set_free(p->dialogues);
	return rc ? rc : trouble;
}

int cmd_wire(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct options options = {0};
	struct pipeline pipeline = {0};
	struct err err = {0};
	int rc;

	if (cmd_wants_help(argc, argv, usage_wire))
		return EXIT_OK;
	if (parse(argc, argv, &options, &err))
		return cmd_misused("wire", "%s", err.text);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_DFL); /* "| head" is no trouble */
	rc = open_capture(&options, &pipeline.capture, &err);
	if (!rc) {
		pipeline.decoder = decoder_new(capture_link_type(pipeline.capture));
		rc = pipeline.decoder ? print(&options, &pipeline, &err)
				      : err_set(&err, -ENOTSUP,
						"'%s' has the link type '%s', which is not read",
						options.file ? options.file : options.interface,
						capture_link_name(pipeline.capture));
	}
	decoder_free(pipeline.decoder);
	capture_close(pipeline.capture);
	return rc ? cmd_fail(EXIT_TROUBLE, &err) : EXIT_OK;
}
