/* What the parts of the fake store share: store.c (life), store_box.c (mailboxes), store_queue.c,
 * and one file per protocol. One lock guards all; no call to the outside is made under it. */
#pragma once

#include "mail/line.h"
#include "mail/mail.h"
#include "tests/fake/store.h"

#include <pthread.h>

#define FAKE_IDLE_MS   300000
#define FAKE_LINE_MAX  8192
#define FAKE_RCPTS_MAX 100

enum fake_flag {
	FLAG_SEEN = 1,
	FLAG_ANSWERED = 2,
	FLAG_FLAGGED = 4,
	FLAG_DELETED = 8,
	FLAG_DRAFT = 16,
};

struct fake_mail {
	uint32_t uid;
	unsigned int flags;
	uint64_t modseq;
	uint32_t uidl;				/* added to the uid in its UIDL */
	bool listed;				/* by a POP3 session */
	bool partial, doubled, hidden, renamed; /* its file, by a bug */
	struct buf text;			/* never changed once in a box */
};

struct fake_gone { /* an expunged message */
	uint32_t uid;
	uint64_t modseq;
};

struct fake_box {
	char *user, *name;
	uint32_t uidvalidity, uidnext;
	uint64_t modseq;	  /* the highest */
	struct fake_mail **mails; /* by uid */
	size_t count;
	struct fake_gone *gone;
	size_t gone_count;
	bool locked; /* by a POP3 session */
	bool litter; /* half a message in new/ */
};

struct fake_entry { /* of the queue; `to` shrinks as recipients are done */
	unsigned int id;
	char *from;
	char **to;
	size_t to_count;
	struct buf text;
	char token[64];
	int64_t next_ns; /* CLOCK_NEVER: stuck */
	bool active, deferred;
};

struct fake_session {
	struct fake *fake;
	enum fake_service service;
	struct line line;
	pthread_t thread;
	bool used, done;
};

struct fake_point_rule { /* who comes by `point` stands still; "": nobody */
	char point[64];
	uint32_t hit, calls, hits, parked;
	uint64_t fired;
};

struct fake {
	struct fake_opts opts;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool running, stopping, killed;
	unsigned int starts; /* so far */
	bool frozen, disabled, silent, hold;
	unsigned int freeze_waiters;
	size_t leaked;	 /* sessions that a bug left behind */
	char broken[64]; /* the user to whom nothing can be delivered, "" none */

	struct {
		unsigned int nth, seen;
		bool only_hurt, fired;
	} bugs[FAKE_BUGS];
	struct fake_death deaths[FAKE_DEATHS_MAX];
	size_t death_count;

	int listen_fds[FAKE_SERVICES];
	uint16_t ports[FAKE_SERVICES];
	int wake_fd;
	pthread_t acceptor, runner;
	struct line_group group;
	struct fake_session sessions[FAKE_SESSIONS_MAX];
	size_t live; /* threads of sessions, and the runner */

	struct fake_box **boxes;
	size_t box_count;
	struct fake_entry **queue;
	size_t queue_count;
	unsigned int next_id;
	struct fake_unflushed *unflushed; /* in the order of their writing */
	size_t unflushed_count;
	bool sync_fails;
	bool beyond_help;		/* after a power cut */
	struct fake_snapshot *snapshot; /* store_snapshot.c */
	struct fake_point_rule rules[FAKE_RULES_MAX];
};

int64_t fake_now(const struct fake *fake);
bool fake_fires_locked(struct fake *fake, enum fake_bug bug, bool hurt);
bool fake_lasts_locked(struct fake *fake, enum fake_bug bug); /* it fires, or fired before */

/* Before anything is written: waits while frozen. 0, or -ECANCELED when the store ends. */
int fake_write_gate(struct fake *fake, bool *ret_hurt);
void fake_hang(struct fake *fake);  /* until the store is stopped */
void fake_stall(struct fake *fake); /* while delivery is disabled, if that bug is planted */
void fake_die(struct fake *fake, const char *program);
void fake_tell_attempt(struct fake *fake, const struct fake_attempt *attempt);
const char *fake_result(int code);

/* Mailboxes: all but fake_deliver() are called under the lock. */
bool fake_is_user(const struct fake *fake, const char *user, size_t len);
char *fake_user_of(const struct fake *fake, const char *address); /* NULL: not ours; caller frees */
struct fake_box *fake_box_find(struct fake *fake, const char *user, const char *name);
struct fake_box *fake_box_make(struct fake *fake, const char *user, const char *name);
uint32_t fake_box_add(struct fake_box *box, const char *bytes, size_t len, unsigned int flags);
struct fake_mail *fake_box_mail(struct fake_box *box, uint32_t uid);
void fake_box_drop(struct fake_box *box, uint32_t uid);
void fake_box_free(struct fake_box *box);
void fake_boxes_restart(struct fake *fake); /* as the store starts */

/* One copy into the user's INBOX, with its gate and bugs: 250, 451, or a negative errno. */
int fake_deliver(struct fake *fake, const char *user, const char *bytes, size_t len);

void fake_enqueue(struct fake *fake, const char *from, char *const *to, size_t to_count,
	const struct buf *text, const char *token);    /* takes the lock */
void fake_point(struct fake *fake, const char *point); /* takes the lock */
/* store_power.c; each takes the lock. What is not flushed is gone after a power cut. */
void fake_not_flushed(struct fake *fake, const char *token, bool copies_only);
bool fake_sync_fails(struct fake *fake); /* and the store heeds it */
void fake_power_free(struct fake *fake);
void fake_snapshot_free(struct fake *fake);

void fake_entry_free(struct fake_entry *entry);
void *fake_queue_run(void *fake);

void fake_smtp(struct fake_session *session); /* SMTP and LMTP */
const char *fake_imap_bug_name(enum fake_bug bug);
void fake_imap(struct fake_session *session);
void fake_pop3(struct fake_session *session);

void fake_idle_deadline(struct fake_session *session);
