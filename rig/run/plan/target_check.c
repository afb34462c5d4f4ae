/* What only the whole target can judge: names that are given twice, references, paths, scripts. */
#include "base/fs.h"
#include "net/capture.h"
#include "run/plan/target_parts.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_LEN_MAX  64
#define LABEL_LEN_MAX 16 /* of an ext4 file system */
#define REFS_MAX      (2 * TARGET_LIST_MAX)

static const struct node *entry(const struct target_source *source, const char *list, size_t i)
{
	return node_get(source->root, list)->items[i];
}

static int line_in(const struct target_source *source, const char *part, const char *key)
{
	return node_line_of(node_get(source->root, part), key);
}

/* Lower-case words for names, as every other file uses them. */
static bool name_ok(const char *name, size_t max)
{
	return strlen(name) <= max && name[0] >= 'a' && name[0] <= 'z' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(name);
}

static void check_name(const struct target_source *source, int line, const char *noun,
	const char *name, size_t max)
{
	if (!name_ok(name, max))
		mistakes_add(source->mistakes, line,
			"%s '%s' is no name: lower-case letters, digits, - _ and ., at most %zu, a "
			"letter first",
			noun, name, max);
}

static void check_path(
	const struct target_source *source, int line, const char *what, const char *path)
{
	if (path && path[0] != '/')
		mistakes_add(source->mistakes, line, "'%s: %s' is no whole path; it begins with /",
			what, path);
}

/* Texts of one kind, none of which may come twice. */
static void check_unique(const struct target_source *source, int line, const char *what,
	const char *text, const char *const *before, size_t count)
{
	for (size_t i = 0; text && i < count; i++) {
		if (before[i] && !strcmp(before[i], text)) {
			mistakes_add(source->mistakes, line, "%s '%s' is given twice", what, text);
			return;
		}
	}
}

static void check_users(const struct target_source *source)
{
	const struct text_list *users = &source->target->users;

	for (size_t i = 0; i < users->count; i++) {
		int line = entry(source, "users", i)->line;

		check_name(source, line, "user", users->at[i], NAME_LEN_MAX);
		check_unique(source, line, "user", users->at[i], (const char *const *)users->at, i);
	}
}

static void check_disks(const struct target_source *source)
{
	const char *names[TARGET_LIST_MAX], *mounts[TARGET_LIST_MAX];

	for (size_t i = 0; i < source->target->disk_count; i++) {
		const struct disk *disk = &source->target->disks[i];
		const struct node *map = entry(source, "disks", i);

		names[i] = disk->name;
		mounts[i] = disk->mount;
		if (disk->name)
			check_name(source, node_line_of(map, "name"), "disk", disk->name,
				LABEL_LEN_MAX);
		check_path(source, node_line_of(map, "mount"), "mount", disk->mount);
		check_unique(source, node_line_of(map, "name"), "disk", disk->name, names, i);
		check_unique(source, node_line_of(map, "mount"), "mount", disk->mount, mounts, i);
	}
}

static void check_services(const struct target_source *source)
{
	const char *names[TARGET_LIST_MAX];
	uint16_t ports[TARGET_LIST_MAX];

	for (size_t i = 0; i < source->target->service_count; i++) {
		const struct service *service = &source->target->services[i];
		const struct node *map = entry(source, "services", i);

		names[i] = service->name;
		ports[i] = service->port;
		if (service->name)
			check_name(source, node_line_of(map, "name"), "service", service->name,
				NAME_LEN_MAX);
		check_unique(source, node_line_of(map, "name"), "service", service->name, names, i);
		for (size_t j = 0; j < i && service->port; j++)
			if (ports[j] == service->port)
				mistakes_add(source->mistakes, node_line_of(map, "port"),
					"port %u is given twice", service->port);
	}
}

/* ./x is a script of the target's own folder. */
static void check_script(const struct target_source *source, int line, const char *command)
{
	auto_free char *name = NULL, *path = NULL;
	struct stat st;

	if (!command || !source->dir || strncmp(command, "./", 2) != 0)
		return;
	name = text_dup_n(command + 2, strcspn(command + 2, " \t\n;&|<>"));
	path = path_join(source->dir, name);
	if (stat(path, &st) || !S_ISREG(st.st_mode))
		mistakes_add(source->mistakes, line, "'./%s' is no script of this folder", name);
	else if (access(path, X_OK))
		mistakes_add(source->mistakes, line, "'./%s' is not executable", name);
}

static void check_pair(const struct target_source *source, const struct node *map,
	const struct agent *agent, const char *off, const char *on)
{
	bool has_off = node_get(map, off), has_on = node_get(map, on);

	if (has_off != has_on)
		mistakes_add(source->mistakes, map->line,
			"agent '%s' has '%s' and no '%s'; a fault must have its way back",
			agent->name ? agent->name : "", has_off ? off : on, has_off ? on : off);
}

static void check_needed_by(const struct target_source *source, const struct agent *agent, int line)
{
	const struct target *target = source->target;
	const char *names[REFS_MAX + 1] = {0};
	size_t count = 0;

	for (size_t i = 0; i < target->service_count; i++)
		if (target->services[i].name)
			names[count++] = target->services[i].name;
	for (size_t i = 0; i < target->agent_count; i++)
		if (target->agents[i].name)
			names[count++] = target->agents[i].name;
	for (size_t i = 0; i < target->command_count && count < REFS_MAX; i++)
		names[count++] = target->commands[i].name;
	for (size_t i = 0; i < agent->needed_by.count; i++) {
		const char *name = agent->needed_by.at[i];
		auto_free char *hint = NULL;
		bool known = false;

		for (size_t j = 0; j < count; j++)
			known = known || !strcmp(names[j], name);
		if (known)
			continue;
		hint = did_you_mean(name, names);
		mistakes_add(source->mistakes, line,
			"agent '%s' is needed by '%s', which is no service, agent or command%s",
			agent->name ? agent->name : "", name, hint);
	}
}

