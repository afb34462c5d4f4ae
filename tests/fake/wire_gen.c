#include "tests/fake/wire_gen.h"

#include "net/decode.h"

#include <arpa/inet.h>
#include <pcap/dlt.h>
#include <string.h>

#define MTU_PAYLOAD 1448

void gen_init(struct gen *gen, int link_type)
{
	*gen = (struct gen){
		.link_type = link_type,
		.ns = INT64_C(1600000000000000000),
		.step_ns = 100000,
	};
}

void gen_free(struct gen *gen)
{
	for (size_t i = 0; i < gen->count; i++)
		buf_free(&gen->frames[i].bytes);
	free(gen->frames);
	gen->frames = NULL;
	gen->count = gen->size = 0;
}

struct gen_conn gen_conn(unsigned int n, uint16_t server_port, bool v6)
{
	struct gen_conn conn = {
		.v6 = v6,
		.port = {(uint16_t)(20000 + n % 40000), server_port},
		.seq = {UINT32_MAX - 200 * (n % 3) + n, 77 * n + 5},
	};

	if (v6) {
		inet_pton(AF_INET6, "fd00::c:0", conn.addr[0]);
		inet_pton(AF_INET6, "fd00::1", conn.addr[1]);
		conn.addr[0][14] = (uint8_t)(n / 40000);
	} else {
		memcpy(conn.addr[0], (uint8_t[]){10, 0, (uint8_t)(n / 40000), 2}, 4);
		memcpy(conn.addr[1], (uint8_t[]){10, 1, 0, 1}, 4);
	}
	return conn;
}

static void add8(struct buf *out, unsigned int v)
{
	buf_addc(out, (char)v);
}

static void add16(struct buf *out, unsigned int v)
{
	add8(out, v >> 8);
	add8(out, v & 255);
}

static void add32(struct buf *out, uint32_t v)
{
	add16(out, v >> 16);
	add16(out, v & 65535);
}

static void add_link(const struct gen *gen, struct buf *out, bool v6)
{
	unsigned int type = v6 ? 0x86dd : 0x0800;

	switch (gen->link_type) {
	case DLT_EN10MB:
		buf_add(out, "\x52\x54\0\0\0\2\x52\x54\0\0\0\1", 12);
		if (gen->vlan) {
			add16(out, 0x8100);
			add16(out, 7);
		}
		add16(out, type);
		return;
	case DLT_LINUX_SLL:
		buf_add(out, "\0\0\0\1\0\6\0\0\0\0\0\0\0\0", 14);
		add16(out, type);
		return;
	case DLT_LINUX_SLL2:
		add16(out, type);
		buf_add(out, "\0\0\0\0\0\1\0\1\0\6\0\0\0\0\0\0\0\0", 18);
		return;
	case DLT_NULL:
		buf_add(out, v6 ? "\x1e\0\0\0" : "\2\0\0\0", 4);
		return;
	default:
		return;
	}
}

static void put(struct gen *gen, struct gen_frame frame)
{
	if (gen->count == gen->size) {
		gen->size = gen->size ? gen->size * 2 : 64;
		gen->frames = mem_grow(gen->frames, gen->size, sizeof(*gen->frames));
	}
	gen->frames[gen->count++] = frame;
}

static void add_frame(struct gen *gen, struct buf bytes)
{
	put(gen, (struct gen_frame){.ns = gen->ns, .captured = bytes.len, .bytes = bytes});
	gen->ns += gen->step_ns;
}

static void add_ipv4(struct gen *gen, const struct gen_conn *conn, enum gen_side from,
	const struct buf *tcp, size_t at, size_t len, unsigned int id)
{
	bool more = at + len < tcp->len;
	struct buf out = {0};

	add_link(gen, &out, false);
	add16(&out, 0x4500);
	add16(&out, (unsigned int)(20 + len));
	add16(&out, id);
	add16(&out, (unsigned int)(at / 8) | (more ? 0x2000 : 0));
	add16(&out, 64 << 8 | 6);
	add16(&out, 0);
	buf_add(&out, conn->addr[from], 4);
	buf_add(&out, conn->addr[!from], 4);
	buf_add(&out, tcp->data + at, len);
	add_frame(gen, out);
}

static void add_ipv6(
	struct gen *gen, const struct gen_conn *conn, enum gen_side from, const struct buf *tcp)
{
	size_t extra = gen->extensions ? 16 : 0;
	struct buf out = {0};

	add_link(gen, &out, true);
	add32(&out, 0x60000000);
	add16(&out, (unsigned int)(tcp->len + extra));
	add8(&out, extra ? 0 : 6);
	add8(&out, 64);
	buf_add(&out, conn->addr[from], 16);
	buf_add(&out, conn->addr[!from], 16);
	if (extra) { /* hop-by-hop and destination options, each one PadN of 6 */
		buf_add(&out, "\x3c\0\1\4\0\0\0\0", 8);
		buf_add(&out, "\x06\0\1\4\0\0\0\0", 8);
	}
	buf_add(&out, tcp->data, tcp->len);
	add_frame(gen, out);
}

