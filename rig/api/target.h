/*
 * A target: a mail store under test, as its target.yaml describes it. Loaded whole and immutable
 * afterwards: any thread may read it. Everything in it is owned by the struct; target_free()
 * releases it. Lists are counted arrays; a missing optional text is NULL, a missing optional time
 * is TIME_UNSET.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIME_UNSET (-1)

struct text_list {
	char **at;
	size_t count;
};

void text_list_free(struct text_list *list); /* what it holds */
bool text_list_has(const struct text_list *list, const char *text);

enum protocol {
	PROTOCOL_SMTP,
	PROTOCOL_LMTP,
	PROTOCOL_IMAP,
	PROTOCOL_POP3,
	PROTOCOL_HTTP,
	PROTOCOL_ADMIN,
};
const char *protocol_name(enum protocol protocol);
int protocol_from_name(const char *name); /* enum protocol, or -EINVAL */

/* How the rig sees the traffic of a service: laws that need a hop which is hidden answer "cannot
 * tell". */
enum seen {
	SEEN_NIC,    /* crosses the NIC, captured */
	SEEN_RELAY,  /* crosses the NIC twice, through the rig's forwarder, which can hurt it */
	SEEN_HIDDEN, /* inside the guest */
};
const char *seen_name(enum seen seen);

struct disk {
	char *name;  /* file-system label and virtio serial */
	char *mount; /* absolute path in the guest */
	uint64_t size_bytes;
	bool quota; /* its file system counts what each user has */
};

struct service {
	char *name;
	enum protocol protocol;
	uint16_t port; /* in the guest */
	enum seen seen;
	bool starttls; /* it offers STARTTLS */
};

/* A command of the target: a shell line run in the guest as root by the witness. */
struct target_command {
	char *name; /* provision configure start stop user_add queue_list ... */
	char *line;
};

/* A part of the store that can be disabled, its way back, and who may suffer meanwhile (law H3). */
struct agent {
	char *name;
	char *stop, *start; /* may be NULL */
	char *crash;	    /* ends it without a word; `start` is its way back; may be NULL */
	char *switch_off, *switch_on; /* the administrator's own switch, may be NULL */
	char *socket; /* unix socket in the guest where requests for it wait, may be NULL */
	struct text_list needed_by; /* services, agents and commands */
	int line;		    /* of needed_by in the file, for reports */
};

#define ROLE_PROGRAMS_MAX 64

struct role {
	char *name;
	struct text_list programs; /* whole paths in the guest */
};

struct path_set {
	char *name;
	struct text_list globs; /* ** = any depth, {user} = any user or the one the step names */
};

/* A place that scenarios know by a word, as this store's own call or point: who makes it, on what. */
struct named_point {
	char *name;		    /* one of target_point_words */
	char *point;		    /* posix/io/dir/rename, or of the store's own */
	char *role, *path, *caller; /* may be NULL */
};

/* Something that the target cannot have, and why: told beside the SKIP. */
struct lack {
	char *what; /* as the SKIP names it: "role 'filter'" */
	char *because;
};

struct target_log {
	char *path;
	char *alarm; /* extended regular expression, or NULL */
};

struct exception {
	char *law, *only, *because, *see; /* only and see may be NULL */
};

struct timers { /* the store's own, milliseconds, TIME_UNSET where not given */
	int64_t retry_first_ms, retry_longest_ms, give_up_ms, agent_silent_ms, stuck_worker_ms;
};

struct objectives { /* milliseconds; TIME_UNSET or 0 where not given */
	int64_t reply_ms, recover_ms, drain_ms, stop_ms, idle_push_ms, slowdown_floor_ms;
	uint32_t slowdown; /* times the baseline's p99; 0 = not given */
};

struct target {
	char *name; /* the folder's name */
	char *dir;  /* the folder */
	char *summary;
	char *image; /* folder of vm-images/ */
	uint64_t memory_bytes;
	uint32_t cpus;
	char *capture; /* BPF expression: which frames of the NIC the rig looks at and keeps; NULL: all */
	int64_t ready_within_ms;
	struct text_list users; /* address USER@store, password = USER */
	struct disk *disks;
	size_t disk_count;
	struct service *services;
	size_t service_count;
	struct target_command *commands;
	size_t command_count;
	struct agent *agents;
	size_t agent_count;
	struct role *roles;
	size_t role_count;
	struct path_set *paths;
	size_t path_count;
	struct named_point *points;
	size_t point_count;
	struct lack *lacks;
	size_t lack_count;
	struct timers timers;
	uint32_t sessions_per_user; /* limits; 0 = none known */
	uint32_t deliveries;
	struct text_list survives_power_cut;
	struct target_log *logs;
	size_t log_count;
	struct objectives objectives;
	struct exception *exceptions;
	size_t exception_count;
	struct text_list unreached; /* programs of roles whose calls no fault reaches, as planned */
	struct text_list
		settings; /* "NAME=VALUE" chosen for a run, for the command `configure`; never in
				      the file, and taken away before anything is judged */
};

void target_free(struct target *target);

/* Finders: NULL where the target has none of that name. */
const char *target_command(const struct target *target, const char *name);
const struct service *target_service(const struct target *target, const char *name);
const struct service *target_service_by(const struct target *target, enum protocol protocol);
const struct disk *target_disk(const struct target *target, const char *name);
const struct agent *target_agent(const struct target *target, const char *name);
const struct role *target_role(const struct target *target, const char *name);
/* The role's programs, NULL-terminated, as a bed wants them: borrowed, and no more than there is room for. */
void role_programs(const struct role *role, const char *ret[ROLE_PROGRAMS_MAX + 1]);
const struct path_set *target_paths(const struct target *target, const char *name);
const struct named_point *target_point(const struct target *target, const char *name);
const char *target_lack(const struct target *target, const char *what); /* why, borrowed */

/* The words for points that scenarios may use and a target may map. */
struct point_word {
	const char *name, *summary;
};
extern const struct point_word target_point_words[]; /* {NULL, NULL} at the end */
bool target_point_known(const char *name);

/* Scenario over target over the rig's defaults, nothing unset in the result. */
struct objectives objectives_resolve(
	const struct objectives *scenario, const struct objectives *target);
