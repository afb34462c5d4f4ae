/*
 * The administrator's program.
 *	refctl stop | services | start SERVICE | halt SERVICE		by the manager
 *	refctl queue							by the SMTP service
 *	refctl set NAME VALUE						both services and the file
 *	refctl mount | dismount | freeze | thaw | status | figures | move USER | useradd USER | userdel USER |
 *	       mboxdel USER MAILBOX					by the store
 * Ends with 0 when the answer is OK.
 */
#include "common.h"
#include "config.h"
#include "settings.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOR_EVER (-1)

/* Ask, print what comes until "OK" or "NO". */
static int ask(const char *socket, const char *line)
{
	struct conn *conn = must_zero(sizeof(*conn));
	int fd = connect_unix(config_path(socket)), rc = 1;
	char text[LINE_MAX_BYTES];

	if (fd < 0) {
		fprintf(stderr, "refctl: %s: %s\n", socket, strerror(-fd));
		free(conn);
		return 1;
	}
	conn_open(conn, fd);
	conn_printf(conn, "%s\n", line);
	while (conn_line(conn, text, sizeof(text), FOR_EVER) >= 0) {
		bool ok = !strncmp(text, "OK", 2), no = !strncmp(text, "NO ", 3);

		if (!ok || text[2])
			fprintf(no ? stderr : stdout, "%s\n", text);
		if (ok || no) {
			rc = !ok;
			break;
		}
	}
	conn_close(conn);
	free(conn);
	return rc;
}

/* Before the start there is only the file. */
static int set(const char *name, const char *value, const char *line)
{
	const char *path = config_path("settings");

	settings_load(path);
	if (setting_set(name, value)) {
		fprintf(stderr, "refctl: '%s %s' is no setting\n", name, value);
		return 1;
	}
	if (settings_save(path)) {
		fprintf(stderr, "refctl: cannot write '%s'\n", path);
		return 1;
	}
	if (connect_unix(config_path(MANAGER_SOCKET)) < 0)
		return 0;
	return ask(STORE_SOCKET, line) | ask(SMTP_SOCKET, line);
}

static const char *socket_of(const char *verb)
{
	static const char *const managers[] = {"stop", "services", "start", "halt"};

	for (size_t i = 0; i < sizeof(managers) / sizeof(managers[0]); i++)
		if (!strcmp(verb, managers[i]))
			return MANAGER_SOCKET;
	return strcmp(verb, "queue") ? STORE_SOCKET : SMTP_SOCKET;
}

int main(int argc, char **argv)
{
	struct bytes line = {0};
	int rc;

	if (argc < 2 || argc > 4) {
		fprintf(stderr, "usage: refctl VERB [WORD...]\n");
		return 64;
	}
	for (const char *p = argv[1]; *p; p++) {
		char c = (char)toupper((unsigned char)*p);

		bytes_add(&line, &c, 1);
	}
	for (int i = 2; i < argc; i++)
		bytes_addf(&line, " %s", argv[i]);
	rc = !strcmp(argv[1], "set") && argc == 4 ? set(argv[2], argv[3], line.data)
						  : ask(socket_of(argv[1]), line.data);
	bytes_free(&line);
	return rc;
}
