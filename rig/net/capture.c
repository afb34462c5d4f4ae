#include "net/capture.h"

#include "base/buf.h"
#include "base/clock.h"

#include <pcap/pcap.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>

#define FILE_BUFFER  (1 << 20)
#define LIVE_BUFFER  (64 << 20)
#define LIVE_SNAPLEN 262144
#define LIVE_POLL_MS 200

struct capture {
	pcap_t *pcap;
	char *name;
	bool nano; /* the stamps' fraction */
	bool live;
};

/* A sentence for what people feed in by mistake; libpcap would only call it unknown. */
static int check_magic(FILE *file, const char *path, struct err *err)
{
	static const struct {
		uint8_t magic[4];
		size_t len;
		const char *what;
	} compressed[] = {
		{{0x1f, 0x8b}, 2, "gzip"},
		{{0x28, 0xb5, 0x2f, 0xfd}, 4, "zstd"},
		{{0xfd, '7', 'z', 'X'}, 4, "xz"},
		{{0x04, 0x22, 0x4d, 0x18}, 4, "lz4"},
	};
	uint8_t head[4];
	size_t n = fread(head, 1, sizeof(head), file);

	if (!n && ferror(file))
		return err_sys(err, errno, "cannot read '%s'", path);
	if (!n)
		return err_set(err, -ENODATA, "'%s' is empty", path);
	for (size_t i = 0; i < ARRAY_SIZE(compressed); i++)
		if (n >= compressed[i].len && !memcmp(head, compressed[i].magic, compressed[i].len))
			return err_set(err, -EINVAL, "'%s' is compressed with %s; unpack it first",
				path, compressed[i].what);
	rewind(file);
	return 0;
}

int capture_open_file(struct capture **ret, const char *path, struct err *err)
{
	auto_file FILE *file = fopen(path, "re");
	FILE *taken;
	int rc;

	if (!file)
		return err_sys(err, errno, "cannot open '%s'", path);
	setvbuf(file, NULL, _IOFBF, FILE_BUFFER);
	rc = check_magic(file, path, err);
	if (rc)
		return rc;
	taken = file;
	file = NULL;
	return capture_open_stream(ret, taken, path, err);
}

static struct capture *wrap(pcap_t *pcap, const char *name)
{
	struct capture *capture = mem_zero(1, sizeof(*capture));

	capture->pcap = pcap;
	capture->name = text_dup(name);
	capture->nano = pcap_get_tstamp_precision(pcap) == PCAP_TSTAMP_PRECISION_NANO;
	return capture;
}

int capture_open_stream(struct capture **ret, FILE *file, const char *name, struct err *err)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	pcap_t *pcap =
		pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, why);

	if (!pcap) {
		fclose(file);
		return err_set(err, -EINVAL, "'%s' is no capture file: %s", name, why);
	}
	*ret = wrap(pcap, name);
	return 0;
}

int capture_open_interface(struct capture **ret, const char *interface, struct err *err)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	pcap_t *pcap = pcap_create(interface, why);
	int rc;

	if (!pcap)
		return err_set(err, -ENODEV, "cannot capture on '%s': %s", interface, why);
	pcap_set_snaplen(pcap, LIVE_SNAPLEN);
	pcap_set_promisc(pcap, 1);
	pcap_set_timeout(pcap, LIVE_POLL_MS);
	pcap_set_buffer_size(pcap, LIVE_BUFFER);
	pcap_set_tstamp_precision(pcap, PCAP_TSTAMP_PRECISION_NANO);
	rc = pcap_activate(pcap);
	if (rc < 0 || pcap_setnonblock(pcap, 1, why)) {
		const char *text = pcap_geterr(pcap);

		err_set(err, -ENODEV, "cannot capture on '%s': %s", interface,
			*text ? text : pcap_statustostr(rc));
		pcap_close(pcap);
		return -ENODEV;
	}
	*ret = wrap(pcap, interface);
	(*ret)->live = true;
	return 0;
}

void capture_close(struct capture *capture)
{
	if (!capture)
		return;
	pcap_close(capture->pcap);
	free(capture->name);
	free(capture);
}

int capture_filter(struct capture *capture, const char *expression, struct err *err)
{
	struct bpf_program program;
	int rc = 0;

	if (pcap_compile(capture->pcap, &program, expression, 1, PCAP_NETMASK_UNKNOWN))
		return err_set(
			err, -EINVAL, "filter '%s': %s", expression, pcap_geterr(capture->pcap));
	if (pcap_setfilter(capture->pcap, &program))
		rc = err_set(
			err, -EINVAL, "filter '%s': %s", expression, pcap_geterr(capture->pcap));
	pcap_freecode(&program);
	return rc;
}

int capture_link_type(const struct capture *capture)
{
	return pcap_datalink(capture->pcap);
}

const char *capture_link_name(const struct capture *capture)
{
	const char *name = pcap_datalink_val_to_description(pcap_datalink(capture->pcap));

	return name ? name : "unknown";
}

/* libpcap itself would wait for ever on a silent interface, signal or not. */
static void wait_for_frames(const struct capture *capture)
{
	struct pollfd p = {.fd = pcap_get_selectable_fd(capture->pcap), .events = POLLIN};

	poll(&p, 1, LIVE_POLL_MS);
}

int capture_next(struct capture *capture, struct frame *ret, struct err *err)
{
	struct pcap_pkthdr *header;
	const u_char *data;
	const char *why;

	switch (pcap_next_ex(capture->pcap, &header, &data)) {
	case 1:
		ret->data = data;
		ret->captured = header->caplen;
		ret->len = header->len;
		ret->ns = (int64_t)header->ts.tv_sec * NS_PER_SEC +
			  (int64_t)header->ts.tv_usec * (capture->nano ? 1 : 1000);
		return 1;
	case 0:
		if (capture->live)
			wait_for_frames(capture);
		return 0;
	case PCAP_ERROR_BREAK: /* the end of a file */
		return 0;
	default:
		why = pcap_geterr(capture->pcap);
		if (strstr(why, "truncated"))
			return err_set(err, -ENODATA, "'%s' is cut off: %s", capture->name, why);
		return err_set(err, -EIO, "'%s' cannot be read further: %s", capture->name, why);
	}
}

uint64_t capture_dropped(struct capture *capture)
{
	struct pcap_stat stat = {0};

	if (pcap_stats(capture->pcap, &stat))
		return 0;
	return (uint64_t)stat.ps_drop + stat.ps_ifdrop;
}
