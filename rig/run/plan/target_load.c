#include "run/plan/target_load.h"

#include "base/fs.h"
#include "base/json.h"
#include "run/plan/target_parts.h"

#include <string.h>

#define MEMORY_DEFAULT	 (256u << 20)
#define MEMORY_MIN	 (64u << 20)
#define MEMORY_MAX	 (UINT64_C(64) << 30)
#define DISK_MIN	 (16u << 20)
#define DISK_MAX	 (UINT64_C(256) << 30)
#define CPUS_MAX	 64
#define READY_DEFAULT_MS 60000
#define LIMIT_MAX	 100000

static struct yaml_place place(const struct target_source *source, const struct node *map)
{
	return (struct yaml_place){map, source->mistakes};
}

static void take_disks(const struct target_source *source, const struct raw_target *raw)
{
	static const char *const quota[] = {"none", "users", NULL};
	const struct node *list = node_get(source->root, "disks");
	struct target *target = source->target;

	target->disks = mem_zero(raw->disks_count, sizeof(*target->disks));
	target->disk_count = raw->disks_count;
	for (unsigned int i = 0; i < raw->disks_count; i++) {
		int of_users = 0;

		take_text(raw->disks[i].name, &target->disks[i].name);
		take_text(raw->disks[i].mount, &target->disks[i].mount);
		take_size(place(source, list->items[i]), "size", raw->disks[i].size, DISK_MIN,
			DISK_MAX, &target->disks[i].size_bytes);
		take_choice(place(source, list->items[i]), "quota", raw->disks[i].quota, quota,
			&of_users);
		target->disks[i].quota = of_users;
	}
}

static void take_services(const struct target_source *source, const struct raw_target *raw)
{
	static const char *const protocols[] = {
		"smtp", "lmtp", "imap", "pop3", "http", "admin", NULL};	    /* by enum protocol */
	static const char *const seen[] = {"nic", "relay", "hidden", NULL}; /* by enum seen */
	static const char *const tls[] = {"none", "starttls", NULL};
	const struct node *list = node_get(source->root, "services");
	struct target *target = source->target;

	target->services = mem_zero(raw->services_count, sizeof(*target->services));
	target->service_count = raw->services_count;
	for (unsigned int i = 0; i < raw->services_count; i++) {
		struct yaml_place at = place(source, list->items[i]);
		struct service *service = &target->services[i];
		int protocol = PROTOCOL_SMTP, how = SEEN_NIC, secure = 0;
		uint32_t port = 0;

		take_text(raw->services[i].name, &service->name);
		take_choice(at, "protocol", raw->services[i].protocol, protocols, &protocol);
		take_choice(at, "seen", raw->services[i].seen, seen, &how);
		take_choice(at, "tls", raw->services[i].tls, tls, &secure);
		take_count(at, "port", raw->services[i].port, 1, UINT16_MAX, &port);
		service->protocol = (enum protocol)protocol;
		service->seen = (enum seen)how;
		service->starttls = secure;
		service->port = (uint16_t)port;
	}
}

static void take_command(struct target *target, const char *name, const char *line)
{
	if (!line)
		return;
	target->commands =
		mem_grow(target->commands, target->command_count + 1, sizeof(*target->commands));
	target->commands[target->command_count++] =
		(struct target_command){.name = text_dup(name), .line = text_dup(line)};
}

static void take_role(
	struct target *target, const char *name, char *const *words, unsigned int count)
{
	struct role *role;

	if (!count)
		return;
	target->roles = mem_grow(target->roles, target->role_count + 1, sizeof(*target->roles));
	role = &target->roles[target->role_count++];
	*role = (struct role){.name = text_dup(name)};
	take_words(words, count, &role->programs);
}

static void take_paths(
	struct target *target, const char *name, char *const *words, unsigned int count)
{
	struct path_set *paths;

	if (!count)
		return;
	target->paths = mem_grow(target->paths, target->path_count + 1, sizeof(*target->paths));
	paths = &target->paths[target->path_count++];
	*paths = (struct path_set){.name = text_dup(name)};
	take_words(words, count, &paths->globs);
}

static void take_names(struct target *target, const struct raw_target *raw)
{
#define COMMAND(name) take_command(target, #name, raw->commands->name);
#define ROLE(name)    take_role(target, #name, raw->roles->name, raw->roles->name##_count);
#define PATHS(name)   take_paths(target, #name, raw->paths->name, raw->paths->name##_count);
	if (raw->commands) {
		TARGET_COMMANDS(COMMAND)
	}
	if (raw->roles) {
		TARGET_ROLES(ROLE)
	}
	if (raw->paths) {
		TARGET_PATHS(PATHS)
	}
}

