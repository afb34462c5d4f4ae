#include "run/plan/target_reach.h"

#include "base/buf.h"
#include "base/fs.h"
#include "vm/image.h"

#include <errno.h>
#include <string.h>

#define GUEST_DIR "/run/rig/target/" /* where the target's own programs are in the guest */

static bool is_known(const struct target_reach *known, size_t count, const char *program)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(known[i].program, program))
			return true;
	return false;
}

static int look_at(const struct target *target, const char *root, const char *disk,
	const char *program, enum reach *ret, struct err *err)
{
	auto_free char *built = NULL;

	if (strncmp(program, GUEST_DIR, strlen(GUEST_DIR)))
		return reach_in_disk(disk, program, ret, err);
	built = text_fmt("%s/build/targets/%s/%s", root, target->name, program + strlen(GUEST_DIR));
	return reach_of_file(built, ret, err);
}

int target_reach(const struct target *target, const char *root, struct target_reach *ret,
	size_t *ret_count, struct err *err)
{
	auto_free char *cache = fs_cache_dir(), *disk = NULL;
	char key[IMAGE_KEY_SIZE];
	int rc = image_key(root, target->image, key, err);

	*ret_count = 0;
	if (rc)
		return rc;
	disk = text_fmt("%s/images/%s/root.img", cache, key);
	if (!fs_exists(disk))
		return err_set(err, -ENOENT, "the image is not built yet: mailrig image build %s",
			target->image);
	for (size_t i = 0; i < target->role_count && !rc; i++) {
		const struct role *role = &target->roles[i];

		for (size_t k = 0; k < role->programs.count && !rc; k++) {
			struct target_reach *one = &ret[*ret_count];

			if (*ret_count == TARGET_REACH_MAX ||
				is_known(ret, *ret_count, role->programs.at[k]))
				continue;
			one->role = role->name;
			one->program = role->programs.at[k];
			rc = look_at(target, root, disk, one->program, &one->reach, err);
			*ret_count += rc == 0;
		}
	}
	return rc;
}

/* A role of which one program is reached can be hurt there; if none is, it cannot. */
char *target_reach_why_not(const struct target_reach *known, size_t count, const struct step *step)
{
	const struct target_reach *none = NULL;

	if (!step->point)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (step->role && strcmp(step->role, known[i].role))
			continue;
		if (known[i].reach == REACH_CALLS)
			return NULL;
		none = &known[i];
	}
	return none ? text_fmt("'%s' cannot be reached by '%s': %s", none->program, step->what,
			      reach_text(none->reach))
		    : NULL;
}
