/*
 * Who is to blame where no cycle is: what one thread's own wait says (suspect.c), and where the chains of those who
 * wait end (chain.c). The order of the weights is the whole of the judgement. Private to rig/diagnose/.
 */
#pragma once

#include "diagnose/case.h"

/* Between 40 and 100 lie the kinds of waits (suspect.c) and what lies unread (unread.c). */
#define WEIGHT_LIVELOCK	    85
#define WEIGHT_THAW_LOST    75
#define WEIGHT_STORM	    72
#define WEIGHT_OF_ITSELF    70 /* from here on it speaks for itself */
#define WEIGHT_HOLDER	    62 /* what it has, others are known to wait for: more than a lone event */
#define WEIGHT_TIMER_OFF    61 /* more than an event: nothing but setting it makes it ring */
#define WEIGHT_READ	    55
#define WEIGHT_READ_AT_DOOR 54 /* less than whoever has the door and reads elsewhere */
#define WEIGHT_RUNS_TWICE   52
#define WEIGHT_IDLE_HOLDER  35
#define WEIGHT_ASLEEP_PEER \
	31 /* others wait for what it alone can send: more than they themselves */
#define WEIGHT_PARENT	     31 /* the same, and the child it waits for will not end */
#define WEIGHT_UNANSWERED    30 /* it reads, and whoever should write is idle */
#define WEIGHT_BEHIND_HOLDER 29 /* less than one whose other end is idle */
#define WEIGHT_SHARED	     28
#define WEIGHT_HABIT	     24 /* less than any wait without a time limit */
#define WEIGHT_ZOMBIE	     22
#define WEIGHT_TIMED	     20
#define WEIGHT_OF_KIND	     16 /* an idle holder whose like waits: it may be no trouble at all */
#define WEIGHT_RUNS	     15
#define WEIGHT_ASLEEP	     14
#define WEIGHT_MOVED	     13
#define WEIGHT_COLLECTS	     13
#define WEIGHT_AS_HEALTHY    12
#define WEIGHT_CLIENT	     8

/* By its own wait alone; weight 0: it is not suspected. */
struct suspect judge_task(const struct diagnosing *d, size_t task);
/* What the kind of its wait says, put into `s`. */
void judge_by_kind(const struct task *t, struct suspect *s);
