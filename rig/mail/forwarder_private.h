/* What forwarder.c (life, modes, counts), forwarder_conn.c (one connection) and forwarder_hurt.c (what is done to
 * its dialogue) share. */
#pragma once

#include "base/buf.h"
#include "mail/forwarder.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

enum conn_state {
	CONN_FORWARDING,
	CONN_HELD,	 /* silent; may become any other */
	CONN_BLACK_HOLE, /* silent for good */
	CONN_CUT,	 /* to be reset now */
};

/* What may be done with bytes of the server now. */
enum hurt_order {
	HURT_PASS,  /* `bytes` of them may go */
	HURT_WAIT,  /* none, until `until_ns` or the connection is told something */
	HURT_RESET, /* both sides */
	HURT_END,   /* FIN to the client, and the rest is thrown away */
};

/* How far a dialogue is; of the connection's thread. */
struct hurt {
	enum forwarder_mode mode;
	int64_t delay_ms;
	uint32_t replies; /* after the dot that pass */
	bool greeted;	  /* the banner has begun to pass */
	bool in_content;
	bool after_dot; /* what the server says next answers the dot */
	bool met;	/* this banner or dot is counted */
	bool released;	/* the mode is over, late */
	size_t tail;	/* bytes of CRLF . CRLF that have been seen */
	uint32_t replies_seen;
	unsigned int column; /* in the server's line */
	bool last_of_reply;  /* its fourth byte was a blank */
	char code[3];	     /* its first three */
	int64_t until_ns;
};

struct forwarder_conn {
	struct forwarder *forwarder;
	int client_fd, upstream_fd; /* of the connection's thread */
	int64_t delay_ms;	    /* of each chunk; 0: none */
	struct hurt hurt;
	bool released;	       /* a mode that holds replies is over: they go now; under the lock */
	int wake_fd;	       /* eventfd: `state` changed */
	enum conn_state state; /* under the lock */
	pthread_t thread;
	bool used; /* has a thread to be joined; under the lock */
	bool done; /* that thread has ended; under the lock */
};

struct forwarder {
	struct forwarder_opts opts;
	pthread_t thread;
	int wake_fd; /* eventfd: mode changed, connection ended, stop */
	struct sockaddr_storage address;
	socklen_t address_len;

	pthread_mutex_t lock;
	bool stopping;
	bool closed; /* nobody listens */
	struct forwarder_change now;
	struct forwarder_counts counts;
	struct forwarder_conn slots[FORWARDER_CONNECTIONS_MAX];
};

void *forwarder_conn_run(void *conn); /* the thread of a connection */
void forwarder_reset_fd(int *fd);     /* close with RST; -1 is fine */

/* forwarder_hurt.c: the client has said these bytes, and they go to the server. */
void hurt_said(struct hurt *hurt, const char *bytes, size_t len);
/* The server has said these bytes; what may be done with them, and with how many. Asked again for the rest. `*ret_met`
 * is set when this banner or dot has just met the mode. */
enum hurt_order hurt_answered(
	struct hurt *hurt, const char *bytes, size_t len, size_t *ret_bytes, bool *ret_met);
