#include "vm/machine_priv.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "vm/qga.h"
#include "vm/qmp.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define GREETING_MS    60000 /* a loaded host starts QEMU slowly; it takes 25 ms on an idle one */
#define COMMAND_MS     20000
#define LAST_WORDS_MS  2000 /* from the end of the connection to the end of the process */
#define CONSOLE_IN_ERR 320
#define PANIC_TEXT     "Kernel panic - not syncing"

const char *machine_event_name(enum machine_event event)
{
	static const char *const names[] = {[MACHINE_EVENT_PANIC] = "panic",
		[MACHINE_EVENT_HALT] = "halt",
		[MACHINE_EVENT_GONE] = "gone",
		[MACHINE_EVENT_IO_ERROR] = "io-error"};

	return names[event];
}

/* ---- what happens by itself; on QMP's thread ---------------------------------------------------- */

static void tell(struct machine *m, enum machine_event event, int64_t mono_ns)
{
	log_line("machine '%s': %s", m->dir, machine_event_name(event));
	if (m->on_event)
		m->on_event(m->arg, event, mono_ns);
}

/* The first end counts: a panic is followed by a reset, a shutdown by QEMU's end. */
static void end(struct machine *m, int code, enum machine_event event, int64_t mono_ns)
{
	bool first;

	pthread_mutex_lock(&m->lock);
	first = !m->ended && !m->expected;
	if (first)
		m->ended = code;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	if (first)
		tell(m, event, mono_ns);
}

/* A kernel without the pvpanic driver prints its panic and resets. */
static bool console_shows_panic(const struct machine *m)
{
	auto_buf struct buf tail = {0};

	machine_console_tail(m, &tail);
	return strstr(buf_text(&tail), PANIC_TEXT) != NULL;
}

static void on_shutdown(struct machine *m, const json_t *data, int64_t mono_ns)
{
	const char *reason = json_get_text(data, "reason", "");

	if (!json_get_bool(data, "guest", false))
		return;
	if (!strcmp(reason, "guest-panic") ||
		(!strcmp(reason, "guest-reset") && console_shows_panic(m)))
		end(m, MACHINE_PANICKED, MACHINE_EVENT_PANIC, mono_ns);
	else
		end(m, MACHINE_HALTED, MACHINE_EVENT_HALT, mono_ns);
}

static void on_qmp_event(void *arg, const char *event, const json_t *data, int64_t mono_ns)
{
	struct machine *m = arg;

	if (!event) {
		end(m, MACHINE_GONE, MACHINE_EVENT_GONE, mono_ns);
		pthread_mutex_lock(&m->lock);
		m->hung_up = true;
		pthread_cond_broadcast(&m->changed);
		pthread_mutex_unlock(&m->lock);
	} else if (!strcmp(event, "GUEST_PANICKED")) {
		end(m, MACHINE_PANICKED, MACHINE_EVENT_PANIC, mono_ns);
	} else if (!strcmp(event, "SHUTDOWN")) {
		on_shutdown(m, data, mono_ns);
	} else if (!strcmp(event, "BLOCK_IO_ERROR")) {
		tell(m, MACHINE_EVENT_IO_ERROR, mono_ns);
	}
}

/* ---- start -------------------------------------------------------------------------------------- */

char *machine_layer_path(const char *dir, const struct machine_disk *disk)
{
	return text_fmt("%s/%s.qcow2", dir, disk->name);
}

int machine_fresh_layers(struct machine *m, struct err *err)
{
	for (size_t i = 0; i < m->spec->disk_count; i++) {
		const struct machine_disk *disk = &m->spec->disks[i];
		auto_free char *path = machine_layer_path(m->dir, disk);
		int rc = disk->readonly ? 0
					: qemu_layer(path, disk->base, disk->base_format, 0, err);

		if (rc)
			return rc;
	}
	return 0;
}

/*
 * QEMU would wait for ever for the FIFO's reader. The descriptor is to be held until QEMU has opened its
 * own: a reader takes the going of its last writer for the end.
 */
