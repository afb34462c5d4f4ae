/* Where things are: from the environment, so that a test can run a whole store in a folder. */
#pragma once

/* A path below REFSTORE_DIR (/var/lib/refstore); good until the thread asks for the next. */
const char *config_path(const char *name);
const char *config_mail_dir(void);   /* REFSTORE_MAIL, /srv/mail/refstore: database and log */
const char *config_address(void);    /* REFSTORE_ADDRESS, 0.0.0.0 */
int config_port(int port);	     /* plus REFSTORE_PORT_OFFSET */
const char *config_relay_host(void); /* REFSTORE_RELAY_HOST, sink.rig: takes mail for elsewhere */
const char *config_relay_port(void); /* REFSTORE_RELAY_PORT, 25 */

#define STORE_SOCKET   "store.sock"
#define SMTP_SOCKET    "smtp.sock"
#define MTA_SOCKET     "mta.sock"
#define MANAGER_SOCKET "manager.sock"
#define LISTEN_FD      3 /* the MTA and the SMTP service inherit their listener from the manager */