static void take_agents(const struct target_source *source, const struct raw_target *raw)
{
	const struct node *list = node_get(source->root, "agents");
	struct target *target = source->target;

	target->agents = mem_zero(raw->agents_count, sizeof(*target->agents));
	target->agent_count = raw->agents_count;
	for (unsigned int i = 0; i < raw->agents_count; i++) {
		const struct raw_agent *from = &raw->agents[i];
		struct agent *agent = &target->agents[i];

		take_text(from->name, &agent->name);
		take_text(from->stop, &agent->stop);
		take_text(from->start, &agent->start);
		take_text(from->crash, &agent->crash);
		take_text(from->switch_off, &agent->switch_off);
		take_text(from->switch_on, &agent->switch_on);
		take_text(from->socket, &agent->socket);
		take_words(from->needed_by, from->needed_by_count, &agent->needed_by);
		agent->line = node_line_of(list->items[i], "needed_by");
	}
}

static void take_points(struct target *target, const struct raw_target *raw)
{
	target->points = mem_zero(raw->points_count, sizeof(*target->points));
	target->point_count = raw->points_count;
	for (unsigned int i = 0; i < raw->points_count; i++) {
		const struct raw_point *from = &raw->points[i];
		struct named_point *point = &target->points[i];

		take_text(from->name, &point->name);
		take_text(from->point, &point->point);
		take_text(from->role, &point->role);
		take_text(from->path, &point->path);
		take_text(from->caller, &point->caller);
	}
	target->lacks = mem_zero(raw->lacks_count, sizeof(*target->lacks));
	target->lack_count = raw->lacks_count;
	for (unsigned int i = 0; i < raw->lacks_count; i++) {
		take_text(raw->lacks[i].what, &target->lacks[i].what);
		take_text(raw->lacks[i].because, &target->lacks[i].because);
	}
}

static void take_timers(const struct target_source *source, const struct raw_timers *raw)
{
	struct yaml_place at = place(source, node_get(source->root, "timers"));
	struct timers *timers = &source->target->timers;

	*timers = (struct timers){TIME_UNSET, TIME_UNSET, TIME_UNSET, TIME_UNSET, TIME_UNSET};
	if (!raw)
		return;
	take_duration(at, "retry_first", raw->retry_first, &timers->retry_first_ms);
	take_duration(at, "retry_longest", raw->retry_longest, &timers->retry_longest_ms);
	take_duration(at, "give_up", raw->give_up, &timers->give_up_ms);
	take_duration(at, "agent_silent", raw->agent_silent, &timers->agent_silent_ms);
	take_duration(at, "stuck_worker", raw->stuck_worker, &timers->stuck_worker_ms);
}

static void take_limits(const struct target_source *source, const struct raw_limits *raw)
{
	struct yaml_place at = place(source, node_get(source->root, "limits"));

	if (!raw)
		return;
	take_count(at, "sessions_per_user", raw->sessions_per_user, 1, LIMIT_MAX,
		&source->target->sessions_per_user);
	take_count(at, "deliveries", raw->deliveries, 1, LIMIT_MAX, &source->target->deliveries);
}

static void take_logs(const struct target_source *source, const struct raw_target *raw)
{
	const struct node *list = node_get(source->root, "logs");
	struct target *target = source->target;

	target->logs = mem_zero(raw->logs_count, sizeof(*target->logs));
	target->log_count = raw->logs_count;
	for (unsigned int i = 0; i < raw->logs_count; i++) {
		take_text(raw->logs[i].path, &target->logs[i].path);
		take_regex(place(source, list->items[i]), "alarm", raw->logs[i].alarm,
			&target->logs[i].alarm);
	}
}

static void take_exceptions(const struct target_source *source, const struct raw_target *raw)
{
	struct target *target = source->target;

	target->exceptions = mem_zero(raw->exceptions_count, sizeof(*target->exceptions));
	target->exception_count = raw->exceptions_count;
	for (unsigned int i = 0; i < raw->exceptions_count; i++) {
		struct exception *exception = &target->exceptions[i];

		take_text(raw->exceptions[i].law, &exception->law);
		take_text(raw->exceptions[i].only, &exception->only);
		take_text(raw->exceptions[i].because, &exception->because);
		take_text(raw->exceptions[i].see, &exception->see);
	}
}

