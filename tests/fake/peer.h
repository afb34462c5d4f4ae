/*
 * The other end of a client under test: a thread that plays a script on a socket pair.
 *
 *	"> text"  send the text, CRLF added	">>text"  send it as it is
 *	"< word"  read a line that begins so	"."	   read lines up to a lone dot
 *	"!close"  close				"!hang"	   read and ignore until the client closes
 *
 * The end of the script closes. peer_end() joins the thread; `wrong` then says what did not come.
 */
#pragma once

#include "base/buf.h"
#include "mail/line.h"

struct peer {
	struct line line;
	const char *const *script; /* NULL-terminated */
	pthread_t thread;
	struct buf got; /* every line the client sent, as it came */
	char wrong[256];
};

int peer_start(struct peer *peer, const char *const *script); /* the client's descriptor */
void peer_end(struct peer *peer);
void peer_free(struct peer *peer);
