#include "api/target.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>

static const char *const protocol_names[] = {
	[PROTOCOL_SMTP] = "smtp",
	[PROTOCOL_LMTP] = "lmtp",
	[PROTOCOL_IMAP] = "imap",
	[PROTOCOL_POP3] = "pop3",
	[PROTOCOL_HTTP] = "http",
	[PROTOCOL_ADMIN] = "admin",
};

const struct point_word target_point_words[] = {
	{"delivery", "a message is being put into its mailbox"},
	{"message-write", "its bytes are written"},
	{"commit", "it is put in its place, for good"},
	{"fetch", "a message is about to be read for a client"},
	{"conversion",
		"a message is turned into the store's form, or out of it, and a lock is held"},
	{"notice", "a client that waits is told of a change"},
	{"unsubscribe", "a client stops waiting, while somebody may be telling it"},
	{"tracking", "what became of a message is written down"},
	{"removal", "a message that was delivered is taken out of the queue"},
	{NULL, NULL},
};

static const char *const seen_names[] = {
	[SEEN_NIC] = "nic",
	[SEEN_RELAY] = "relay",
	[SEEN_HIDDEN] = "hidden",
};

/* The rig's own, where neither scenario nor target says otherwise. */
static const struct objectives rig_objectives = {
	.reply_ms = 30000,
	.recover_ms = 10000,
	.drain_ms = 60000,
	.stop_ms = 20000,
	.idle_push_ms = 5000,
	.slowdown_floor_ms = 2000,
	.slowdown = 5,
};

const char *protocol_name(enum protocol protocol)
{
	return (size_t)protocol < ARRAY_SIZE(protocol_names) ? protocol_names[protocol] : "?";
}

int protocol_from_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocol_names); i++)
		if (!strcmp(protocol_names[i], name))
			return (int)i;
	return -EINVAL;
}

const char *seen_name(enum seen seen)
{
	return (size_t)seen < ARRAY_SIZE(seen_names) ? seen_names[seen] : "?";
}

void text_list_free(struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->at[i]);
	free(list->at);
	*list = (struct text_list){0};
}

bool text_list_has(const struct text_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (!strcmp(list->at[i], text))
			return true;
	return false;
}

static void free_commands(struct target *target)
{
	for (size_t i = 0; i < target->command_count; i++) {
		free(target->commands[i].name);
		free(target->commands[i].line);
	}
	free(target->commands);
}

static void free_agents(struct target *target)
{
	for (size_t i = 0; i < target->agent_count; i++) {
		struct agent *agent = &target->agents[i];

		free(agent->name);
		free(agent->stop);
		free(agent->start);
		free(agent->crash);
		free(agent->switch_off);
		free(agent->switch_on);
		free(agent->socket);
		text_list_free(&agent->needed_by);
	}
	free(target->agents);
}

static void free_places(struct target *target)
{
	for (size_t i = 0; i < target->disk_count; i++) {
		free(target->disks[i].name);
		free(target->disks[i].mount);
	}
	for (size_t i = 0; i < target->service_count; i++)
		free(target->services[i].name);
	for (size_t i = 0; i < target->role_count; i++) {
		free(target->roles[i].name);
		text_list_free(&target->roles[i].programs);
	}
	for (size_t i = 0; i < target->path_count; i++) {
		free(target->paths[i].name);
		text_list_free(&target->paths[i].globs);
	}
	for (size_t i = 0; i < target->point_count; i++) {
		struct named_point *point = &target->points[i];

		free(point->name);
		free(point->point);
		free(point->role);
		free(point->path);
		free(point->caller);
	}
	for (size_t i = 0; i < target->lack_count; i++) {
		free(target->lacks[i].what);
		free(target->lacks[i].because);
	}
	free(target->points);
	free(target->lacks);
	free(target->disks);
	free(target->services);
	free(target->roles);
	free(target->paths);
}

static void free_watch(struct target *target)
{
	for (size_t i = 0; i < target->log_count; i++) {
		free(target->logs[i].path);
		free(target->logs[i].alarm);
	}
	for (size_t i = 0; i < target->exception_count; i++) {
		struct exception *exception = &target->exceptions[i];

		free(exception->law);
		free(exception->only);
		free(exception->because);
		free(exception->see);
	}
	free(target->logs);
	free(target->exceptions);
}

