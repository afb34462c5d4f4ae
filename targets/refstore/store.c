/*
 * The store service: mailboxes, conversion, notifications, task threads. IMAP, POP3 and web mail for
 * people; a control socket for the SMTP service and the administrator, one line a command:
 *
 *	SUBMIT <FROM> RCPTS BYTES	then that many lines and bytes: OK ID
 *	DELIVER ID RCPT USER | DONE ID RCPT | BOUNCE ID RCPT REASON... | GET ID | LIST | USER NAME
 *	MOUNT | DISMOUNT | FREEZE | THAW | MOVE USER | USERADD USER | USERDEL USER
 *	MBOXDEL USER MAILBOX | SET NAME VALUE | STATUS | FIGURES
 *
 * Answers: OK ..., NO CODE TEXT. What mail needs runs in the task pool; what the administrator asks
 * runs on the connection's thread.
 */
#include "common.h"
#include "config.h"
#include "control.h"
#include "db.h"
#include "imap.h"
#include "pop3.h"
#include "settings.h"
#include "task.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SESSIONS_MAX 64

static void listen_on(const char *name, int port, void (*serve)(int fd))
{
	struct service service = {.name = name, .max = SESSIONS_MAX, .serve = serve};

	service.fd = listen_tcp(config_address(), config_port(port));
	if (service.fd < 0) {
		say("fatal: cannot listen for %s: %s", name, strerror(-service.fd));
		exit(1);
	}
	service_start(&service);
}

int main(void)
{
	struct service control = {.name = "control", .max = SESSIONS_MAX, .serve = control_serve};

	log_open("store");
	block_term();
	settings_load(config_path("settings"));
	tasks_start();
	control.fd = listen_unix(config_path(STORE_SOCKET));
	if (control.fd < 0 || db_open(config_mail_dir())) {
		say("fatal: cannot open '%s'", config_mail_dir());
		return 1;
	}
	if (db_mount())
		say("warning: the store is not mounted");
	service_start(&control);
	listen_on("imap", 143, imap_serve);
	listen_on("pop3", 110, pop3_serve);
	listen_on("web", 80, web_serve);
	say("ready");
	wait_for_term();
	say("stopping");
	db_dismount();
	say("stopped");
	_exit(0);
}
