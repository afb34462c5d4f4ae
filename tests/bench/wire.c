/*
 * How fast is `mailrig wire`, and how much memory does it take? Makes a capture of SMTP deliveries (20
 * connections at a time, whole segments, mails of 1 to 200 KB), reads all of it with the program given, and a
 * slice of it with the program and with tshark, one after the other on one core.
 *
 *	wire MAILRIG [MB] [SLICE_MB]		default 512 and 64; a slice of 0: tshark reads the whole, for minutes
 *
 * Prints one line per measure, the last two of the live reader: as fast as it goes, and paced. Fails below RATE_MIN of
 * the processor's time, where tshark takes less than TSHARK_MIN times as much of it on the same file, where the whole
 * takes more than MEMORY_MAX times the slice's memory, and where the live reader loses a frame or keeps the machine. The
 * files are in $TMPDIR (or /tmp) and are removed.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "net/wire.h"
#include "tests/fake/wire_gen.h"

#include <fcntl.h>
#include <pcap/dlt.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#define AT_A_TIME  20
#define SLICE_MB   64
#define RATE_MIN   200.0 /* MB/s */
#define TSHARK_MIN 20.0
#define MEMORY_MAX 1.25
#define POOL_SIZE  (256 << 10)

struct took {
	double seconds, cpu_seconds;
	long rss_kb;
	int status;
};

static void make_pool(char *pool, struct rng *rng)
{
	for (size_t i = 0; i < POOL_SIZE; i++)
		pool[i] = (char)('!' + rng_below(rng, 94));
	for (size_t i = 76; i + 2 < POOL_SIZE; i += 78)
		memcpy(pool + i, "\r\n", 2);
	for (size_t i = 78; i < POOL_SIZE; i += 78 * 17)
		pool[i] = '.';
}

