/*
 * What a futex is, from the words at the address that a thread waits on: the locks of glibc 2.36 on x86-64 have
 * layouts that can be told apart (nptl/: pthread_mutex_t, pthread_rwlock_t and sem_t in
 * sysdeps/nptl/bits/struct_*.h and internaltypes.h), and two of them name their owner. What fits none stays
 * an event in memory, unless it is the number of another thread of the same process, by which locks of other makes
 * say who has them. Pure.
 */
#pragma once

#include "diagnose/evidence.h"

/* Sets `wait->kind` and, where the words name one, `wait->target`, a tid that nobody has proved yet. */
void futex_refine(const uint32_t words[FUTEX_WORDS], struct wait *wait);
/* All threads of an instant. */
void futex_refine_all(struct evidence *e);