static int hold_capture(const char *capture, int *ret_fd, struct err *err)
{
	struct stat st;

	if (!capture || stat(capture, &st) || !S_ISFIFO(st.st_mode))
		return 0;
	*ret_fd = open(capture, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (*ret_fd < 0)
		return errno == ENXIO
			       ? err_set(err, -ENXIO, "nobody reads the capture '%s'", capture)
			       : err_sys(err, errno, "cannot open the capture '%s'", capture);
	return 0;
}

static int learn_ports(struct machine *m, struct err *err)
{
	auto_free char *info = NULL;
	int rc;

	if (!m->network || network_kind(m->network) != NETWORK_USER)
		return 0;
	rc = qmp_human(m->qmp, "info usernet", deadline_in_ms(COMMAND_MS), &info, err);
	return rc ? rc : network_learn(m->network, info, err);
}

static int connect_monitor(struct machine *m, struct err *err)
{
	auto_buf struct buf words = {0};
	int fd = m->qemu.qmp_fd, rc;

	m->qemu.qmp_fd = -1;
	rc = qmp_open(fd, on_qmp_event, m, deadline_in_ms(GREETING_MS), &m->qmp, err);
	if (rc && qemu_ended(&m->qemu, m->dir, LAST_WORDS_MS, &words))
		err_set(err, rc, "%s", buf_text(&words));
	if (rc)
		return rc;
	m->qga = qga_new(m->qemu.qga_fd);
	m->qemu.qga_fd = -1;
	return learn_ports(m, err);
}

int machine_launch(struct machine *m, const struct machine_launch *launch, struct err *err)
{
	auto_buf struct buf netdev = {0};
	auto_close int capture_fd = -1;
	struct qemu_line line = {.spec = m->spec,
		.dir = m->dir,
		.memory_kind = launch->memory_kind,
		.memory = launch->memory,
		.incoming = launch->incoming,
		.log_writes = m->log_writes,
		.capture = m->capture,
		.warp = launch->warp,
		.isolated = !m->network,
		.tap_fd = m->network ? network_tap_fd(m->network) : -1};
	int rc = hold_capture(m->capture, &capture_fd, err);

	if (!rc && m->log_writes)
		rc = machine_empty_logs(m, err);
	if (rc)
		return rc;
	if (m->network)
		network_netdev(&m->spec->network, network_kind(m->network), line.tap_fd, &netdev);
	else
		network_spare(network_resolve(m->spec->network.kind), &netdev);
	line.netdev = netdev.len ? buf_text(&netdev) : NULL;
	pthread_mutex_lock(&m->lock);
	m->ended = 0;
	m->off = false;
	m->expected = true; /* what fails now is told by this call, not by an event */
	pthread_mutex_unlock(&m->lock);
	rc = qemu_start(&line, &m->qemu, err);
	if (!rc)
		rc = connect_monitor(m, err);
	if (rc)
		return rc;
	pthread_mutex_lock(&m->lock);
	m->expected = false;
	pthread_mutex_unlock(&m->lock);
	if (!launch->incoming)
		machine_set_running(m);
	return qmp_alive(m->qmp) ? 0 : err_set(err, -EPIPE, "QEMU ended as soon as it ran");
}

static char *whole_path(const char *path)
{
	char *whole = path ? realpath(path, NULL) : NULL;

	return whole ? whole : text_dup(path);
}

int machine_new(const struct machine_spec *spec, const struct machine_options *options,
	bool isolated, struct machine **ret, struct err *err)
{
	struct machine *m;
	int rc = fs_mkdir_p(options->dir, err);

	if (rc)
		return rc;
	assert(spec->disk_count <= MACHINE_DISKS_MAX);
	m = mem_zero(1, sizeof(*m));
	m->spec = spec;
	m->qemu = QEMU_NONE;
	m->on_event = options->on_event;
	m->arg = options->arg;
	m->log_writes = options->log_writes;
	pthread_mutex_init(&m->turn, NULL);
	pthread_mutex_init(&m->lock, NULL);
	cond_init(&m->changed);
	m->dir = whole_path(options->dir); /* QEMU runs in there: relative paths would change */
	m->capture = whole_path(options->capture);
	if (!isolated)
		rc = network_open(&spec->network, m->dir, &m->network, err);
	if (rc) {
		machine_close(m);
		return rc;
	}
	*ret = m;
	return 0;
}

int machine_boot(const struct machine_spec *spec, const struct machine_options *options,
	struct machine **ret, struct err *err)
{
	const struct machine_launch launch = {.memory_kind = QEMU_MEMORY_PLAIN};
	struct machine *m = NULL;
	int rc = machine_new(spec, options, false, &m, err);

	if (!rc)
		rc = machine_fresh_layers(m, err);
	if (!rc)
		rc = machine_launch(m, &launch, err);
	if (rc) {
		machine_close(m);
		return rc;
	}
	*ret = m;
	return 0;
}

/* ---- end ---------------------------------------------------------------------------------------- */

static void stop_qemu(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	m->expected = true;
	pthread_mutex_unlock(&m->lock);
	qemu_kill(&m->qemu);
	if (m->dead_qga != m->qga)
		qga_free(m->dead_qga);
	if (m->dead_qmp != m->qmp)
		qmp_close(m->dead_qmp);
	qga_free(m->qga);
	qmp_close(m->qmp);
	m->qga = m->dead_qga = NULL;
	m->qmp = m->dead_qmp = NULL;
}

void machine_close(struct machine *m)
{
	if (!m)
		return;
	stop_qemu(m);
	network_close(m->network);
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	pthread_mutex_destroy(&m->turn);
	free(m->capture);
	free(m->pauses);
	free(m->dir);
	free(m);
}

void machine_kill(struct machine *m)
{
	stop_qemu(m);
	pthread_mutex_lock(&m->lock);
	m->ended = MACHINE_HALTED;
	m->off = true;
	if (!m->still_since_ns)
		m->still_since_ns = clock_mono_ns();
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

int machine_restart(struct machine *m, const char *capture, struct err *err)
{
	const struct machine_launch launch = {.memory_kind = QEMU_MEMORY_PLAIN};
	int rc;

	machine_kill(m);
	free(m->capture);
	m->capture = whole_path(capture);
	rc = machine_launch(m, &launch, err);
	if (rc) {
		machine_kill(m);
		return err_wrap(err, rc, "cannot start the machine again");
	}
	return 0;
}

/* ---- state --------------------------------------------------------------------------------------- */

void machine_console_tail(const struct machine *m, struct buf *out)
{
	auto_free char *path = path_join(m->dir, "console.log");

	qemu_file_tail(path, MACHINE_CONSOLE_TAIL_MAX, out);
}

/* Where to begin: a panic's first line says more than the registers below it. */
static const char *telling_part(const struct buf *tail)
{
	const char *panic = strstr(tail->data, PANIC_TEXT), *next;

	while (panic && (next = strstr(panic + 1, PANIC_TEXT)))
		panic = next;
	if (panic)
		return panic;
	return tail->data + (tail->len > CONSOLE_IN_ERR ? tail->len - CONSOLE_IN_ERR : 0);
}

/* The console on one line, for the end of a sentence. */
static void last_words(const struct machine *m, struct buf *out)
{
	auto_buf struct buf tail = {0};
	const char *at;

	machine_console_tail(m, &tail);
	while (tail.len && strchr("\n ", tail.data[tail.len - 1]))
		tail.data[--tail.len] = '\0';
	if (!tail.len) {
		buf_add_str(out, "the console is empty");
		return;
	}
	buf_add_str(out, "console: ");
	at = telling_part(&tail);
	for (size_t i = 0; at[i] && i < CONSOLE_IN_ERR; i++)
		buf_add_str(out, at[i] == '\n' ? " | " : (char[]){at[i], '\0'});
}

static int explain(struct machine *m, int ended, bool off, struct err *err)
{
	auto_buf struct buf words = {0}, qemu = {0};

	if (!ended)
		return 0;
	if (off)
		return err_set(err, ended, "the machine is switched off");
	last_words(m, &words);
	switch (ended) {
	case MACHINE_PANICKED:
		return err_set(err, ended, "the guest's kernel panicked; %s", buf_text(&words));
	case MACHINE_HALTED:
		return err_set(err, ended, "the guest halted or rebooted; %s", buf_text(&words));
	default:
		if (!qemu_ended(&m->qemu, m->dir, LAST_WORDS_MS, &qemu))
			buf_add_str(&qemu, "QEMU's monitor is broken");
		return err_set(err, ended, "%s; %s", buf_text(&qemu), buf_text(&words));
	}
}

int machine_check(struct machine *m, struct err *err)
{
	int ended;
	bool off;

	pthread_mutex_lock(&m->lock);
	ended = m->ended;
	off = m->off;
	pthread_mutex_unlock(&m->lock);
	return explain(m, ended, off, err);
}

int machine_wait_end(struct machine *m, int64_t deadline_ns, struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&m->lock);
	while (!m->ended && rc != -ETIMEDOUT)
		rc = cond_wait(&m->changed, &m->lock, deadline_ns);
	rc = m->ended;
	pthread_mutex_unlock(&m->lock);
	return rc ? machine_check(m, err) : err_set(err, -ETIMEDOUT, "the machine still runs");
}

struct qmp *machine_qmp(struct machine *m)
{
	return m->qmp;
}

struct qga *machine_qga(struct machine *m)
{
	return m->qga;
}

struct network *machine_network(struct machine *m)
{
	return m->network;
}

const char *machine_dir(const struct machine *m)
{
	return m->dir;
}

const struct machine_spec *machine_spec(const struct machine *m)
{
	return m->spec;
}

pid_t machine_pid(const struct machine *m)
{
	return m->qemu.pid;
}

int64_t machine_running_since_ns(const struct machine *m)
{
	return m->running_since_ns;
}

int machine_take_witness_fd(struct machine *m)
{
	int fd = m->qemu.witness_fd;

	m->qemu.witness_fd = -1;
	return fd;
}
