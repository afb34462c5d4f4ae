/* Lines of looks at Maildirs for the tables of M1 to M4. */
#pragma once

#include "tests/unit/oracle_table.h"

#define FILE_OF(look, base, info, token, sha, whole)                                            \
	"{\"t\":5,\"ev\":\"file\",\"look\":" #look ",\"user\":\"u1\",\"folder\":\"INBOX\","     \
	"\"where\":\"cur\",\"base\":" Q(base) ",\"info\":" Q(info) ",\"bytes\":9,\"token\":" Q( \
		token) ",\"sha256\":" Q(sha) ",\"whole\":" #whole "}\n"
/* Message `token`, of the body that was sent. */
#define GOOD(look, base, token) FILE_OF(look, base, ":2,", token, "aa", true)
#define LOOK(t, look, when) \
	"{\"t\":" #t ",\"ev\":\"look\",\"look\":" #look ",\"when\":" Q(when) ",\"files\":1}\n"
#define RUNNING(look) LOOK(6, look, "running")
#define STOPPED(look) LOOK(90, look, "stopped")
#define SENT	      WORK SEND(1, "m1", "u1@store") SEND(2, "m2", "u1@store")
#define DIED	      "{\"t\":4,\"ev\":\"died\",\"program\":\"lmtp\",\"signal\":11}\n"
/* This store changes no body. */
#define SAME WORK SEND(1, "m9", "u1@store") COPY("m9", "u1") END
