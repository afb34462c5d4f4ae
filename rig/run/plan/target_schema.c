/* The keys of target.yaml. */
#include "run/plan/target_parts.h"

#define TEXT(key, type, member) \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_OPTIONAL, struct type, member, 1, YAML_SCALAR_MAX)
#define WORDS(key, type, member)                                                                 \
	CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct type, member, \
		&word, 0, TARGET_USERS_MAX)
#define ENTRIES(key, member, schema)                                                           \
	CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_target, \
		member, schema, 0, TARGET_LIST_MAX)
#define PART(key, member, fields) \
	CYAML_FIELD_MAPPING_PTR(key, CYAML_FLAG_OPTIONAL, struct raw_target, member, fields)

static const cyaml_schema_value_t word = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, YAML_SCALAR_MAX)};

static const cyaml_schema_field_t disk_fields[] = {
	TEXT("name", raw_disk, name),
	TEXT("mount", raw_disk, mount),
	TEXT("size", raw_disk, size),
	TEXT("quota", raw_disk, quota),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t service_fields[] = {
	TEXT("name", raw_service, name),
	TEXT("protocol", raw_service, protocol),
	TEXT("port", raw_service, port),
	TEXT("seen", raw_service, seen),
	TEXT("tls", raw_service, tls),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t agent_fields[] = {
	TEXT("name", raw_agent, name),
	TEXT("stop", raw_agent, stop),
	TEXT("start", raw_agent, start),
	TEXT("crash", raw_agent, crash),
	TEXT("switch_off", raw_agent, switch_off),
	TEXT("switch_on", raw_agent, switch_on),
	TEXT("socket", raw_agent, socket),
	WORDS("needed_by", raw_agent, needed_by),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t point_fields[] = {
	TEXT("name", raw_point, name),
	TEXT("point", raw_point, point),
	TEXT("role", raw_point, role),
	TEXT("path", raw_point, path),
	TEXT("caller", raw_point, caller),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t lack_fields[] = {
	TEXT("what", raw_lack, what),
	TEXT("because", raw_lack, because),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t log_fields[] = {
	TEXT("path", raw_log, path),
	TEXT("alarm", raw_log, alarm),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t exception_fields[] = {
	TEXT("law", raw_exception, law),
	TEXT("only", raw_exception, only),
	TEXT("because", raw_exception, because),
	TEXT("see", raw_exception, see),
	CYAML_FIELD_END,
};

#define ENTRY(type, fields)                                                  \
	{                                                                    \
		CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct type, fields) \
	}
static const cyaml_schema_value_t disk_schema = ENTRY(raw_disk, disk_fields);
static const cyaml_schema_value_t service_schema = ENTRY(raw_service, service_fields);
static const cyaml_schema_value_t agent_schema = ENTRY(raw_agent, agent_fields);
static const cyaml_schema_value_t point_schema = ENTRY(raw_point, point_fields);
static const cyaml_schema_value_t lack_schema = ENTRY(raw_lack, lack_fields);
static const cyaml_schema_value_t log_schema = ENTRY(raw_log, log_fields);
static const cyaml_schema_value_t exception_schema = ENTRY(raw_exception, exception_fields);

#define COMMAND(name) TEXT(#name, raw_commands, name),
static const cyaml_schema_field_t command_fields[] = {TARGET_COMMANDS(COMMAND) CYAML_FIELD_END};

#define ROLE(name) WORDS(#name, raw_roles, name),
static const cyaml_schema_field_t role_fields[] = {TARGET_ROLES(ROLE) CYAML_FIELD_END};

#define PATHS(name) WORDS(#name, raw_paths, name),
static const cyaml_schema_field_t path_fields[] = {TARGET_PATHS(PATHS) CYAML_FIELD_END};

static const cyaml_schema_field_t timer_fields[] = {
	TEXT("retry_first", raw_timers, retry_first),
	TEXT("retry_longest", raw_timers, retry_longest),
	TEXT("give_up", raw_timers, give_up),
	TEXT("agent_silent", raw_timers, agent_silent),
	TEXT("stuck_worker", raw_timers, stuck_worker),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t limit_fields[] = {
	TEXT("sessions_per_user", raw_limits, sessions_per_user),
	TEXT("deliveries", raw_limits, deliveries),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t target_fields[] = {
	TEXT("summary", raw_target, summary),
	TEXT("image", raw_target, image),
	TEXT("memory", raw_target, memory),
	TEXT("cpus", raw_target, cpus),
	TEXT("ready_within", raw_target, ready_within),
	TEXT("capture", raw_target, capture),
	WORDS("users", raw_target, users),
	ENTRIES("disks", disks, &disk_schema),
	ENTRIES("services", services, &service_schema),
	PART("commands", commands, command_fields),
	ENTRIES("agents", agents, &agent_schema),
	PART("roles", roles, role_fields),
	PART("paths", paths, path_fields),
	ENTRIES("points", points, &point_schema),
	ENTRIES("lacks", lacks, &lack_schema),
	PART("timers", timers, timer_fields),
	PART("limits", limits, limit_fields),
	WORDS("survives_power_cut", raw_target, survives_power_cut),
	ENTRIES("logs", logs, &log_schema),
	PART("objectives", objectives, objectives_fields),
	ENTRIES("exceptions", exceptions, &exception_schema),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t target_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_target, target_fields)};

static const char *const target_required[] = {
	"summary", "image", "users", "services", "commands", NULL};
static const char *const disk_required[] = {"name", "mount", "size", NULL};
static const char *const service_required[] = {"name", "protocol", "port", NULL};
static const char *const command_required[] = {"start", "stop", NULL};
static const char *const agent_required[] = {"name", "needed_by", NULL};
static const char *const point_required[] = {"name", "point", NULL};
static const char *const lack_required[] = {"what", "because", NULL};
static const char *const log_required[] = {"path", NULL};
static const char *const exception_required[] = {"law", "because", NULL};

const struct yaml_rule target_rules[] = {
	{target_fields, NULL, target_required},
	{disk_fields, "disk", disk_required},
	{service_fields, "service", service_required},
	{command_fields, NULL, command_required},
	{agent_fields, "agent", agent_required},
	{role_fields, NULL, NULL},
	{path_fields, NULL, NULL},
	{point_fields, "point", point_required},
	{lack_fields, "lack", lack_required},
	{timer_fields, NULL, NULL},
	{limit_fields, NULL, NULL},
	{log_fields, "log", log_required},
	{objectives_fields, NULL, NULL},
	{exception_fields, "exception", exception_required},
	{0},
};