/* One delivery; the client's text is dot-stuffed by construction only where the pool says so. */
static void deliver(struct gen *gen, unsigned int n, const char *pool, struct rng *rng)
{
	struct gen_conn conn = gen_conn(n, 25, false);
	size_t size = 1000 + (size_t)rng_below(rng, rng_below(rng, 10) ? 20000 : 200000);
	auto_buf struct buf mail = {0};

	gen_open(gen, &conn);
	gen_text(gen, &conn, GEN_SERVER, "220 store.example ESMTP\r\n");
	gen_text(gen, &conn, GEN_CLIENT, "EHLO me.example\r\n");
	gen_text(gen, &conn, GEN_SERVER, "250-store.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
	gen_text(gen, &conn, GEN_CLIENT,
		"MAIL FROM:<a@x.example>\r\nRCPT TO:<u1@store.example>\r\nDATA\r\n");
	gen_text(gen, &conn, GEN_SERVER, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n");
	buf_addf(&mail, "X-Mailrig-Token: t%08x\r\nSubject: bench\r\n\r\n", n);
	buf_add(&mail, pool, size / 78 * 78);
	buf_add_str(&mail, ".\r\n");
	gen_send(gen, &conn, GEN_CLIENT, mail.data, mail.len);
	gen_text(gen, &conn, GEN_SERVER, "250 2.0.0 Ok: queued\r\n");
	gen_text(gen, &conn, GEN_CLIENT, "QUIT\r\n");
	gen_text(gen, &conn, GEN_SERVER, "221 2.0.0 Bye\r\n");
	gen_close(gen, &conn);
}

/* Returns the size of the file. */
static off_t make_capture(const char *path, off_t want)
{
	auto_free char *pool = mem_zero(1, POOL_SIZE);
	struct rng rng = rng_stream(1, "bench.wire");
	FILE *file = fopen(path, "we");
	unsigned int n = 0;
	off_t size;

	if (!file)
		abort();
	make_pool(pool, &rng);
	gen_save_head(DLT_EN10MB, file);
	do {
		struct gen each[AT_A_TIME], all;
		size_t at[AT_A_TIME] = {0}, left = 0;

		gen_init(&all, DLT_EN10MB);
		for (int i = 0; i < AT_A_TIME; i++) {
			gen_init(&each[i], DLT_EN10MB);
			deliver(&each[i], n++, pool, &rng);
			left += each[i].count;
		}
		all.frames = mem_grow(NULL, left, sizeof(*all.frames));
		while (left) {
			size_t i = (size_t)rng_below(&rng, AT_A_TIME);

			if (at[i] == each[i].count)
				continue;
			all.frames[all.count] = each[i].frames[at[i]++];
			all.frames[all.count].ns = INT64_C(1600000000000000000) +
						   n * INT64_C(1000000) + (int64_t)all.count * 1000;
			all.count++;
			left--;
		}
		gen_save_frames(&all, file);
		gen_free(&all);
		for (int i = 0; i < AT_A_TIME; i++) {
			each[i].count = 0;
			gen_free(&each[i]);
		}
		size = ftello(file);
	} while (size < want);
	if (fclose(file))
		abort();
	return size;
}

/* One core, output to /dev/null. */
static struct took measure(char *const *argv)
{
	int64_t began_ns = clock_mono_ns();
	struct rusage usage = {0};
	struct took took = {0};
	pid_t pid = fork();

	if (!pid) {
		cpu_set_t one;
		int null = open("/dev/null", O_WRONLY);

		CPU_ZERO(&one);
		CPU_SET(0, &one);
		sched_setaffinity(0, sizeof(one), &one);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &took.status, 0, &usage) != pid)
		abort();
	took.seconds = (double)(clock_mono_ns() - began_ns) / 1e9;
	took.cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	took.rss_kb = usage.ru_maxrss;
	return took;
}

static struct took report(const char *what, char *const *argv, off_t size)
{
	struct took took = measure(argv);
	double mb = (double)size / 1e6;

	printf("%-28s %7.1f MB  %7.2f s (cpu %7.2f s)  %8.1f MB/s  rss %6ld KB%s\n", what, mb,
		took.seconds, took.cpu_seconds, mb / took.cpu_seconds, took.rss_kb,
		took.status ? "  FAILED" : "");
	fflush(stdout);
	return took;
}

static bool at_least(const char *what, double got, double want)
{
	printf("%s %.1f, at least %.1f%s\n", what, got, want, got < want ? ": FAILED" : "");
	fflush(stdout);
	return got >= want;
}

struct file {
	const char *path;
	off_t size;
};

/* Files as large as they may be, and a slice: fast, and in the same memory. */
static bool report_files(char *mailrig, const struct file *whole, const struct file *slice)
{
	struct took json = report("mailrig wire --json",
		(char *[]){mailrig, "wire", (char *)(uintptr_t)whole->path, "--json", NULL},
		whole->size);
	struct took text = report("mailrig wire",
		(char *[]){mailrig, "wire", (char *)(uintptr_t)whole->path, NULL}, whole->size);
	struct took part = report("mailrig wire --json, slice",
		(char *[]){mailrig, "wire", (char *)(uintptr_t)slice->path, "--json", NULL},
		slice->size);
	bool ok = at_least("MB/s of the processor's time:",
		(double)whole->size / 1e6 / json.cpu_seconds, RATE_MIN);

	printf("memory: %.2f times the slice's, at most %.2f\n",
		(double)json.rss_kb / (double)part.rss_kb, MEMORY_MAX);
	return ok && !json.status && !text.status && !part.status &&
	       (double)json.rss_kb <= MEMORY_MAX * (double)part.rss_kb;
}

/* Both on one file. */
static bool report_tshark(char *mailrig, const struct file *file)
{
	char *path = (char *)(uintptr_t)file->path;
	struct took ours, theirs;

	if (!fs_exists("/usr/bin/tshark"))
		return true;
	ours = report("mailrig wire --json", (char *[]){mailrig, "wire", path, "--json", NULL},
		file->size);
	theirs = report("tshark -Y smtp -T json",
		(char *[]){"tshark", "-n", "-r", path, "-Y", "smtp", "-T", "json", NULL},
		file->size);
	return at_least("tshark's time on the same file, by ours:",
		       theirs.cpu_seconds / ours.cpu_seconds, TSHARK_MIN) &&
	       !ours.status && !theirs.status;
}

/* ---- live: as fast as a FIFO takes it, which no machine does ---- */

static void no_event(void *arg, const struct dialogue_event *event)
{
	(void)event;
	(*(uint64_t *)arg)++;
}

static void copy_to_fifo(const char *capture, int fifo)
{
	auto_close int file = open(capture, O_RDONLY | O_CLOEXEC);
	static char chunk[1 << 16];
	ssize_t n;

	while ((n = read(file, chunk, sizeof(chunk))) > 0)
		if (io_write_all(fifo, chunk, (size_t)n, CLOCK_NEVER, NULL))
			abort();
}

static void report_live(const char *capture, off_t size)
{
	auto_free char *fifo = text_fmt("%s.fifo", capture);
	auto_free char *kept = text_fmt("%s.kept", capture);
	uint64_t events = 0;
	struct wire_config config = {
		.fifo_path = fifo, .capture_path = kept, .fn = no_event, .arg = &events};
	int64_t began_ns = clock_mono_ns();
	struct wire *wire;
	double seconds;
	int fd;

	if (wire_open(&wire, &config, NULL))
		abort();
	fd = open(fifo, O_WRONLY | O_CLOEXEC);
	copy_to_fifo(capture, fd);
	wire_flush(wire, deadline_in_ms(60000));
	seconds = (double)(clock_mono_ns() - began_ns) / 1e9;
	printf("%-28s %7.1f MB  %7.2f s  %8.1f MB/s  dropped %llu of %llu frames, longest stall "
	       "%.2f ms\n",
		"live through a FIFO", (double)size / 1e6, seconds, (double)size / 1e6 / seconds,
		(unsigned long long)wire_dropped(wire), (unsigned long long)wire_frames(wire),
		(double)wire_stall_ns(wire) / 1e6);
	close(fd);
	if (wire_close(wire, NULL))
		abort();
	unlink(kept);
}

/* ---- live, at many times the rate that a store reaches: how long QEMU would stand still ---- */

#define PACED_BYTES_PER_S \
	(20 << 20) /* the fastest cell on Postfix and Dovecot makes half a megabyte a second */
#define TICK_NS	     INT64_C(1000000)
#define STILL_MAX_MS 5.0

/* The longest single wait of the writer, in nanoseconds. */
static int64_t write_paced(const char *capture, int fifo)
{
	static char chunk[PACED_BYTES_PER_S / (NS_PER_SEC / TICK_NS)];
	auto_close int file = open(capture, O_RDONLY | O_CLOEXEC);
	auto_close int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct itimerspec every = {.it_interval.tv_nsec = TICK_NS, .it_value.tv_nsec = TICK_NS};
	int64_t longest_ns = 0;
	uint64_t ticks;
	ssize_t n;

	timerfd_settime(timer, 0, &every, NULL);
	while ((n = read(file, chunk, sizeof(chunk))) > 0) {
		int64_t began_ns = clock_mono_ns();

		if (io_write_all(fifo, chunk, (size_t)n, CLOCK_NEVER, NULL))
			abort();
		if (clock_mono_ns() - began_ns > longest_ns)
			longest_ns = clock_mono_ns() - began_ns;
		if (read(timer, &ticks, sizeof(ticks)) != sizeof(ticks))
			abort();
	}
	return longest_ns;
}

/* True if nothing was lost and the writer never stood still for too long. */
static bool report_paced(const char *capture, off_t size)
{
	auto_free char *fifo = text_fmt("%s.fifo", capture);
	auto_free char *kept = text_fmt("%s.kept", capture);
	uint64_t events = 0;
	struct wire_config config = {
		.fifo_path = fifo, .capture_path = kept, .fn = no_event, .arg = &events};
	int64_t began_ns = clock_mono_ns(), longest_ns;
	struct wire *wire;
	double seconds;
	bool ok;
	int fd;

	if (wire_open(&wire, &config, NULL))
		abort();
	fd = open(fifo, O_WRONLY | O_CLOEXEC);
	longest_ns = write_paced(capture, fd);
	wire_flush(wire, deadline_in_ms(60000));
	seconds = (double)(clock_mono_ns() - began_ns) / 1e9;
	ok = !wire_dropped(wire) && (double)longest_ns / 1e6 <= STILL_MAX_MS;
	printf("%-28s %7.1f MB  %7.2f s  %8.1f MB/s  dropped %llu of %llu frames, the writer stood "
	       "still %.2f ms at most%s\n",
		"live, paced", (double)size / 1e6, seconds, (double)size / 1e6 / seconds,
		(unsigned long long)wire_dropped(wire), (unsigned long long)wire_frames(wire),
		(double)longest_ns / 1e6, ok ? "" : ": FAILED");
	close(fd);
	if (wire_close(wire, NULL))
		abort();
	unlink(kept);
	return ok;
}

int main(int argc, char **argv)
{
	const char *dir = getenv("TMPDIR");
	off_t mb = argc > 2 ? atoi(argv[2]) : 512, slice_mb = argc > 3 ? atoi(argv[3]) : SLICE_MB;
	auto_free char *whole_path =
		text_fmt("%s/mailrig-bench.%d.pcap", dir ? dir : "/tmp", getpid());
	auto_free char *slice_path = text_fmt("%s.slice", whole_path);
	struct file whole = {.path = whole_path}, slice = {.path = slice_path};
	bool ok;

	if (argc < 2) {
		fputs("usage: wire MAILRIG [MB] [SLICE_MB]\n", stderr);
		return 64;
	}
	whole.size = make_capture(whole.path, mb << 20);
	slice.size = make_capture(slice.path, (slice_mb ? slice_mb : SLICE_MB) << 20);
	ok = report_files(argv[1], &whole, &slice);
	ok = report_tshark(argv[1], slice_mb ? &slice : &whole) && ok;
	report_live(slice.path, slice.size);
	ok = report_paced(slice.path, slice.size) && ok;
	unlink(whole.path);
	unlink(slice.path);
	return ok ? 0 : 1;
}
