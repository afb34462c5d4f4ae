#include "net/capture.h"

#include "base/buf.h"
#include "base/clock.h"
#include "net/pcapng_secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/dlt.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define FILE_BUFFER  (1 << 20)
#define LIVE_BUFFER  (64 << 20)
#define LIVE_SNAPLEN 262144
#define LIVE_POLL_MS 200

/* A file that libpcap reads, whose secrets are found in passing. */
struct source {
	int fd;
	struct pcapng_secrets *secrets;
	bool found;
};

struct capture {
	pcap_t *pcap;
	struct tls_keys *keys;
	struct source *source; /* owned by libpcap's FILE; NULL: none */
	char *name;
	bool nano; /* the stamps' fraction */
	bool live;
};

/* A sentence for what people feed in by mistake; libpcap would only call it unknown. */
static int check_magic(int fd, const char *path, struct err *err)
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
	ssize_t got = pread(fd, head, sizeof(head), 0);
	size_t n = got < 0 ? 0 : (size_t)got;

	if (got < 0 && errno == ESPIPE)
		return 0; /* a pipe: it is not looked at twice */
	if (got < 0)
		return err_sys(err, errno, "cannot read '%s'", path);
	if (!n)
		return err_set(err, -ENODATA, "'%s' is empty", path);
	for (size_t i = 0; i < ARRAY_SIZE(compressed); i++)
		if (n >= compressed[i].len && !memcmp(head, compressed[i].magic, compressed[i].len))
			return err_set(err, -EINVAL, "'%s' is compressed with %s; unpack it first",
				path, compressed[i].what);
	return 0;
}

static ssize_t read_source(void *cookie, char *out, size_t size)
{
	struct source *source = cookie;
	ssize_t n;

	do
		n = read(source->fd, out, size);
	while (n < 0 && errno == EINTR);
	if (n > 0 && pcapng_secrets_feed(source->secrets, out, (size_t)n))
		source->found = true;
	return n;
}

static int close_source(void *cookie)
{
	struct source *source = cookie;

	close(source->fd);
	pcapng_secrets_free(source->secrets);
	free(source);
	return 0;
}

struct tls_keys *capture_keys(struct capture *capture)
{
	return capture->keys;
}

bool capture_found_keys(struct capture *capture)
{
	bool found = capture->source && capture->source->found;

	if (found)
		capture->source->found = false;
	return found;
}

static struct capture *wrap(pcap_t *pcap, const char *name, struct tls_keys *keys)
{
	struct capture *capture = mem_zero(1, sizeof(*capture));

	capture->keys = keys;
	capture->pcap = pcap;
	capture->name = text_dup(name);
	capture->nano = pcap_get_tstamp_precision(pcap) == PCAP_TSTAMP_PRECISION_NANO;
	return capture;
}

/* Takes over `file` and `keys`. */
static int open_stream(
	struct capture **ret, FILE *file, const char *name, struct tls_keys *keys, struct err *err)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	pcap_t *pcap =
		pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, why);

	if (!pcap) {
		fclose(file);
		tls_keys_free(keys);
		return err_set(err, -EINVAL, "'%s' is no capture file: %s", name, why);
	}
	*ret = wrap(pcap, name, keys);
	return 0;
}

int capture_open_stream(struct capture **ret, FILE *file, const char *name, struct err *err)
{
	return open_stream(ret, file, name, tls_keys_new(true), err);
}

int capture_open_file(struct capture **ret, const char *path, struct err *err)
{
	cookie_io_functions_t functions = {.read = read_source, .close = close_source};
	struct tls_keys *keys;
	struct source *source;
	FILE *file;
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", path);
	rc = check_magic(fd, path, err);
	if (rc) {
		close(fd);
		return rc;
	}
	keys = tls_keys_new(true);
	source = mem_zero(1, sizeof(*source));
	*source = (struct source){.fd = fd, .secrets = pcapng_secrets_new(keys)};
	file = fopencookie(source, "r", functions);
	if (!file)
		abort();
	setvbuf(file, NULL, _IOFBF, FILE_BUFFER);
	rc = open_stream(ret, file, path, keys, err);
	if (!rc)
		(*ret)->source = source;
	return rc;
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
	*ret = wrap(pcap, interface, tls_keys_new(true));
	(*ret)->live = true;
	return 0;
}

void capture_close(struct capture *capture)
{
	if (!capture)
		return;
	pcap_close(capture->pcap);
	tls_keys_free(capture->keys);
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

int capture_check_filter(const char *expression, struct err *err)
{
	pcap_t *nothing = pcap_open_dead(DLT_EN10MB, LIVE_SNAPLEN);
	struct bpf_program program;
	int rc = 0;

	if (pcap_compile(nothing, &program, expression, 1, PCAP_NETMASK_UNKNOWN))
		rc = err_set(err, -EINVAL, "filter '%s': %s", expression, pcap_geterr(nothing));
	else
		pcap_freecode(&program);
	pcap_close(nothing);
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
