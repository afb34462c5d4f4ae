/* Lines of IMAP sessions for tables of small histories: what a session sent, was told, and got. */
#pragma once

#include "tests/unit/oracle_table.h"

#define IMAP(t, s, rest)	  "{\"t\":" #t ",\"ev\":\"imap\",\"s\":" #s "," rest "}\n"
#define LOGIN_AS(t, s, who, user) IMAP(t, s, "\"open\":{\"who\":" Q(who) ",\"user\":" Q(user) "}")
#define LOGIN(s, who)		  LOGIN_AS(1, s, who, "u1")
#define SAY(t, s, tag, command)	  IMAP(t, s, "\"sent\":" Q(tag) ",\"command\":" Q(command))
#define CONTENT(t, s, tag, token) \
	IMAP(t, s, "\"sent\":" Q(tag) ",\"token\":" Q(token) ",\"sha256\":\"aa\",\"bytes\":99")
#define TELL(t, s, list)       IMAP(t, s, "\"told\":[" list "]")
#define GOT(t, s, tag, status) IMAP(t, s, "\"done\":" Q(tag) ",\"status\":" Q(status))
#define GOT_CODE(t, s, tag, status, code) \
	IMAP(t, s, "\"done\":" Q(tag) ",\"status\":" Q(status) ",\"code\":" Q(code))
#define CLOSED(t, s, why) IMAP(t, s, "\"closed\":" Q(why))

#define EXISTS(n)	     "{\"exists\":" #n "}"
#define GONE(n)		     "{\"expunge\":" #n "}"
#define VANISH(set)	     "{\"vanished\":" Q(set) "}"
#define EARLIER(set)	     "{\"vanished\":" Q(set) ",\"earlier\":true}"
#define CODE(text)	     "{\"code\":" Q(text) "}"
#define STATUS(next)	     "{\"status\":\"INBOX\",\"messages\":3,\"uidvalidity\":7,\"uidnext\":" #next "}"
#define FETCH(n, uid, flags) "{\"fetch\":" #n ",\"uid\":" #uid ",\"flags\":" Q(flags) "}"
#define MODSEQ(n, uid, flags, modseq) \
	"{\"fetch\":" #n ",\"uid\":" #uid ",\"flags\":" Q(flags) ",\"modseq\":" #modseq "}"
#define BODY(n, uid, token, sha)                                                  \
	"{\"fetch\":" #n ",\"uid\":" #uid ",\"section\":\"BODY[]\",\"token\":" Q( \
		token) ",\"sha256\":" Q(sha) ",\"bytes\":99,\"whole\":true}"
#define NIL_BODY(n, uid) "{\"fetch\":" #n ",\"uid\":" #uid ",\"section\":\"BODY[]\",\"nil\":true}"

/* INBOX of UIDVALIDITY 7 with UIDs 1, 2, 3 and no flags, listed; UIDNEXT 4, HIGHESTMODSEQ 20. */
#define SELECTED_BY(t, s, verb)                                                            \
	SAY(t, s, "r2", verb)                                                              \
	TELL(t, s,                                                                         \
		EXISTS(3) "," CODE("UIDVALIDITY 7") "," CODE("UIDNEXT 4") "," CODE(        \
			"HIGHESTMODSEQ "                                                   \
			"20"))                                                             \
	GOT(t, s, "r2", "OK")                                                              \
	SAY(t, s, "r3", "UID FETCH 1:* (FLAGS)")                                           \
	TELL(t, s, MODSEQ(1, 1, "", 10) "," MODSEQ(2, 2, "", 11) "," MODSEQ(3, 3, "", 12)) \
	GOT(t, s, "r3", "OK")
#define OPENED(s, who) LOGIN(s, who) SELECTED_BY(2, s, "SELECT INBOX")

/* The read-back at the end. */
#define LAST_BOX(name, validity, next)                                    \
	"{\"t\":800,\"ev\":\"box\",\"user\":\"u1\",\"mailbox\":" Q(       \
		name) ",\"uidvalidity\":" #validity ",\"uidnext\":" #next \
		      ",\"highestmodseq\":0,\"messages\":1}\n"
#define LAST_IN(name, validity, uid, flags, token, sha)                               \
	"{\"t\":801,\"ev\":\"copy\",\"user\":\"u1\",\"mailbox\":" Q(                  \
		name) ",\"uidvalidity\":" #validity ",\"uid\":" #uid                  \
		      ",\"flags\":" Q(flags) ",\"token\":" Q(token) ",\"sha256\":" Q( \
			      sha) ",\"bytes\":99,"                                   \
				   "\"whole\":true}\n"
#define LAST(uid, flags, token, sha) LAST_IN("INBOX", 7, uid, flags, token, sha)
