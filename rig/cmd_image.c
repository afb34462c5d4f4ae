#include "cmd.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "run/plan/plan.h"
#include "vm/image.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

const char usage_image[] =
	"usage: mailrig image list [--json] | build NAME [--rebuild] | verify [NAME] | remove "
	"[NAME|KEY]\n\n"
	"The images that machines boot from; recipes are the folders of vm-images/.\n"
	"  list    what is in the cache\n"
	"  build   build one, unless it is there (--rebuild: although it is)\n"
	"  verify  hash the files again\n"
	"  remove  remove one; without a name all images, initrds, downloaded packages and "
	"templates\n";

static int list(bool as_json)
{
	auto_json json_t *images = NULL;
	struct err err = {0};
	json_t *one;
	size_t i;

	if (image_list(&images, &err))
		return cmd_fail(EXIT_TROUBLE, &err);
	if (as_json) {
		json_dumpf(images, stdout, JSON_INDENT(2));
		putchar('\n');
		return EXIT_OK;
	}
	json_array_foreach (images, i, one)
		printf("%-28s %s  %lld MiB  %s\n", json_get_text(one, "name", "?"),
			json_get_text(one, "key", "?"),
			(long long)(json_get_int(one, "size_bytes", 0) >> 20),
			json_get_text(one, "path", "?"));
	if (!json_array_size(images))
		puts("no images yet");
	return EXIT_OK;
}

static void on_progress(void *arg, const struct image_progress *progress)
{
	(void)arg;
	if (progress->steps)
		fprintf(stderr, "  %u of %u: %s\n", progress->step, progress->steps,
			progress->what);
	else
		fprintf(stderr, "  %s\n", progress->what);
}

/* Ctrl-C becomes readable, so that a build is given up in good order. */
static int interrupt_fd(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int build(const char *root, const char *name, bool rebuild)
{
	auto_close int cancel = interrupt_fd();
	struct image_request request = {
		.root = root,
		.name = name,
		.rebuild = rebuild,
		.deadline_ns = CLOCK_NEVER,
		.cancel_fd = cancel,
		.progress = on_progress,
	};
	struct image image = {0};
	struct err err = {0};
	int rc = image_ensure(&request, &image, &err);

	if (rc)
		return cmd_fail(rc == -ECANCELED ? EXIT_INTERRUPTED
				: rc == -ENOENT	 ? EXIT_USAGE
						 : EXIT_TROUBLE,
			&err);
	printf("%s  id %.16s  %s\n", name, image.id, image.dir);
	image_close(&image);
	return EXIT_OK;
}

int cmd_image(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	const char *word = argc > 2 && argv[2][0] != '-' ? argv[2] : NULL;
	const char *flag = argc > 2 && argv[argc - 1][0] == '-' ? argv[argc - 1] : "";
	auto_free char *root = NULL;
	struct err err = {0};

	if (cmd_wants_help(argc, argv, usage_image))
		return EXIT_OK;
	if (argc > 2 + (word != NULL) + (*flag != '\0'))
		return cmd_misused("image", "too many words");
	if (*flag && !(!strcmp(verb, "list") && !strcmp(flag, "--json")) &&
		!(!strcmp(verb, "build") && !strcmp(flag, "--rebuild")))
		return cmd_misused("image", "'%s' is not understood", flag);
	root = plan_root(&err);
	if (!root)
		return cmd_fail(EXIT_TROUBLE, &err);
	if (!strcmp(verb, "list") && !word)
		return list(*flag);
	if (!strcmp(verb, "build") && word)
		return build(root, word, *flag);
	if (!strcmp(verb, "verify"))
		return image_verify(word, &err) ? cmd_fail(EXIT_TROUBLE, &err) : EXIT_OK;
	if (!strcmp(verb, "remove"))
		return image_remove(root, word, &err) ? cmd_fail(EXIT_TROUBLE, &err) : EXIT_OK;
	return cmd_misused("image", "say list, build NAME, verify or remove");
}