void target_free(struct target *target)
{
	if (!target)
		return;
	free(target->name);
	free(target->dir);
	free(target->summary);
	free(target->image);
	free(target->capture);
	text_list_free(&target->users);
	text_list_free(&target->survives_power_cut);
	text_list_free(&target->settings);
	text_list_free(&target->unreached);
	free_commands(target);
	free_agents(target);
	free_places(target);
	free_watch(target);
	free(target);
}

const char *target_command(const struct target *target, const char *name)
{
	for (size_t i = 0; i < target->command_count; i++)
		if (!strcmp(target->commands[i].name, name))
			return target->commands[i].line;
	return NULL;
}

const struct service *target_service(const struct target *target, const char *name)
{
	for (size_t i = 0; i < target->service_count; i++)
		if (!strcmp(target->services[i].name, name))
			return &target->services[i];
	return NULL;
}

const struct service *target_service_by(const struct target *target, enum protocol protocol)
{
	for (size_t i = 0; i < target->service_count; i++)
		if (target->services[i].protocol == protocol)
			return &target->services[i];
	return NULL;
}

const struct disk *target_disk(const struct target *target, const char *name)
{
	for (size_t i = 0; i < target->disk_count; i++)
		if (!strcmp(target->disks[i].name, name))
			return &target->disks[i];
	return NULL;
}

const struct agent *target_agent(const struct target *target, const char *name)
{
	for (size_t i = 0; i < target->agent_count; i++)
		if (!strcmp(target->agents[i].name, name))
			return &target->agents[i];
	return NULL;
}

const struct role *target_role(const struct target *target, const char *name)
{
	for (size_t i = 0; i < target->role_count; i++)
		if (!strcmp(target->roles[i].name, name))
			return &target->roles[i];
	return NULL;
}

void role_programs(const struct role *role, const char *ret[ROLE_PROGRAMS_MAX + 1])
{
	size_t count = 0;

	for (; count < role->programs.count && count < ROLE_PROGRAMS_MAX; count++)
		ret[count] = role->programs.at[count];
	ret[count] = NULL;
}

const struct path_set *target_paths(const struct target *target, const char *name)
{
	for (size_t i = 0; i < target->path_count; i++)
		if (!strcmp(target->paths[i].name, name))
			return &target->paths[i];
	return NULL;
}

const struct named_point *target_point(const struct target *target, const char *name)
{
	for (size_t i = 0; i < target->point_count; i++)
		if (!strcmp(target->points[i].name, name))
			return &target->points[i];
	return NULL;
}

bool target_point_known(const char *name)
{
	for (const struct point_word *word = target_point_words; word->name; word++)
		if (!strcmp(word->name, name))
			return true;
	return false;
}

const char *target_lack(const struct target *target, const char *what)
{
	for (size_t i = 0; i < target->lack_count; i++)
		if (!strcmp(target->lacks[i].what, what))
			return target->lacks[i].because;
	return NULL;
}

/* Both "0" and TIME_UNSET say "not given". */
static int64_t first_given(int64_t scenario, int64_t target, int64_t rig)
{
	return scenario > 0 ? scenario : target > 0 ? target : rig;
}

struct objectives objectives_resolve(
	const struct objectives *scenario, const struct objectives *target)
{
	static const struct objectives none;
	const struct objectives *s = scenario ? scenario : &none, *t = target ? target : &none;
	const struct objectives *r = &rig_objectives;

	return (struct objectives){
		.reply_ms = first_given(s->reply_ms, t->reply_ms, r->reply_ms),
		.recover_ms = first_given(s->recover_ms, t->recover_ms, r->recover_ms),
		.drain_ms = first_given(s->drain_ms, t->drain_ms, r->drain_ms),
		.stop_ms = first_given(s->stop_ms, t->stop_ms, r->stop_ms),
		.idle_push_ms = first_given(s->idle_push_ms, t->idle_push_ms, r->idle_push_ms),
		.slowdown_floor_ms = first_given(
			s->slowdown_floor_ms, t->slowdown_floor_ms, r->slowdown_floor_ms),
		.slowdown = (uint32_t)first_given(s->slowdown, t->slowdown, r->slowdown),
	};
}
