/* What the files of the target loader share. Private to rig/run/plan/target_*.c. */
#pragma once

#include "run/plan/scenario_parts.h"
#include "run/plan/target_load.h"

struct raw_disk {
	char *name, *mount, *size, *quota;
};

struct raw_service {
	char *name, *protocol, *port, *seen, *tls;
};

struct raw_agent {
	char *name, *stop, *start, *crash, *switch_off, *switch_on, *socket;
	char **needed_by;
	unsigned int needed_by_count;
};

struct raw_point {
	char *name, *point, *role, *path, *caller;
};

struct raw_lack {
	char *what, *because;
};

struct raw_log {
	char *path, *alarm;
};

struct raw_exception {
	char *law, *only, *because, *see;
};

struct raw_timers {
	char *retry_first, *retry_longest, *give_up, *agent_silent, *stuck_worker;
};

struct raw_limits {
	char *sessions_per_user, *deliveries;
};

/* Keys of `commands`, `roles` and `paths`: the words that scenarios may use, one table each. */
#define TARGET_COMMANDS(X)    \
	X(provision)          \
	X(configure)          \
	X(start)              \
	X(stop)               \
	X(version)            \
	X(user_add)           \
	X(user_delete)        \
	X(mailbox_delete)     \
	X(mailbox_expire)     \
	X(move_mailbox)       \
	X(queue_list)         \
	X(queue_count)        \
	X(queue_show)         \
	X(queue_delete)       \
	X(queue_hold)         \
	X(queue_release)      \
	X(freeze)             \
	X(thaw)               \
	X(mount)              \
	X(dismount)           \
	X(reload)             \
	X(restored)           \
	X(revive)             \
	X(rotate_logs)        \
	X(change_certificate) \
	X(figures)

#define TARGET_ROLES(X) \
	X(receive)      \
	X(queue)        \
	X(hand_over)    \
	X(deliver)      \
	X(read)         \
	X(pop)          \
	X(web)          \
	X(store)        \
	X(mta)          \
	X(lookup)       \
	X(filter)       \
	X(policy)       \
	X(auth)         \
	X(rewrite)      \
	X(directory)    \
	X(log)          \
	X(manage)

#define TARGET_PATHS(X) \
	X(message)      \
	X(unfinished)   \
	X(mailbox)      \
	X(index)        \
	X(queue)        \
	X(database)     \
	X(journal)      \
	X(log)

struct raw_commands {
#define X(name) char *name;
	TARGET_COMMANDS(X)
#undef X
};

#define WORD_LIST(name) \
	char **name;    \
	unsigned int name##_count;

struct raw_roles {
	TARGET_ROLES(WORD_LIST)
};

struct raw_paths {
	TARGET_PATHS(WORD_LIST)
};

struct raw_target {
	char *summary, *image, *memory, *cpus, *ready_within, *capture;
	char **users, **survives_power_cut;
	unsigned int users_count, survives_power_cut_count;
	struct raw_disk *disks;
	struct raw_service *services;
	struct raw_commands *commands;
	struct raw_agent *agents;
	struct raw_roles *roles;
	struct raw_paths *paths;
	struct raw_point *points;
	struct raw_lack *lacks;
	struct raw_timers *timers;
	struct raw_limits *limits;
	struct raw_log *logs;
	struct raw_objectives *objectives;
	struct raw_exception *exceptions;
	unsigned int disks_count, services_count, agents_count, logs_count, exceptions_count;
	unsigned int points_count, lacks_count;
};

extern const cyaml_schema_value_t target_schema;
extern const struct yaml_rule target_rules[];

struct target_source {
	struct target *target;
	const struct node *root;
	const char *dir; /* where its scripts are, or NULL */
	const struct oracle *const *laws;
	struct mistakes *mistakes;
};

/* Names, references, scripts and values that only the whole can judge. */
void target_check(const struct target_source *source);
