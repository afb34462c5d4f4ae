#include "move.h"

#include "common.h"
#include "config.h"
#include "db.h"
#include "settings.h"
#include "task.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MTA_ANSWER_MS (150 * 60 * 1000) /* how long the MTA may take to flush */

/* Ask the MTA, and wait for its answer. */
static int mta_request(const char *user)
{
	struct conn *conn = must_zero(sizeof(*conn));
	int fd = connect_unix(config_path(MTA_SOCKET)), rc = fd < 0 ? fd : 0;
	char line[256];

	conn_open(conn, fd);
	if (!rc)
		rc = conn_printf(conn, "FLUSH %s\n", user);
	if (!rc)
		rc = conn_line(conn, line, sizeof(line), MTA_ANSWER_MS);
	conn_close(conn);
	free(conn);
	return rc < 0 ? rc : 0;
}

/* A task: mail for the moved mailbox that is still in transit is to be delivered to the new place. */
static void flush_in_transit(void *arg)
{
	char *user = arg;
	int rc = mta_request(user);

	say("flush in transit for %s: %s", user, rc ? strerror(-rc) : "ok");
	free(user);
}

/*
 * As shipped every move registers its flush task. The hotfix looks for the administrator's sign that
 * the gateway is switched off, and registers none then.
 */
int move_mailbox(const char *user)
{
	int rc = db_user_move(user, "second");
	char *copy;

	if (rc || (!setting(SET_F4) && !setting(SET_GATEWAY_OUT_THREADS)))
		return rc;
	copy = must_copy(user);
	rc = task_post(flush_in_transit, copy);
	if (rc)
		free(copy);
	return rc;
}
