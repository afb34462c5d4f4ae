/*
 * A store's own points: fiu_fail("store/point") in its source comes here first. Unless one of those
 * names is armed, it costs one load. In a process that fiu-run or fiu-ctrl's environment has been
 * given to, libfiu itself is asked as well, so both work by hand.
 */
#include "faults/guest/rigfault.h"

#include <errno.h>
#include <string.h>

int fiu_fail(const char *name);
void *fiu_failinfo(void);

RIG_TLS intptr_t our_failinfo;

static int ask_libfiu_itself(const char *name)
{
	static _Atomic(void *) next;
	int (*fail)(const char *);
	void *at = atomic_load_explicit(&next, memory_order_relaxed);

	if (!at) {
		at = rig_next("fiu_fail");
		atomic_store_explicit(&next, at, memory_order_relaxed);
	}
	memcpy(&fail, &at, sizeof(fail));
	return fail ? fail(name) : 0;
}

static __attribute__((cold)) bool named_point_fails(const char *name, const void *from)
{
	uint32_t hash = board_hash(name);

	for (uint32_t i = 0; i < BOARD_NAMES_MAX; i++) {
		const struct board_name *known = &rig_board->names[i];
		struct call call = {
			.name = "fiu_fail", .point = BOARD_FIRST_NAME + i, .from = from};

		if (!rig_is_armed(call.point) || atomic_load(&known->hash) != hash ||
			strncmp(known->name, name, BOARD_NAME_SIZE) != 0)
			continue;
		call.waits = WAITS_PATIENT;
		if (!rig_meet(&call))
			return false;
		our_failinfo = call.err;
		return true;
	}
	return false;
}

EXPORT int fiu_fail(const char *name)
{
	if (rig_is_armed(BOARD_ANY_NAME)) {
		int keep = errno;
		bool fails = named_point_fails(name, FROM);

		errno = keep;
		if (fails)
			return 1;
	}
	if (UNLIKELY(rig_by_hand)) {
		our_failinfo = 0;
		return ask_libfiu_itself(name);
	}
	return 0;
}

EXPORT void *fiu_failinfo(void)
{
	void *(*next)(void);
	void *at;

	if (our_failinfo)
		return (void *)our_failinfo; /* NOLINT: libfiu's way to carry a number */
	at = rig_next("fiu_failinfo");
	memcpy(&next, &at, sizeof(next));
	return next && rig_by_hand ? next() : NULL;
}