void gen_raw(struct gen *gen, const struct gen_conn *conn, enum gen_side from, uint8_t flags,
	uint32_t seq, uint32_t ack, const void *data, size_t len)
{
	size_t step = gen->fragment ? (gen->fragment + 7) / 8 * 8 : SIZE_MAX;
	unsigned int id = ++gen->ip_id;
	struct buf tcp = {0};

	add16(&tcp, conn->port[from]);
	add16(&tcp, conn->port[!from]);
	add32(&tcp, seq);
	add32(&tcp, flags & TCP_ACK ? ack : 0);
	add16(&tcp, 0x5000u | flags | (len ? 8 : 0));
	add16(&tcp, 64240);
	add32(&tcp, 0);
	buf_add(&tcp, data, len);
	if (conn->v6)
		add_ipv6(gen, conn, from, &tcp);
	for (size_t at = 0; !conn->v6 && at < tcp.len;) {
		size_t n = tcp.len - at < step ? tcp.len - at : step;

		add_ipv4(gen, conn, from, &tcp, at, n, id);
		at += n;
	}
	buf_free(&tcp);
}

void gen_open(struct gen *gen, struct gen_conn *conn)
{
	gen_raw(gen, conn, GEN_CLIENT, TCP_SYN, conn->seq[0]++, 0, NULL, 0);
	gen_raw(gen, conn, GEN_SERVER, TCP_SYN | TCP_ACK, conn->seq[1]++, conn->seq[0], NULL, 0);
	gen_ack(gen, conn, GEN_CLIENT);
}

void gen_send(
	struct gen *gen, struct gen_conn *conn, enum gen_side from, const void *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t n = len - at < MTU_PAYLOAD ? len - at : MTU_PAYLOAD;

		gen_raw(gen, conn, from, TCP_ACK, conn->seq[from], conn->seq[!from],
			(const char *)data + at, n);
		conn->seq[from] += (uint32_t)n;
		at += n;
	}
}

void gen_text(struct gen *gen, struct gen_conn *conn, enum gen_side from, const char *text)
{
	gen_send(gen, conn, from, text, strlen(text));
}

void gen_ack(struct gen *gen, struct gen_conn *conn, enum gen_side from)
{
	gen_raw(gen, conn, from, TCP_ACK, conn->seq[from], conn->seq[!from], NULL, 0);
}

void gen_fin(struct gen *gen, struct gen_conn *conn, enum gen_side from)
{
	gen_raw(gen, conn, from, TCP_FIN | TCP_ACK, conn->seq[from]++, conn->seq[!from], NULL, 0);
}

void gen_close(struct gen *gen, struct gen_conn *conn)
{
	gen_fin(gen, conn, GEN_CLIENT);
	gen_fin(gen, conn, GEN_SERVER);
	gen_ack(gen, conn, GEN_CLIENT);
}

void gen_reset(struct gen *gen, struct gen_conn *conn, enum gen_side from)
{
	gen_raw(gen, conn, from, TCP_RST | TCP_ACK, conn->seq[from], conn->seq[!from], NULL, 0);
}

void gen_cut(struct gen *gen, struct gen_conn *conn, enum gen_side from, const void *data,
	size_t len, size_t max, struct rng *rng)
{
	for (size_t at = 0; at < len;) {
		size_t n = 1 + (size_t)rng_below(rng, max);

		if (n > len - at)
			n = len - at;
		gen_send(gen, conn, from, (const char *)data + at, n);
		at += n;
	}
}

void gen_swap(struct gen *gen, size_t a, size_t b)
{
	struct gen_frame keep = gen->frames[a];
	int64_t a_ns = keep.ns, b_ns = gen->frames[b].ns;

	gen->frames[a] = gen->frames[b];
	gen->frames[b] = keep;
	gen->frames[a].ns = a_ns;
	gen->frames[b].ns = b_ns;
}

void gen_double(struct gen *gen, size_t at, size_t to)
{
	struct gen_frame copy = {.captured = gen->frames[at].captured, .ns = gen->frames[to].ns};

	buf_add(&copy.bytes, gen->frames[at].bytes.data, gen->frames[at].bytes.len);
	put(gen, copy);
	memmove(gen->frames + to + 1, gen->frames + to,
		(gen->count - 1 - to) * sizeof(*gen->frames));
	gen->frames[to] = copy;
}

void gen_drop(struct gen *gen, size_t at)
{
	buf_free(&gen->frames[at].bytes);
	gen->count--;
	memmove(gen->frames + at, gen->frames + at + 1, (gen->count - at) * sizeof(*gen->frames));
}

void gen_save_head(int link_type, FILE *file)
{
	uint32_t link = link_type == DLT_RAW ? 101 : (uint32_t)link_type;
	uint32_t head[6] = {0xa1b23c4d, 4 << 16 | 2, 0, 0, 262144, link};

	if (fwrite(head, sizeof(head), 1, file) != 1)
		abort();
}

void gen_save_frames(const struct gen *gen, FILE *file)
{
	for (size_t i = 0; i < gen->count; i++) {
		const struct gen_frame *frame = &gen->frames[i];
		uint32_t packet[4] = {(uint32_t)(frame->ns / 1000000000),
			(uint32_t)(frame->ns % 1000000000), (uint32_t)frame->captured,
			(uint32_t)frame->bytes.len};

		if (fwrite(packet, sizeof(packet), 1, file) != 1 ||
			fwrite(frame->bytes.data, 1, frame->captured, file) != frame->captured)
			abort();
	}
}

void gen_save(const struct gen *gen, const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		abort();
	gen_save_head(gen->link_type, file);
	gen_save_frames(gen, file);
	if (fclose(file))
		abort();
}
