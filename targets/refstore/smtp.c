/* The SMTP service's main, and its control socket: QUEUE, KICK, SET NAME VALUE. */
#include "smtp.h"

#include "config.h"
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SESSIONS_MAX 64
#define FOR_EVER     (-1)

static void command(struct conn *conn, const char *line)
{
	char name[64], value[64];
	struct bytes out = {0};
	const char *answer = "OK";

	if (!strcmp(line, "QUEUE"))
		queue_list(&out);
	else if (!strcmp(line, "KICK"))
		queue_kick();
	else if (sscanf(line, "SET %63s %63s", name, value) != 2 || setting_set(name, value))
		answer = "NO 500 no such command or setting";
	bytes_addf(&out, "%s\n", answer);
	conn_write(conn, out.data, out.len);
	bytes_free(&out);
}

static void control_serve(int fd)
{
	struct conn *conn = must_zero(sizeof(*conn));
	char line[LINE_MAX_BYTES];

	conn_open(conn, fd);
	while (conn_line(conn, line, sizeof(line), FOR_EVER) >= 0)
		command(conn, line);
	conn_close(conn);
	free(conn);
}

int main(void)
{
	struct service control = {.name = "control", .max = SESSIONS_MAX, .serve = control_serve};
	struct service smtp = {
		.name = "smtp", .fd = LISTEN_FD, .max = SESSIONS_MAX, .serve = smtp_serve};

	log_open("smtp");
	block_term();
	settings_load(config_path("settings"));
	control.fd = listen_unix(config_path(SMTP_SOCKET));
	if (control.fd < 0) {
		say("fatal: cannot listen: %s", strerror(-control.fd));
		return 1;
	}
	track_start();
	queue_start();
	service_start(&control);
	service_start(&smtp);
	say("ready");
	wait_for_term();
	say("stopping");
	handling_stop();
	say("stopped");
	_exit(0);
}
