#include "smtp.h"

#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_MS 600000

/* The code of a whole reply, 0 when none came. */
static int read_reply(struct conn *conn, char reply[LINE_MAX_BYTES])
{
	do {
		int rc = conn_line(conn, reply, LINE_MAX_BYTES, REPLY_MS);

		if (rc < 3)
			return 0;
	} while (reply[3] == '-');
	return atoi(reply);
}

static int say_and_read(
	struct conn *conn, char reply[LINE_MAX_BYTES], const char *fmt, const char *arg)
{
	struct bytes line = {0};
	int rc;

	bytes_addf(&line, "%s%s%s\r\n", fmt, arg, strchr(fmt, '<') ? ">" : "");
	rc = conn_write(conn, line.data, line.len);
	bytes_free(&line);
	return rc ? 0 : read_reply(conn, reply);
}

static int send_content(struct conn *conn, const struct bytes *mail, char reply[LINE_MAX_BYTES])
{
	const char *at = mail->data, *end = at + mail->len;
	struct bytes out = {0};
	int rc;

	while (at && at < end) {
		const char *next = memchr(at, '\n', (size_t)(end - at));

		next = next ? next + 1 : end;
		if (*at == '.')
			bytes_add(&out, ".", 1);
		bytes_add(&out, at, (size_t)(next - at));
		at = next;
	}
	if (mail->len && mail->data[mail->len - 1] != '\n')
		bytes_add(&out, "\r\n", 2);
	bytes_add(&out, ".\r\n", 3);
	rc = conn_write(conn, out.data, out.len);
	bytes_free(&out);
	return rc ? 0 : read_reply(conn, reply);
}

/* To a relay that is not asked for notifications itself, who wants none says so by the null return path (RFC 3461,
 * 5.2.2). */
static int transaction(struct conn *conn, const struct bytes *mail, const char *from,
	const char *rcpt, char reply[LINE_MAX_BYTES])
{
	int code = read_reply(conn, reply);

	if (code / 100 == 2)
		code = say_and_read(conn, reply, "EHLO store", "");
	if (code / 100 == 2)
		code = say_and_read(conn, reply, "MAIL FROM:<", rcpt[0] == NEVER ? "" : from);
	if (code / 100 == 2)
		code = say_and_read(conn, reply, "RCPT TO:<", plain_address(rcpt));
	if (code / 100 == 2)
		code = say_and_read(conn, reply, "DATA", "");
	if (code == 354)
		code = send_content(conn, mail, reply);
	return code;
}

int remote_deliver(
	const struct bytes *mail, const char *from, const char *rcpt, char reply[LINE_MAX_BYTES])
{
	struct conn *conn;
	int fd = connect_tcp(config_relay_host(), config_relay_port()), code;

	reply[0] = '\0';
	if (fd < 0)
		return 0;
	conn = must_zero(sizeof(*conn));
	conn_open(conn, fd);
	code = transaction(conn, mail, from, rcpt, reply);
	if (code)
		conn_printf(conn, "QUIT\r\n");
	conn_close(conn);
	free(conn);
	return code;
}
