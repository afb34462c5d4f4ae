/*
 * What takes the place of a fault on calls where the preload reaches no program that it means (static, Go; see
 * run/plan/target_reach.h): one table, by action and point. Only what means the same does: else the cell is SKIP and
 * says why, so that no fault is ever silently not injected. Plan time; pure.
 *
 *	park of a call that waits for the disk	freeze-disk of the disk that its files are on
 *	park of a call that changes files	freeze-fs of it: there the call stands still in the kernel
 *	park of any other call			freeze-process of the role: its processes stand still, all of each
 *	errno, short, kill at a system call	the same, by ptrace (call_rule_traced())
 *
 * What stands still by these does so at the step's moment, whoever the caller and the n-th call; so a step that says
 * more about the call than they can keep (hit, calls, caller, kind, step, a file of no disk) has no fallback. What is
 * done by ptrace keeps all that but the caller, and needs a role.
 */
#pragma once

#include "run/plan/plan.h"
#include "run/plan/target_reach.h"

/*
 * Puts the fallback in the place of `step` of `scenario`, of which everything but where it acts stays as it is.
 * 0, and `*ret_name` is the fault it is now, or "ptrace": it stays as it is. Or -ENOTSUP, and `err` says in one
 * clause why nothing means the same.
 */
int fallback_take(struct step *step, const struct scenario *scenario, const struct target *target,
	const char **ret_name, struct err *err);

/* Is it done by ptrace in a program of its role? */
bool fallback_is_traced(const struct target_reach *known, size_t count, const struct step *step);

/*
 * The same for a whole plan, whose target's programs are `known`: a step on calls that nobody of its role can come to
 * is put into other words and told in plan->fallback, or it is why the plan has a `skip`. One that some programs of
 * its role can come to stays, and the others are named. plan->target->unreached is who has no calls to reach.
 */
void fallback_find(struct plan *plan, const struct target_reach *known, size_t count);
