#include "run/cell/pulse.h"

#include "base/clock.h"
#include "base/log.h"

#define BEAT_MS	  250
#define WINDOW_NS (2 * NS_PER_SEC)
#define LOST_SHARE \
	0.2 /* of a window: less is told nowhere, so a law would take it for the store's own time */
#define WINDOWS_MAX 2048 /* lines in a history */

struct pulse {
	struct cell *cell;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t ends;
	bool end;
	uint64_t waited_ns; /* of the bed, at the last beat */
	int64_t window_ns;  /* when this window began */
	int64_t late_ns, lost_ns;
	size_t windows;
};

static void tell(struct pulse *p, int64_t lost_ns, int64_t of_ns)
{
	double lost_s = (double)lost_ns / (double)NS_PER_SEC;
	auto_free char *text =
		text_fmt("the host gave the machine no processor for %.1f s of %.1f s", lost_s,
			(double)of_ns / (double)NS_PER_SEC);

	log_line("starved: %s", text);
	history_add_at(p->cell->recorder, cell_now(p->cell), "rig",
		json_pack("{ss so sf}", "trouble", "starved", "text", json_text(text), "lost_s",
			lost_s));
}

static int64_t waited_since(struct pulse *p)
{
	struct bed *bed = p->cell->bed;
	uint64_t before = p->waited_ns;
	struct err err = {0};

	if (bed->ops->processor_wait(bed, &p->waited_ns, &err)) {
		p->waited_ns = before; /* the machine is off, or gone: nobody waits */
		return 0;
	}
	return p->waited_ns > before ? (int64_t)(p->waited_ns - before) : 0;
}

static void beat(struct pulse *p, int64_t wanted_ns)
{
	int64_t now = clock_mono_ns(), length = now - p->window_ns;
	int64_t lost;

	p->late_ns += now > wanted_ns ? now - wanted_ns : 0;
	p->lost_ns += waited_since(p);
	if (length < WINDOW_NS)
		return;
	/* Several processors wait side by side; nobody loses more than the time there was. */
	lost = p->lost_ns > p->late_ns ? p->lost_ns : p->late_ns;
	lost = lost < length ? lost : length;
	if ((double)lost >= LOST_SHARE * (double)length && p->windows++ < WINDOWS_MAX)
		tell(p, lost, length);
	p->window_ns = now;
	p->late_ns = p->lost_ns = 0;
}

static void *pulse_main(void *arg)
{
	struct pulse *p = arg;
	int64_t wanted;

	p->window_ns = clock_mono_ns();
	waited_since(p);
	pthread_mutex_lock(&p->lock);
	while (!p->end) {
		wanted = deadline_in_ms(BEAT_MS);
		while (!p->end && cond_wait(&p->ends, &p->lock, wanted) != -ETIMEDOUT)
			;
		if (!p->end)
			beat(p, wanted);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct pulse *pulse_start(struct cell *cell)
{
	struct pulse *p;

	if (!bed_has(cell->bed, processor_wait))
		return NULL;
	p = mem_zero(1, sizeof(*p));
	p->cell = cell;
	pthread_mutex_init(&p->lock, NULL);
	cond_init(&p->ends);
	if (!pthread_create(&p->thread, NULL, pulse_main, p))
		return p;
	cell_trouble(cell, "set-up", "cannot start the pulse");
	pthread_cond_destroy(&p->ends);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

void pulse_stop(struct pulse *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->end = true;
	pthread_cond_broadcast(&p->ends);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	pthread_cond_destroy(&p->ends);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
