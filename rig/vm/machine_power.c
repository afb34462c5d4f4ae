/* A power cut and the power's return; the logs of what the disks took before it. */
#include "vm/machine_priv.h"

#include "base/clock.h"
#include "base/proc.h"

#include <assert.h>
#include <fcntl.h>

#define LAST_WORDS_MS 10000 /* from QEMU's end to QMP's last event */

char *machine_write_log_path(const char *dir, const struct machine_disk *disk)
{
	return text_fmt("%s/%s.writes", dir, disk->name);
}

int machine_empty_logs(const struct machine *m, struct err *err)
{
	for (size_t i = 0; i < m->spec->disk_count; i++) {
		auto_free char *path = machine_write_log_path(m->dir, &m->spec->disks[i]);
		auto_close int fd = -1;

		if (m->spec->disks[i].readonly)
			continue;
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd < 0)
			return err_sys(err, errno, "cannot make the log of writes '%s'", path);
	}
	return 0;
}

int machine_cut(struct machine *m, struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&m->lock);
	m->expected = true;
	pthread_mutex_unlock(&m->lock);
	proc_end(m->qemu.pid, 0);
	m->qemu.pid = -1;
	pthread_mutex_lock(&m->lock);
	m->ended = MACHINE_HALTED;
	m->off = true;
	if (!m->still_since_ns)
		m->still_since_ns = clock_mono_ns();
	while (!m->hung_up && !rc)
		rc = cond_wait(&m->changed, &m->lock, deadline_in_ms(LAST_WORDS_MS));
	rc = m->hung_up ? 0 : rc;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	return rc ? err_set(err, rc, "QEMU's monitor is still open after its end") : 0;
}

int machine_power_on(struct machine *m, struct err *err)
{
	const struct machine_launch launch = {.memory_kind = QEMU_MEMORY_PLAIN};
	int rc;

	assert(!m->dead_qmp);
	m->dead_qmp = m->qmp;
	m->dead_qga = m->qga;
	m->log_writes = false;
	m->hung_up = false;
	rc = machine_launch(m, &launch, err);
	return rc ? err_wrap(err, rc, "cannot start the machine after the power cut") : 0;
}
