/* What forwarder.c (life, modes, counts) and forwarder_conn.c (one connection) share. */
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

struct forwarder_conn {
	struct forwarder *forwarder;
	int client_fd, upstream_fd; /* of the connection's thread */
	int64_t delay_ms;	    /* of each chunk; 0: none */
	int wake_fd;		    /* eventfd: `state` changed */
	enum conn_state state;	    /* under the lock */
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
