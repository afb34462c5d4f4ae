/* Lines of POP3 sessions for the tables of P1 to P5. */
#pragma once

#include "tests/unit/oracle_table.h"

#define POP(t, s, user, what, more)                                                             \
	"{\"t\":" #t ",\"ev\":\"pop3\",\"session\":" #s ",\"user\":" Q(user) ",\"do\":" Q(what) \
		more "}\n"
#define LOGIN(t, s, user) POP(t, s, user, "login", ",\"since\":" #t ",\"outcome\":\"OK\"")
#define REFUSED(t, s, user)                                                              \
	POP(t, s, user, "login", ",\"since\":" #t ",\"outcome\":\"NO\",\"in_use\":true") \
	CUT(t, s, user, )
#define M(uidl, token)	      "{\"uidl\":" Q(uidl) ",\"token\":" Q(token) "}"
#define LIST(t, s, user, ...) POP(t, s, user, "list", ",\"items\":[" LIST_OF(__VA_ARGS__) "]")
#define LIST_OF(...)	      __VA_ARGS__
#define QUIT(t, s, user, outcome, marked) \
	POP(t, s, user, "quit", ",\"outcome\":" Q(outcome) ",\"marked\":[" marked "]")
#define CUT(t, s, user, marked)	 POP(t, s, user, "cut", ",\"marked\":[" marked "]")
#define CLOSED(t, s, user, idle) POP(t, s, user, "closed", ",\"idle_s\":" #idle ",\"marked\":[]")
#define IDLE(t, s, user, idle)	 POP(t, s, user, "idle", ",\"idle_s\":" #idle)

/* A session that lists two messages, m1 as "a" and m2 as "b". */
#define BOTH(t, s, user)	      LOGIN(t, s, user) LIST(t, s, user, M("a", "m1") "," M("b", "m2"))
#define ONLY(t, s, user, uidl, token) LOGIN(t, s, user) LIST(t, s, user, M(uidl, token))
#define MARK_A			      "\"a\""
