#include "run/plan/target_reach.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "vm/image.h"

#include <errno.h>
#include <string.h>

#define GUEST_DIR  "/run/rig/target/" /* where the target's own programs are in the guest */
#define KEPT_MAX   (8u << 20)
#define LOADED_MAX 256 /* libraries of one program */

void target_reach_free(struct target_reach *known, size_t count)
{
	for (size_t i = 0; i < count; i++)
		reach_calls_free(&known[i].calls);
}

/* ---- what is known of a program of an image is kept beside it ---- */

static json_t *names_json(const struct buf *names)
{
	json_t *list = json_array();

	for (const char *at = names->data, *end = at + names->len; at && at < end;
		at += strlen(at) + 1)
		json_array_append_new(list, json_text(at));
	return list;
}

static void names_read(const json_t *list, struct buf *ret)
{
	const json_t *one;
	size_t i;

	json_array_foreach ((json_t *)list, i, one)
		if (json_is_string(one))
			buf_add(ret, json_string_value(one), json_string_length(one) + 1);
}

static char *kept_path(const char *image_dir, const char *program)
{
	char *path = text_fmt("%s/calls%s.json", image_dir, program);

	for (char *at = path + strlen(image_dir) + 1; *at; at++)
		if (*at == '/')
			*at = '-';
	return path;
}

static bool read_kept(const char *path, struct target_reach *one)
{
	auto_json json_t *kept = fs_exists(path) ? json_load_path(path, KEPT_MAX, NULL) : NULL;

	if (!kept)
		return false;
	one->reach = (enum reach)json_get_int(kept, "reach", REACH_MISSING);
	one->calls.known = json_get_bool(kept, "known", false);
	names_read(json_object_get(kept, "own"), &one->calls.own);
	names_read(json_object_get(kept, "libraries"), &one->calls.libraries);
	return one->reach <= REACH_MISSING;
}

static void keep(const char *path, const struct target_reach *one)
{
	auto_json json_t *kept = json_pack("{si sb so so}", "reach", (int)one->reach, "known",
		(int)one->calls.known, "own", names_json(&one->calls.own), "libraries",
		names_json(&one->calls.libraries));

	json_save_path(path, kept, NULL); /* else it is looked at again */
}

static int look_into_image(const char *image_dir, struct target_reach *one, struct err *err)
{
	auto_free char *disk = path_join(image_dir, "root.img");
	auto_free char *path = kept_path(image_dir, one->program);
	int rc;

	if (read_kept(path, one))
		return 0;
	reach_calls_free(&one->calls);
	rc = reach_in_disk(disk, one->program, &one->reach, err);
	if (!rc && one->reach == REACH_CALLS)
		rc = reach_calls_in_disk(disk, one->program, &one->calls, err);
	if (!rc)
		keep(path, one);
	return rc;
}

/* The target's own programs may be built anew at any time. */
static int look_at(const struct target *target, const char *root, const char *image_dir,
	struct target_reach *one, struct err *err)
{
	auto_free char *disk = path_join(image_dir, "root.img"), *built = NULL;
	bool image = strncmp(one->program, GUEST_DIR, strlen(GUEST_DIR)) != 0;
	int rc;

	one->reach = REACH_CALLS; /* and which is not known, where there is no image yet */
	if (image)
		return fs_exists(disk) ? look_into_image(image_dir, one, err) : 0;
	built = text_fmt(
		"%s/build/targets/%s/%s", root, target->name, one->program + strlen(GUEST_DIR));
	rc = reach_of_file(built, &one->reach, err);
	return rc || one->reach != REACH_CALLS || !fs_exists(disk)
		       ? rc
		       : reach_calls_of_file(built, disk, &one->calls, err);
}

/* ---- what is loaded later ---- */

static char *loaded_path(const struct target *target, const char *image_dir)
{
	return text_fmt("%s/loaded-%s.json", image_dir, target->name);
}

static bool is_of_role(const struct target *target, const char *program)
{
	for (size_t i = 0; i < target->role_count; i++)
		if (text_list_has(&target->roles[i].programs, program))
			return true;
	return false;
}

static void take_loaded(const struct target *target, char *line, json_t *ret)
{
	char *save = NULL, *program = strtok_r(line, " ", &save),
	     *file = strtok_r(NULL, " ", &save);
	json_t *files;

	if (!program || !file || *file != '/' || !is_of_role(target, program))
		return;
	files = json_object_get(ret, program);
	if (!files) {
		files = json_array();
		json_object_set_new(ret, program, files);
	}
	if (json_array_size(files) < LOADED_MAX)
		json_array_append_new(files, json_text(file));
}

