/*
 * The witness's end of its tracer (board_tracer.h): started for the first rule that needs it, reaped with the last. One
 * that does not answer in time is killed: with it go all that it held.
 */
#include "faults/guest/board_private.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MS 5000

static _Atomic pid_t tracer; /* 0: none; read by a thread that does not hold the board */
static int orders = -1;
static uint32_t traced; /* bit n: the rule of slot n is its business */

/* Of the witness it keeps its end and its priority, which no child of a thread like that has of itself. */
static void __attribute__((noreturn))
be_tracer(int end, int policy, const struct sched_param *param)
{
	close_range(3, (unsigned int)end - 1, 0);
	close_range((unsigned int)end + 1, ~0u, 0);
	if ((policy & ~SCHED_RESET_ON_FORK) != SCHED_OTHER)
		sched_setscheduler(0, policy, param);
	prctl(PR_SET_NAME, "tracer");
	board_tracer_run(end, board_now);
	_exit(0);
}

static int start(void)
{
	struct sched_param param = {0};
	int policy = sched_getscheduler(0), ends[2];

	if (tracer > 0)
		return 0;
	sched_getparam(0, &param);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	tracer = fork();
	if (!tracer)
		be_tracer(ends[1], policy, &param);
	close(ends[1]);
	orders = ends[0];
	if (tracer > 0)
		return 0;
	tracer = 0;
	close(orders);
	return -EAGAIN;
}

static void end(bool by_force)
{
	if (tracer <= 0)
		return;
	if (by_force)
		kill(tracer, SIGKILL);
	close(orders);
	while (waitpid(tracer, NULL, 0) < 0 && errno == EINTR)
		;
	tracer = 0;
	orders = -1;
	traced = 0;
}

static int say(const struct board_order *order, struct board_answer *answer)
{
	struct pollfd fd = {.fd = orders, .events = POLLIN};

	if (send(orders, order, sizeof(*order), MSG_NOSIGNAL) != sizeof(*order) ||
		poll(&fd, 1, ANSWER_MS) != 1 ||
		recv(orders, answer, sizeof(*answer), MSG_DONTWAIT) != sizeof(*answer))
		return -ETIMEDOUT;
	return 0;
}

int board_trace_arm(const struct board_rule *rule, char *why, size_t size)
{
	struct board_order order = {.arm = true, .rule = *rule};
	struct board_answer answer = {0};
	int rc = start();

	if (rc) {
		snprintf(why, size, "no tracer can be started: %s", strerror(-rc));
		return rc;
	}
	if (say(&order, &answer)) {
		end(true);
		snprintf(why, size, "the tracer did not answer within %d ms", ANSWER_MS);
		return -ETIMEDOUT;
	}
	if (!answer.rc)
		traced |= 1u << rule->slot;
	else if (!traced)
		end(false);
	snprintf(why, size, "%s", answer.why);
	return answer.rc;
}

void board_trace_disarm(uint32_t slot)
{
	struct board_order order = {.rule.slot = slot};
	struct board_answer answer;

	if (!(traced & 1u << slot))
		return;
	traced &= ~(1u << slot);
	if (say(&order, &answer))
		end(true);
	else if (!traced)
		end(false);
}

bool board_trace_left(void)
{
	return tracer > 0;
}

bool board_control_may_wait(const char *line)
{
	return board_trace_left() || strstr(line, " trace=");
}
