#include "net/decode.h"

#include "base/buf.h"
#include "net/fragments.h"

#include <arpa/inet.h>
#include <pcap/dlt.h>
#include <stdio.h>
#include <string.h>

#define ETHERTYPE_IPV4	0x0800
#define ETHERTYPE_IPV6	0x86dd
#define ETHERTYPE_VLAN	0x8100
#define ETHERTYPE_QINQ	0x88a8
#define ETHERTYPE_QINQ1 0x9100
#define PROTOCOL_TCP	6
#define DLT_RAW_BSD	14 /* raw IP of some BSDs, beside DLT_RAW (12 here) and LINKTYPE_RAW (101) */
#define LINKTYPE_RAW	101
#define TCP_HEADER_MIN	20

/* What is left of a packet: `left` bytes are at `at`, `wire` bytes were sent. */
struct view {
	const uint8_t *at;
	size_t left;
	size_t wire;
};

struct decoder {
	int link_type;
	struct fragments *fragments;
};

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool skip(struct view *view, size_t n)
{
	if (view->left < n || view->wire < n)
		return false;
	view->at += n;
	view->left -= n;
	view->wire -= n;
	return true;
}

/* The network layer says how long it is; what follows is padding of the link. */
static void trim(struct view *view, size_t wire)
{
	if (wire < view->wire)
		view->wire = wire;
	if (view->left > view->wire)
		view->left = view->wire;
}

static bool known_link(int link_type)
{
	switch (link_type) {
	case DLT_EN10MB:
	case DLT_LINUX_SLL:
	case DLT_LINUX_SLL2:
	case DLT_RAW:
	case DLT_RAW_BSD:
	case LINKTYPE_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
	case DLT_NULL:
	case DLT_LOOP:
		return true;
	default:
		return false;
	}
}

struct decoder *decoder_new(int link_type)
{
	struct decoder *decoder;

	if (!known_link(link_type))
		return NULL;
	decoder = mem_zero(1, sizeof(*decoder));
	decoder->link_type = link_type;
	decoder->fragments = fragments_new(DATAGRAMS_MAX);
	return decoder;
}

void decoder_free(struct decoder *decoder)
{
	if (!decoder)
		return;
	fragments_free(decoder->fragments);
	free(decoder);
}

static bool decode_tcp(struct view view, struct segment *seg)
{
	const uint8_t *tcp = view.at;
	size_t header;

	if (view.left < TCP_HEADER_MIN)
		return false;
	header = (size_t)(tcp[12] >> 4) * 4;
	seg->src.port = be16(tcp);
	seg->dst.port = be16(tcp + 2);
	seg->seq = be32(tcp + 4);
	seg->ack = be32(tcp + 8);
	seg->flags = tcp[13];
	if (header < TCP_HEADER_MIN || view.wire < header)
		return false;
	seg->len = view.wire - header;
	if (!skip(&view, header)) { /* cut inside the options: the payload is wholly missing */
		seg->data = tcp;
		seg->captured = 0;
		return true;
	}
	seg->data = view.at;
	seg->captured = view.left;
	return true;
}

static void set_endpoints(
	struct segment *seg, uint8_t family, const uint8_t *src, const uint8_t *dst)
{
	size_t len = family == 4 ? 4 : 16;

	memset(&seg->src, 0, sizeof(seg->src));
	memset(&seg->dst, 0, sizeof(seg->dst));
	memcpy(seg->src.addr, src, len);
	memcpy(seg->dst.addr, dst, len);
	seg->src.family = seg->dst.family = family;
}

/* Hand a fragment on; true once `*view` is the whole datagram's payload. */
static bool join(struct decoder *decoder, const struct segment *seg, uint32_t id, size_t offset,
	bool more, struct view *view)
{
	struct fragment fragment = {
		.src = seg->src,
		.dst = seg->dst,
		.id = id,
		.offset = offset,
		.more = more,
		.data = view->at,
		.len = view->left,
	};

	if (view->left < view->wire) /* cut by the snap length: its datagram never completes */
		return false;
	if (!fragments_add(decoder->fragments, &fragment, &view->at, &view->left))
		return false;
	view->wire = view->left;
	return true;
}