int target_reach_keep_loaded(
	const struct target *target, const char *root, const char *listing, struct err *err)
{
	auto_free char *cache = fs_cache_dir(), *dir = NULL, *path = NULL,
		       *text = text_dup(listing);
	auto_json json_t *loaded = json_object();
	char key[IMAGE_KEY_SIZE], *save = NULL;
	int rc = image_key(root, target->image, key, err);

	if (rc)
		return rc;
	dir = text_fmt("%s/images/%s", cache, key);
	path = loaded_path(target, dir);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		take_loaded(target, line, loaded);
	return json_save_path(path, loaded, err);
}

/* What a library calls, from the image or as kept. One that is not in the image is the rig's own. */
static void add_calls_of(const char *image_dir, const char *file, struct target_reach *one)
{
	auto_free char *disk = path_join(image_dir, "root.img");
	auto_free char *path = kept_path(image_dir, file);
	struct target_reach library = {.program = file, .reach = REACH_CALLS};

	if (!read_kept(path, &library)) {
		reach_calls_free(&library.calls);
		reach_calls_in_disk(disk, file, &library.calls, NULL);
		keep(path, &library);
	}
	reach_calls_add(&one->calls.libraries, &library.calls.own);
	reach_calls_free(&library.calls);
}

static void add_loaded(const struct target *target, const char *image_dir,
	struct target_reach *known, size_t count)
{
	auto_free char *path = loaded_path(target, image_dir);
	auto_json json_t *loaded = fs_exists(path) ? json_load_path(path, KEPT_MAX, NULL) : NULL;

	for (size_t i = 0; i < count; i++) {
		const json_t *files = json_object_get(loaded, known[i].program), *file;
		size_t k;

		json_array_foreach ((json_t *)files, k, file)
			if (known[i].reach == REACH_CALLS && json_is_string(file) &&
				reach_is_followed(json_string_value(file))) {
				add_calls_of(image_dir, json_string_value(file), &known[i]);
				known[i].loaded++;
			}
	}
}

int target_reach(const struct target *target, const char *root, struct target_reach *ret,
	size_t *ret_count, struct err *err)
{
	auto_free char *cache = fs_cache_dir(), *dir = NULL, *disk = NULL;
	char key[IMAGE_KEY_SIZE];
	int rc = image_key(root, target->image, key, err);

	*ret_count = 0;
	if (rc)
		return rc;
	dir = text_fmt("%s/images/%s", cache, key);
	disk = path_join(dir, "root.img");
	for (size_t i = 0; i < target->role_count && !rc; i++) {
		const struct role *role = &target->roles[i];

		for (size_t k = 0; k < role->programs.count && !rc; k++) {
			struct target_reach *one = &ret[*ret_count];

			if (*ret_count == TARGET_REACH_MAX)
				break;
			*one = (struct target_reach){
				.role = role->name, .program = role->programs.at[k]};
			(*ret_count)++;
			rc = look_at(target, root, dir, one, err);
		}
	}
	if (!rc && fs_exists(disk))
		add_loaded(target, dir, ret, *ret_count);
	else if (!rc)
		rc = err_set(err, -ENOENT, "the image is not built yet: mailrig image build %s",
			target->image);
	return rc;
}

/* ---- points ---- */

enum reach_point target_reach_point(
	const struct target_reach *one, const struct fault *fault, const char *point)
{
	const char *function;
	bool library = false;

	if (one->reach != REACH_CALLS)
		return POINT_NOT;
	for (size_t i = 0; (function = fault->function(point, i)); i++) {
		if (reach_calls_has(&one->calls.own, function))
			return POINT_OWN;
		library |= reach_calls_has(&one->calls.libraries, function);
	}
	if (library)
		return POINT_LIBRARY;
	return one->calls.known ? POINT_NOT : POINT_NOT_KNOWN;
}

const char *target_reach_raw(const struct target_reach *one)
{
	if (reach_calls_has(&one->calls.own, "syscall"))
		return "what it calls by syscall() passes all points by";
	return reach_calls_has(&one->calls.libraries, "syscall")
		       ? "what a library of it calls by syscall() passes all points by"
		       : NULL;
}

/* A role of which one program is reached there can be hurt; if none is, it cannot. */
char *target_reach_why_not(const struct target_reach *known, size_t count, const struct step *step,
	const struct fault *fault)
{
	const struct target_reach *none = NULL;

	if (!step->point || !fault->function)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (step->role && strcmp(step->role, known[i].role))
			continue;
		if (target_reach_point(&known[i], fault, step->point) != POINT_NOT)
			return NULL;
		if (!none || known[i].reach == REACH_CALLS)
			none = &known[i];
	}
	if (!none)
		return NULL;
	return none->reach == REACH_CALLS
		       ? text_fmt("'%s' is never at '%s': neither it nor a library it is linked "
				  "with calls %s",
				 none->program, step->point, fault->function(step->point, 0))
		       : text_fmt("'%s' cannot be reached by '%s': %s", none->program, step->what,
				 reach_text(none->reach));
}