static void take_target(const struct target_source *source, const struct raw_target *raw)
{
	struct yaml_place at = place(source, source->root);
	struct target *target = source->target;

	take_text(raw->summary, &target->summary);
	take_text(raw->image, &target->image);
	take_text(raw->capture, &target->capture);
	target->memory_bytes = MEMORY_DEFAULT;
	target->cpus = 1;
	target->ready_within_ms = READY_DEFAULT_MS;
	take_size(at, "memory", raw->memory, MEMORY_MIN, MEMORY_MAX, &target->memory_bytes);
	take_count(at, "cpus", raw->cpus, 1, CPUS_MAX, &target->cpus);
	take_duration(at, "ready_within", raw->ready_within, &target->ready_within_ms);
	take_words(raw->users, raw->users_count, &target->users);
	take_words(raw->survives_power_cut, raw->survives_power_cut_count,
		&target->survives_power_cut);
	take_disks(source, raw);
	take_services(source, raw);
	take_names(target, raw);
	take_agents(source, raw);
	take_points(target, raw);
	take_timers(source, raw->timers);
	take_limits(source, raw->limits);
	take_logs(source, raw);
	take_exceptions(source, raw);
	target->objectives = objectives_take(
		raw->objectives, node_get(source->root, "objectives"), source->mistakes);
}

/* ---- the whole ---- */

static int load_tree(
	struct node *root, struct target_source *source, struct target **ret, struct err *err)
{
	const struct yaml_shape shape = {&target_schema, target_rules, NULL, NULL};
	void *raw = NULL;
	int rc;

	yaml_check(root, &shape, source->mistakes);
	if (root->kind != NODE_MAP)
		return 0;
	rc = yaml_raw_load(root, &target_schema, &raw, NULL, err);
	if (rc)
		return rc;
	source->root = root;
	source->target = *ret = mem_zero(1, sizeof(**ret));
	take_target(source, raw);
	yaml_raw_free(&target_schema, raw, 0);
	target_check(source);
	return 0;
}

/* The last part of the path. Caller frees. */
static char *name_of(const char *dir)
{
	size_t len = strlen(dir);
	const char *slash;

	while (len > 1 && dir[len - 1] == '/')
		len--;
	slash = memrchr(dir, '/', len);
	return slash && slash + 1 < dir + len
		       ? text_dup_n(slash + 1, (size_t)(dir + len - slash - 1))
		       : text_dup_n(dir, len);
}

int target_parse(const char *file, const char *dir, const char *text, size_t len,
	const struct oracle *const *laws, struct buf *complaints, struct target **ret,
	struct err *err)
{
	cleanup(mistakes_free) struct mistakes mistakes = {.file = file};
	struct target_source source = {.dir = dir, .laws = laws, .mistakes = &mistakes};
	struct node *root = node_parse(text, len, &mistakes);
	struct target *target = NULL;
	int rc = root ? load_tree(root, &source, &target, err) : 0;

	node_free(root);
	rc = mistakes_result(&mistakes, rc, complaints, err);
	if (rc) {
		target_free(target);
		return rc;
	}
	target->name = name_of(dir ? dir : "");
	target->dir = text_dup(dir ? dir : "");
	*ret = target;
	return 0;
}

int target_load(const char *dir, const struct oracle *const *laws, struct buf *complaints,
	struct target **ret, struct err *err)
{
	auto_free char *path = path_join(dir, "target.yaml");
	auto_buf struct buf text = {0};
	int rc = fs_read(path, SCENARIO_FILE_MAX, &text, err);

	if (rc)
		return rc;
	return target_parse(path, dir, buf_text(&text), text.len, laws, complaints, ret, err);
}

int target_from_json(const json_t *json, struct target **ret, struct err *err)
{
	auto_json json_t *plain = json_copy((json_t *)json);
	cleanup(mistakes_free) struct mistakes mistakes = {.file = "plan"};
	struct target_source source = {.mistakes = &mistakes};
	const char *name = json_get_text(json, "name", ""), *dir = json_get_text(json, "dir", "");
	struct target *target = NULL;
	struct node *root;
	int rc = 0;

	if (!json_is_object(json))
		return err_set(err, -EINVAL, "the saved target is no object");
	json_object_del(plain, "name");
	json_object_del(plain, "dir");
	root = node_from_json(plain, &mistakes);
	if (root)
		rc = load_tree(root, &source, &target, err);
	node_free(root);
	if (!rc && mistakes.count)
		rc = err_set(err, -EINVAL, "saved target '%s': %s", name, mistakes.at[0].text);
	if (rc) {
		target_free(target);
		return rc;
	}
	target->name = text_dup(name);
	target->dir = text_dup(dir);
	*ret = target;
	return 0;
}
