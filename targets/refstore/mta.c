/*
 * The MTA service: asked to flush the mail in transit for a mailbox ("FLUSH USER"), it calls its peer, the
 * relay, has the SMTP service try all that is queued at once, and answers. Its listener is the manager's, so that a
 * client of an MTA that does not run waits in the listener's queue.
 */
#include "common.h"
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS_MAX 64
#define ANSWER_MS   60000

static int kick(void)
{
	struct conn *conn = must_zero(sizeof(*conn));
	int fd = connect_unix(config_path(SMTP_SOCKET)), rc = fd < 0 ? fd : 0;
	char line[256];

	conn_open(conn, fd);
	if (!rc)
		rc = conn_printf(conn, "KICK\n");
	if (!rc)
		rc = conn_line(conn, line, sizeof(line), ANSWER_MS);
	conn_close(conn);
	free(conn);
	return rc < 0 ? rc : 0;
}

/* The next MTA is there: its greeting and its goodbye. */
static int call_peer(void)
{
	struct conn *conn = must_zero(sizeof(*conn));
	int fd = connect_tcp(config_relay_host(), config_relay_port()), rc = fd < 0 ? fd : 0;
	char line[LINE_MAX_BYTES];

	conn_open(conn, fd);
	if (!rc)
		rc = conn_line(conn, line, sizeof(line), ANSWER_MS);
	if (rc >= 0)
		rc = conn_printf(conn, "QUIT\r\n");
	if (rc >= 0)
		rc = conn_line(conn, line, sizeof(line), ANSWER_MS);
	conn_close(conn);
	free(conn);
	return rc < 0 ? rc : 0;
}

static const char *flush(void)
{
	int rc = call_peer();

	return kick() || rc ? "NO\n" : "OK\n";
}

static void serve(int fd)
{
	struct conn *conn = must_zero(sizeof(*conn));
	char line[LINE_MAX_BYTES];

	conn_open(conn, fd);
	while (conn_line(conn, line, sizeof(line), ANSWER_MS) >= 0 &&
		!conn_printf(conn, "%s", strncmp(line, "FLUSH ", 6) ? "NO\n" : flush()))
		;
	conn_close(conn);
	free(conn);
}

int main(void)
{
	struct service service = {
		.name = "mta", .fd = LISTEN_FD, .max = CLIENTS_MAX, .serve = serve};

	log_open("mta");
	block_term();
	service_start(&service);
	say("ready");
	wait_for_term();
	say("stopped");
	_exit(0);
}
