/*
 * Where a thread burns the processor: its registers and stack at moments at which it runs. By perf_event_open(2), a
 * timer on its own processor time: no signal, no ptrace, and nothing of it is stopped (Linux 6.1: kernel/events/core.c,
 * perf_output_sample_ustack()). A thread that does not run gives fewer samples, or none.
 */
#include "witness.h"

#include <asm/perf_regs.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PERIOD_NS   (3 * NS_PER_MS) /* of the thread's time */
#define STACK_BYTES (8u << 10)
/* A power of two. Whoever waits is woken once it is half full (kernel/events/ring_buffer.c, Linux 6.1: rb->watermark),
 * so half of it is more than all samples. */
#define RING_BYTES (1u << 20)
#define WAIT_MS	   500

/* Registers come in the order of their bits. Of the stack there are `stack_size` bytes, which is less than was asked
 * for where the address space ends before, as over the first stack of a program whose addresses are not random; behind
 * them comes how many were read. */
struct sample {
	struct perf_event_header head;
	uint64_t abi, bp, sp, pc;
	uint64_t stack_size;
	unsigned char stack[STACK_BYTES + sizeof(uint64_t)];
};

static int open_profile(pid_t tid)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = PERIOD_NS,
		.sample_type = PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER,
		.sample_regs_user =
			1u << PERF_REG_X86_BP | 1u << PERF_REG_X86_SP | 1u << PERF_REG_X86_IP,
		.sample_stack_user = STACK_BYTES,
		.wakeup_events = PROFILE_SAMPLES_MAX,
	};
	int fd;

	if (tid < 1) /* 0 would be this very thread */
		return -EINVAL;
	fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* A kernel thread has no registers of a user. */
static void tell(struct out *out, const struct sample *sample)
{
	const size_t stack_at = offsetof(struct sample, stack);
	uint64_t stack_read;

	if (sample->head.type != PERF_RECORD_SAMPLE || sample->head.size < stack_at ||
		sample->abi == PERF_SAMPLE_REGS_ABI_NONE || !sample->stack_size ||
		sample->stack_size > STACK_BYTES ||
		sample->head.size != stack_at + sample->stack_size + sizeof(stack_read))
		return;
	memcpy(&stack_read, sample->stack + sample->stack_size, sizeof(stack_read));
	if (stack_read > sample->stack_size)
		return;
	out_open(out, NULL, '{');
	out_int(out, "pc", (int64_t)sample->pc);
	out_int(out, "sp", (int64_t)sample->sp);
	out_int(out, "bp", (int64_t)sample->bp);
	out_hex(out, "stack", sample->stack, (size_t)stack_read);
	out_close(out, '}');
}

/* The ring is never read while it is written, so it does not come round. */
static void tell_all(struct out *out, const struct perf_event_mmap_page *ring)
{
	uint64_t end = atomic_load((const _Atomic __u64 *)&ring->data_head), at = 0;
	const char *data = (const char *)ring + ring->data_offset;
	struct sample sample;

	out_open(out, "samples", '[');
	for (int i = 0; i < PROFILE_SAMPLES_MAX && at + sizeof(sample.head) <= end; i++) {
		memcpy(&sample.head, data + at, sizeof(sample.head));
		if (sample.head.size < sizeof(sample.head) || at + sample.head.size > end)
			break;
		memcpy(&sample, data + at,
			sample.head.size < sizeof(sample) ? sample.head.size : sizeof(sample));
		tell(out, &sample);
		at += sample.head.size;
	}
	out_close(out, ']');
}

void verb_profile(const struct request *request)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE) + RING_BYTES;
	int fd = open_profile((pid_t)request_int(request, "tid", 0));
	void *ring =
		fd < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct pollfd full = {.fd = fd, .events = POLLIN};
	auto_out out = {0};

	if (ring == MAP_FAILED) {
		answer_error(request, "profile: %s", strerror(fd < 0 ? -fd : errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	poll(&full, 1, WAIT_MS);
	ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
	answer_begin(&out, request);
	tell_all(&out, ring);
	answer_send(&out, request);
	munmap(ring, size);
	close(fd);
}
