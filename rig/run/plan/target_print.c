#include "run/plan/target_parts.h"
#include "run/yaml/yaml_write.h"

static void put_list(json_t *json, const char *key, json_t *list)
{
	if (json_array_size(list))
		json_object_set(json, key, list);
	json_decref(list);
}

static void put_map(json_t *json, const char *key, json_t *map)
{
	if (json_object_size(map))
		json_object_set(json, key, map);
	json_decref(map);
}

static void put_machine(json_t *json, const struct target *target)
{
	json_t *disks = json_array(), *services = json_array();

	for (size_t i = 0; i < target->disk_count; i++) {
		json_t *disk = json_object();

		put_text(disk, "name", target->disks[i].name);
		put_text(disk, "mount", target->disks[i].mount);
		put_size(disk, "size", target->disks[i].size_bytes);
		put_text(disk, "quota", target->disks[i].quota ? "users" : "none");
		json_array_append_new(disks, disk);
	}
	for (size_t i = 0; i < target->service_count; i++) {
		json_t *service = json_object();

		put_text(service, "name", target->services[i].name);
		put_text(service, "protocol", protocol_name(target->services[i].protocol));
		put_count(service, "port", target->services[i].port);
		put_text(service, "seen", seen_name(target->services[i].seen));
		put_text(service, "tls", target->services[i].starttls ? "starttls" : "none");
		json_array_append_new(services, service);
	}
	put_list(json, "disks", disks);
	put_list(json, "services", services);
}

static void put_commands(json_t *json, const struct target *target)
{
	json_t *commands = json_object(), *agents = json_array();

	for (size_t i = 0; i < target->command_count; i++)
		put_text(commands, target->commands[i].name, target->commands[i].line);
	for (size_t i = 0; i < target->agent_count; i++) {
		const struct agent *from = &target->agents[i];
		json_t *agent = json_object();

		put_text(agent, "name", from->name);
		put_text(agent, "stop", from->stop);
		put_text(agent, "start", from->start);
		put_text(agent, "crash", from->crash);
		put_text(agent, "switch_off", from->switch_off);
		put_text(agent, "switch_on", from->switch_on);
		put_text(agent, "socket", from->socket);
		put_list_of_words(agent, "needed_by", from->needed_by.at, from->needed_by.count);
		put_count(agent, "line", (uint64_t)from->line);
		json_array_append_new(agents, agent);
	}
	put_map(json, "commands", commands);
	put_list(json, "agents", agents);
}

static void put_places(json_t *json, const struct target *target)
{
	json_t *roles = json_object(), *paths = json_object();

	for (size_t i = 0; i < target->role_count; i++)
		put_list_of_words(roles, target->roles[i].name, target->roles[i].programs.at,
			target->roles[i].programs.count);
	for (size_t i = 0; i < target->path_count; i++)
		put_list_of_words(paths, target->paths[i].name, target->paths[i].globs.at,
			target->paths[i].globs.count);
	put_map(json, "roles", roles);
	put_map(json, "paths", paths);
}

static void put_points(json_t *json, const struct target *target)
{
	json_t *points = json_array(), *lacks = json_array();

	for (size_t i = 0; i < target->point_count; i++) {
		const struct named_point *from = &target->points[i];
		json_t *point = json_object();

		put_text(point, "name", from->name);
		put_text(point, "point", from->point);
		put_text(point, "role", from->role);
		put_text(point, "path", from->path);
		put_text(point, "caller", from->caller);
		json_array_append_new(points, point);
	}
	for (size_t i = 0; i < target->lack_count; i++) {
		json_t *lack = json_object();

		put_text(lack, "what", target->lacks[i].what);
		put_text(lack, "because", target->lacks[i].because);
		json_array_append_new(lacks, lack);
	}
	put_list(json, "points", points);
	put_list(json, "lacks", lacks);
}

static void put_times(json_t *json, const struct target *target)
{
	json_t *timers = json_object(), *limits = json_object();

	put_duration(timers, "retry_first", target->timers.retry_first_ms);
	put_duration(timers, "retry_longest", target->timers.retry_longest_ms);
	put_duration(timers, "give_up", target->timers.give_up_ms);
	put_duration(timers, "agent_silent", target->timers.agent_silent_ms);
	put_duration(timers, "stuck_worker", target->timers.stuck_worker_ms);
	put_count(limits, "sessions_per_user", target->sessions_per_user);
	put_count(limits, "deliveries", target->deliveries);
	put_map(json, "timers", timers);
	put_map(json, "limits", limits);
}

static void put_judging(json_t *json, const struct target *target)
{
	json_t *logs = json_array(), *exceptions = json_array();

	put_words(json, "survives_power_cut", target->survives_power_cut.at,
		target->survives_power_cut.count);
	for (size_t i = 0; i < target->log_count; i++) {
		json_t *log = json_object();

		put_text(log, "path", target->logs[i].path);
		put_text(log, "alarm", target->logs[i].alarm);
		json_array_append_new(logs, log);
	}
	for (size_t i = 0; i < target->exception_count; i++) {
		const struct exception *from = &target->exceptions[i];
		json_t *exception = json_object();

		put_text(exception, "law", from->law);
		put_text(exception, "only", from->only);
		put_text(exception, "because", from->because);
		put_text(exception, "see", from->see);
		json_array_append_new(exceptions, exception);
	}
	put_list(json, "logs", logs);
	put_map(json, "objectives", objectives_to_json(&target->objectives));
	put_list(json, "exceptions", exceptions);
}

json_t *target_to_json(const struct target *target)
{
	json_t *json = json_object();

	put_text(json, "name", target->name);
	put_text(json, "dir", target->dir);
	put_text(json, "summary", target->summary);
	put_text(json, "image", target->image);
	put_size(json, "memory", target->memory_bytes);
	put_count(json, "cpus", target->cpus);
	put_duration(json, "ready_within", target->ready_within_ms);
	put_text(json, "capture", target->capture);
	put_words(json, "users", target->users.at, target->users.count);
	put_machine(json, target);
	put_commands(json, target);
	put_places(json, target);
	put_points(json, target);
	put_times(json, target);
	put_judging(json, target);
	return json;
}

void target_print(const struct target *target, struct buf *out)
{
	json_t *json = target_to_json(target);

	json_object_del(json, "name");
	json_object_del(json, "dir");
	yaml_write(json, out);
	json_decref(json);
}