static bool decode_ipv4(struct decoder *decoder, struct view view, struct segment *seg)
{
	const uint8_t *ip = view.at;
	size_t header, total, offset;
	bool more;

	if (view.left < 20 || ip[0] >> 4 != 4 || ip[9] != PROTOCOL_TCP)
		return false;
	header = (size_t)(ip[0] & 15) * 4;
	total = be16(ip + 2);
	if (!total) /* segmentation offload: too long for the field; the frame's length holds */
		total = view.wire;
	if (header < 20 || total < header)
		return false;
	trim(&view, total);
	set_endpoints(seg, 4, ip + 12, ip + 16);
	offset = (size_t)(be16(ip + 6) & 0x1fff) * 8;
	more = be16(ip + 6) & 0x2000;
	if (!skip(&view, header))
		return false;
	if ((offset || more) && !join(decoder, seg, be16(ip + 4), offset, more, &view))
		return false;
	return decode_tcp(view, seg);
}

static bool is_extension(uint8_t next)
{
	/* hop-by-hop, routing, destination options, mobility, HIP, shim6 (RFC 7045) */
	return next == 0 || next == 43 || next == 60 || next == 135 || next == 139 || next == 140;
}

static bool decode_ipv6(struct decoder *decoder, struct view view, struct segment *seg)
{
	const uint8_t *ip = view.at;
	uint8_t next;

	if (view.left < 40 || ip[0] >> 4 != 6)
		return false;
	next = ip[6];
	set_endpoints(seg, 6, ip + 8, ip + 24);
	if (be16(ip + 4)) /* 0: a jumbogram or segmentation offload */
		trim(&view, 40 + (size_t)be16(ip + 4));
	if (!skip(&view, 40))
		return false;
	for (int i = 0; i < EXTENSION_HEADERS_MAX && next != PROTOCOL_TCP; i++) {
		const uint8_t *ext = view.at;

		if (view.left < 8)
			return false;
		if (next == 44) {
			size_t offset = be16(ext + 2) & 0xfff8;
			bool more = ext[3] & 1;

			if (!skip(&view, 8))
				return false;
			if ((offset || more) &&
				!join(decoder, seg, be32(ext + 4), offset, more, &view))
				return false;
		} else if (next == 51) { /* authentication header: its length counts 4-byte words */
			if (!skip(&view, ((size_t)ext[1] + 2) * 4))
				return false;
		} else if (!is_extension(next) || !skip(&view, ((size_t)ext[1] + 1) * 8)) {
			return false;
		}
		next = ext[0];
	}
	return next == PROTOCOL_TCP && decode_tcp(view, seg);
}

static bool decode_ip(struct decoder *decoder, struct view view, struct segment *seg)
{
	if (!view.left)
		return false;
	return view.at[0] >> 4 == 4 ? decode_ipv4(decoder, view, seg)
				    : decode_ipv6(decoder, view, seg);
}

static bool decode_type(
	struct decoder *decoder, uint16_t type, struct view view, struct segment *seg)
{
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		if (type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ && type != ETHERTYPE_QINQ1)
			break;
		if (view.left < 4)
			return false;
		type = be16(view.at + 2);
		skip(&view, 4);
	}
	if (type == ETHERTYPE_IPV4)
		return decode_ipv4(decoder, view, seg);
	if (type == ETHERTYPE_IPV6)
		return decode_ipv6(decoder, view, seg);
	return false;
}

bool decoder_frame(struct decoder *decoder, const uint8_t *frame, size_t captured, size_t len,
	struct segment *ret)
{
	struct view view = {.at = frame, .left = captured, .wire = len < captured ? captured : len};

	switch (decoder->link_type) {
	case DLT_EN10MB:
		return skip(&view, 14) && decode_type(decoder, be16(frame + 12), view, ret);
	case DLT_LINUX_SLL:
		return skip(&view, 16) && decode_type(decoder, be16(frame + 14), view, ret);
	case DLT_LINUX_SLL2:
		return skip(&view, 20) && decode_type(decoder, be16(frame), view, ret);
	case DLT_NULL:
	case DLT_LOOP: /* an address family whose values differ by system: the IP version says it */
		return skip(&view, 4) && decode_ip(decoder, view, ret);
	default:
		return decode_ip(decoder, view, ret);
	}
}

void endpoint_text(const struct endpoint *endpoint, char out[ENDPOINT_TEXT_MAX])
{
	char addr[INET6_ADDRSTRLEN] = "";

	inet_ntop(endpoint->family == 4 ? AF_INET : AF_INET6, endpoint->addr, addr, sizeof(addr));
	snprintf(out, ENDPOINT_TEXT_MAX, endpoint->family == 4 ? "%s:%u" : "[%s]:%u", addr,
		endpoint->port);
}
