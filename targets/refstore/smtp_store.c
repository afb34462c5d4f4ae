#include "smtp.h"

#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOR_EVER (-1) /* the store may be frozen for as long as it likes */

static int read_rest(struct conn *conn, const char *reply, struct bytes *rest)
{
	char line[LINE_MAX_BYTES];
	unsigned long len;
	int rc;

	if (sscanf(reply, "OK %lu", &len) == 1) {
		char *data;

		if (len > 2 * (unsigned long)MAIL_MAX_BYTES)
			return -E2BIG;
		data = must_zero(len + 1);
		rc = conn_read(conn, data, len, FOR_EVER);
		bytes_add(rest, data, len);
		free(data);
		return rc;
	}
	for (;;) {
		rc = conn_line(conn, line, sizeof(line), FOR_EVER);
		if (rc < 0 || !strcmp(line, "."))
			return rc < 0 ? rc : 0;
		bytes_addf(rest, "%s\n", line);
	}
}

static int exchange(struct conn *conn, const char *line, const struct bytes *more,
	char reply[LINE_MAX_BYTES], struct bytes *rest)
{
	int code;

	if (conn_printf(conn, "%s\n", line) || (more && conn_write(conn, more->data, more->len)) ||
		conn_line(conn, reply, LINE_MAX_BYTES, FOR_EVER) < 0)
		return STORE_LOST;
	if (sscanf(reply, "NO %d", &code) == 1)
		return code;
	if (strncmp(reply, "OK", 2) || (rest && read_rest(conn, reply, rest)))
		return STORE_LOST;
	return 250;
}

int store_ask(
	const char *line, const struct bytes *more, char reply[LINE_MAX_BYTES], struct bytes *rest)
{
	struct conn *conn;
	int fd = connect_unix(config_path(STORE_SOCKET)), rc;

	reply[0] = '\0';
	if (fd < 0)
		return STORE_DOWN;
	conn = must_zero(sizeof(*conn));
	conn_open(conn, fd);
	rc = exchange(conn, line, more, reply, rest);
	conn_close(conn);
	free(conn);
	return rc;
}
