#include "vm/machine_priv.h"

#include "base/clock.h"
#include "base/json.h"
#include "vm/qmp.h"

#define COMMAND_MS  20000
#define FIRMWARE_MS 1000 /* no more resets for so long: the kernel is on its way */

void machine_set_running(struct machine *m)
{
	int64_t now = clock_mono_ns();

	pthread_mutex_lock(&m->lock);
	if (!m->running_since_ns)
		m->running_since_ns = now;
	if (m->still_since_ns) {
		m->paused_ns += now - m->still_since_ns;
		m->pauses = mem_grow(m->pauses, m->pause_count + 1, sizeof(*m->pauses));
		m->pauses[m->pause_count++] = (struct machine_pause){m->still_since_ns, now};
	}
	m->still_since_ns = 0;
	pthread_mutex_unlock(&m->lock);
}

static int command(struct machine *m, const char *name, json_t *arguments, struct err *err)
{
	return qmp_execute(m->qmp, name, arguments, deadline_in_ms(COMMAND_MS), NULL, err);
}

/* Only these functions write `still_since_ns`, in turn. */
static bool is_still(struct machine *m)
{
	bool still;

	pthread_mutex_lock(&m->lock);
	still = m->still_since_ns != 0;
	pthread_mutex_unlock(&m->lock);
	return still;
}

bool machine_is_paused(struct machine *m)
{
	return is_still(m);
}

int machine_go(struct machine *m, struct err *err)
{
	int rc = command(m, "cont", NULL, err);

	if (!rc)
		machine_set_running(m);
	return rc;
}

int machine_pause(struct machine *m, struct err *err)
{
	int rc;

	pthread_mutex_lock(&m->turn);
	rc = machine_check(m, err);
	if (!rc && !is_still(m)) {
		rc = command(m, "stop", NULL, err);
		pthread_mutex_lock(&m->lock);
		if (!rc)
			m->still_since_ns = clock_mono_ns();
		pthread_mutex_unlock(&m->lock);
	}
	pthread_mutex_unlock(&m->turn);
	return rc;
}

int machine_resume(struct machine *m, struct err *err)
{
	int rc;

	pthread_mutex_lock(&m->turn);
	rc = machine_check(m, err);
	if (!rc && is_still(m))
		rc = machine_go(m, err);
	pthread_mutex_unlock(&m->turn);
	return rc;
}

int64_t machine_paused_ns(struct machine *m)
{
	int64_t sum;

	pthread_mutex_lock(&m->lock);
	sum = m->paused_ns;
	if (m->still_since_ns)
		sum += clock_mono_ns() - m->still_since_ns;
	pthread_mutex_unlock(&m->lock);
	return sum;
}

/* Pauses do not overlap, and each begins after the one before it. */
int64_t machine_paused_before(struct machine *m, int64_t mono_ns)
{
	int64_t sum;

	pthread_mutex_lock(&m->lock);
	sum = m->paused_ns;
	for (size_t i = m->pause_count; i-- && m->pauses[i].to_ns > mono_ns;) {
		const struct machine_pause *pause = &m->pauses[i];

		sum -= pause->to_ns - (pause->from_ns > mono_ns ? pause->from_ns : mono_ns);
	}
	if (m->still_since_ns && mono_ns > m->still_since_ns)
		sum += mono_ns - m->still_since_ns;
	pthread_mutex_unlock(&m->lock);
	return sum;
}

int64_t machine_moment(struct machine *m, int64_t unpaused_ns)
{
	int64_t mono_ns = unpaused_ns;

	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < m->pause_count && m->pauses[i].from_ns < mono_ns; i++)
		mono_ns += m->pauses[i].to_ns - m->pauses[i].from_ns;
	pthread_mutex_unlock(&m->lock);
	return mono_ns;
}

static int set_reboot(struct machine *m, const char *action, struct err *err)
{
	return command(m, "set-action", json_pack("{s:s}", "reboot", action), err);
}

/*
 * SeaBIOS, on q35, finds that it has run before (its copy in memory outlives the reset), restores itself and
 * resets again (SeaBIOS, src/resume.c, tryReboot()), by several ways in a row: with QEMU 7.2 one to three
 * resets "of the guest" follow within milliseconds. It is through when they are over; the kernel needs
 * longer than that to boot, let alone to reboot.
 */
static int await_firmware(struct machine *m, uint64_t mark, struct err *err)
{
	int64_t patience_ms = COMMAND_MS;

	for (;;) {
		auto_json json_t *event = NULL;
		struct err why = {0};
		int rc = qmp_wait_event(
			m->qmp, "RESET", &mark, deadline_in_ms(patience_ms), &event, &why);

		if (rc == -ETIMEDOUT && patience_ms == FIRMWARE_MS)
			return 0;
		if (rc)
			return err_set(err, rc, "%s", why.text);
		if (json_get_bool(json_object_get(event, "data"), "guest", false))
			patience_ms = FIRMWARE_MS;
	}
}

/* A reset from inside is normally the end of the machine; this once it is not. */
static int press_reset(struct machine *m, struct err *err)
{
	uint64_t mark = qmp_mark(m->qmp);
	int rc = set_reboot(m, "reset", err), back;

	if (rc)
		return rc;
	rc = command(m, "system_reset", NULL, err);
	if (!rc)
		rc = machine_go(m, err);
	if (!rc)
		rc = await_firmware(m, mark, err);
	back = set_reboot(m, "shutdown", rc ? NULL : err);
	return rc ? rc : back;
}

int machine_reset(struct machine *m, struct err *err)
{
	int ended, rc;

	pthread_mutex_lock(&m->turn);
	pthread_mutex_lock(&m->lock);
	ended = m->ended;
	if (ended != MACHINE_GONE && !m->off)
		m->ended = 0;
	pthread_mutex_unlock(&m->lock);
	rc = ended == MACHINE_GONE || m->off ? machine_check(m, err) : press_reset(m, err);
	pthread_mutex_unlock(&m->turn);
	return rc;
}
