#include "faults/guest/board_glob.h"

#include <stddef.h>

/* Where to go on after a mismatch: the pattern behind a star, and how far the star has eaten. */
struct star {
	const char *glob;
	const char *path;
	bool whole; /* eats whole components */
};

static bool ended(char c)
{
	return !c || c == ',';
}

/* The last `*` eats one byte more, or else the last `**`. A `*` before the last one need not be
 * tried again: what it could reach, the last one in its component reaches too. */
static bool eat_more(struct star *star, struct star *deep)
{
	if (star->glob && *star->path && *star->path != '/') {
		star->path++;
		return true;
	}
	star->glob = NULL;
	if (!deep->glob || !*deep->path)
		return false;
	while (deep->whole && *deep->path && *deep->path != '/')
		deep->path++;
	if (!*deep->path)
		return false;
	deep->path++;
	return true;
}

bool board_glob_match(const char *glob, const char *path)
{
	struct star star = {0}, deep = {0};

	for (;;) {
		if (glob[0] == '*' && glob[1] == '*') {
			bool whole = glob[2] == '/';

			glob += whole ? 3 : 2;
			deep = (struct star){glob, path, whole};
			star.glob = NULL;
		} else if (glob[0] == '*') {
			star = (struct star){++glob, path, false};
		} else if (ended(*glob) && !*path) {
			return true;
		} else if (!ended(*glob) && *path &&
			   (*glob == *path || (*glob == '?' && *path != '/'))) {
			glob++;
			path++;
		} else if (eat_more(&star, &deep)) {
			glob = star.glob ? star.glob : deep.glob;
			path = star.glob ? star.path : deep.path;
		} else {
			return false;
		}
	}
}

bool board_globs_match(const char *globs, const char *path)
{
	for (;;) {
		if (board_glob_match(globs, path))
			return true;
		while (!ended(*globs))
			globs++;
		if (!*globs)
			return false;
		globs++;
	}
}
