/*
 * The interposed functions, made from the rows of calls.h.
 */
#include "faults/guest/calls_names.h"

static const struct timespec no_timespec;
static struct timeval no_timeval; /* select() writes the time that is left: none */

long rig_no_such_call(void)
{
	errno = ENOSYS;
	return -1;
}

#define CALL(type, function, params, args, at_point, on_error, after, ...)                     \
	static _Atomic(void *) next_of_##function;                                             \
	EXPORT type function params                                                            \
	{                                                                                      \
		uint32_t point = (at_point);                                                   \
                                                                                               \
		if (rig_is_armed(point)) {                                                     \
			struct call call = {                                                   \
				.name = #function, .point = point, .from = FROM, __VA_ARGS__}; \
                                                                                               \
			if (rig_meet(&call))                                                   \
				return on_error;                                               \
			after;                                                                 \
		}                                                                              \
		return NEXT(function) args;                                                    \
	}

#include "faults/guest/calls.h"