static void check_agents(const struct target_source *source)
{
	const char *names[TARGET_LIST_MAX];

	for (size_t i = 0; i < source->target->agent_count; i++) {
		const struct agent *agent = &source->target->agents[i];
		const struct node *map = entry(source, "agents", i);

		names[i] = agent->name;
		if (agent->name)
			check_name(source, node_line_of(map, "name"), "agent", agent->name,
				NAME_LEN_MAX);
		check_unique(source, node_line_of(map, "name"), "agent", agent->name, names, i);
		check_pair(source, map, agent, "stop", "start");
		check_pair(source, map, agent, "switch_off", "switch_on");
		if (agent->socket)
			check_path(source, node_line_of(map, "socket"), "socket", agent->socket);
		check_script(source, node_line_of(map, "stop"), agent->stop);
		check_script(source, node_line_of(map, "start"), agent->start);
		check_script(source, node_line_of(map, "crash"), agent->crash);
		check_script(source, node_line_of(map, "switch_off"), agent->switch_off);
		check_script(source, node_line_of(map, "switch_on"), agent->switch_on);
		check_needed_by(source, agent, node_line_of(map, "needed_by"));
	}
}

static void check_places(const struct target_source *source)
{
	const struct target *target = source->target;

	for (size_t i = 0; i < target->role_count; i++)
		for (size_t j = 0; j < target->roles[i].programs.count; j++)
			check_path(source, line_in(source, "roles", target->roles[i].name),
				target->roles[i].name, target->roles[i].programs.at[j]);
	for (size_t i = 0; i < target->path_count; i++)
		for (size_t j = 0; j < target->paths[i].globs.count; j++)
			check_path(source, line_in(source, "paths", target->paths[i].name),
				target->paths[i].name, target->paths[i].globs.at[j]);
	for (size_t i = 0; i < target->log_count; i++)
		check_path(source, node_line_of(entry(source, "logs", i), "path"), "path",
			target->logs[i].path);
	for (size_t i = 0; i < target->command_count; i++)
		check_script(source, line_in(source, "commands", target->commands[i].name),
			target->commands[i].line);
}

/* Who and on what must be words of this file. */
static void check_point(
	const struct target_source *source, const struct named_point *point, const struct node *map)
{
	const struct target *target = source->target;
	auto_free char *hint = NULL;
	const char *names[REFS_MAX + 1] = {0};

	for (size_t i = 0; target_point_words[i].name && i < REFS_MAX; i++)
		names[i] = target_point_words[i].name;
	if (!target_point_known(point->name)) {
		hint = did_you_mean(point->name, names);
		mistakes_add(source->mistakes, node_line_of(map, "name"),
			"point '%s' is no word that scenarios use%s", point->name, hint);
	}
	if (point->role && !target_role(target, point->role))
		mistakes_add(source->mistakes, node_line_of(map, "role"),
			"point '%s' has a role '%s' that this file does not have", point->name,
			point->role);
	if (point->path && point->path[0] != '/' && !target_paths(target, point->path))
		mistakes_add(source->mistakes, node_line_of(map, "path"),
			"point '%s' has a path '%s' that this file does not have", point->name,
			point->path);
}

static void check_points(const struct target_source *source)
{
	const char *names[TARGET_LIST_MAX];

	for (size_t i = 0; i < source->target->point_count; i++) {
		const struct named_point *point = &source->target->points[i];
		const struct node *map = entry(source, "points", i);

		names[i] = point->name;
		check_unique(source, node_line_of(map, "name"), "point", point->name, names, i);
		if (point->name && point->point)
			check_point(source, point, map);
	}
}

static void check_law(const struct target_source *source, const char *law, int line)
{
	const char *names[256] = {0};
	auto_free char *hint = NULL;
	size_t count = 0;

	for (const struct oracle *const *l = source->laws; *l && count < 255; l++) {
		if (!strcmp((*l)->law, law))
			return;
		names[count++] = (*l)->law;
	}
	hint = did_you_mean(law, names);
	mistakes_add(source->mistakes, line, "'law: %s' is no law%s", law, hint);
}

/* What the law about power cuts can be asked for, by operation. */
static void check_survives(const struct target_source *source)
{
	static const char *const operations[] = {
		"mail", "append", "copy", "move", "flags", "expunge", NULL};
	const struct text_list *list = &source->target->survives_power_cut;

	for (size_t i = 0; i < list->count; i++) {
		struct yaml_place at = {source->root, source->mistakes};
		int any = 0;

		take_choice(at, "survives_power_cut", list->at[i], operations, &any);
	}
}

void target_check(const struct target_source *source)
{
	const struct target *target = source->target;
	struct err err = {0};

	if (target->capture && capture_check_filter(target->capture, &err))
		mistakes_add(source->mistakes, node_line_of(source->root, "capture"),
			"'capture' is no BPF expression: %s", err.text);
	if (target->image && !fs_name_ok(target->image))
		mistakes_add(source->mistakes, node_line_of(source->root, "image"),
			"'image: %s' is no folder of vm-images", target->image);
	check_users(source);
	check_disks(source);
	check_services(source);
	check_agents(source);
	check_places(source);
	check_points(source);
	check_survives(source);
	for (size_t i = 0; source->laws && i < target->exception_count; i++)
		if (target->exceptions[i].law)
			check_law(source, target->exceptions[i].law,
				node_line_of(entry(source, "exceptions", i), "law"));
}
