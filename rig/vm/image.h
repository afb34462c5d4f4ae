/*
 * Images: what a machine boots from, built from the recipes in vm-images/ and kept in the rig's cache.
 *
 *	images/<key>/	vmlinuz, initrd, root.img (raw ext4), manifest.tsv (package, version), image.json
 *	images/<key>.log what the tools said while it was built
 *	images/lock	held while anybody builds or removes
 *	packages/	package lists and .deb files, so that a second build downloads nothing
 *	initrds/<id>	an image's initrd with the rig's own guest code behind it
 *
 * The key is made of the recipe and the builder: a changed recipe is another image. The id is the hash of
 * the root file system that came out: the same id is the same bytes. An image is built in a folder beside
 * and renamed when it is complete; the build is a child that dies with the rig, and what a killed build left
 * is removed by the next. Once built, nothing here needs a network.
 *
 * Thread context: image_ensure(), image_list(), image_remove(), image_verify(): any thread, but see
 * proc_spawn() for image_ensure(). Struct contents are owned by the struct; image_close() releases.
 */
#pragma once

#include "base/err.h"
#include "base/hash.h"
#include "vm/network.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_KEY_SIZE	17 /* 16 hex digits and the NUL */
#define IMAGE_LABEL_MAX 16 /* an ext4 label */

/* Where a build stands: `step` of `steps`, 0 of 0 while it waits for somebody else's build. */
struct image_progress {
	unsigned int step, steps;
	const char *what; /* one phrase: "kernel" */
};

struct image_request {
	const char *root;    /* the repository's root folder */
	const char *name;    /* folder of vm-images/ */
	bool rebuild;	     /* build again although it is in the cache */
	int64_t deadline_ns; /* waiting for another builder and building together */
	int cancel_fd;	     /* give up with -ECANCELED once this is readable; -1: never */
	void (*progress)(void *arg, const struct image_progress *progress); /* NULL: quiet */
	void *arg;
};

struct image {
	char *dir;
	char *kernel, *initrd, *disk;
	char key[IMAGE_KEY_SIZE];
	char id[HASH_HEX_SIZE];	       /* of root.img */
	char kernel_id[HASH_HEX_SIZE]; /* of vmlinuz */
	char initrd_id[HASH_HEX_SIZE]; /* of initrd */
	json_t *json; /* image.json: name, key, id, ..., packages {name: version} */
};

/* From the cache, or built now. -ENOENT: no such recipe; -ENOSPC, -EIO with the tool's last words. */
int image_ensure(const struct image_request *request, struct image *ret, struct err *err);
void image_close(struct image *image); /* takes NULL and zeroes */

/* The key alone: which folder of the cache would be used. */
int image_key(const char *root, const char *name, char ret[IMAGE_KEY_SIZE], struct err *err);

/* An array of image.json objects, each with "path" and "size_bytes" added; a new reference. */
int image_list(json_t **ret, struct err *err);

/* Remove by name, by key or unique beginning of a key; NULL: all images, initrds and packages. -ENOENT. */
int image_remove(const char *root, const char *which, struct err *err);

/* Hash the files of those (NULL: all) again: -EBADMSG and a sentence if one is not what was built. */
int image_verify(const char *which, struct err *err);

/*
 * The initrd to boot: the image's, and behind it an archive of the rig's guest code, which the guest finds
 * in /run/rig: init, witness and librigfault.so out of `guest_dir` (whichever are there; init must be), and in
 * target/ the files of `target_dir` but sources, together with those of `programs_dir`. Cached by content:
 * `ret_id` names it. Caller frees the path.
 */
struct image_payload {
	const struct image *image;
	const char *guest_dir;	  /* build/guest */
	const char *target_dir;	  /* targets/<name>; NULL: none */
	const char *programs_dir; /* the target's compiled programs; NULL or absent: none */
};
int image_payload(const struct image_payload *payload, char **ret_path, char ret_id[HASH_HEX_SIZE],
	struct err *err);

/* A new sparse raw disk at `path` with an empty ext4 of that label; the same bytes every time. `quota`: it counts
 * what each user has. */
int image_disk(const char *root, const char *path, const char *label, uint64_t size_bytes,
	bool quota, struct err *err);

/*
 * The kernel command line behind the machine's own words, in vm-images/guest/init.c's language. -EINVAL for
 * a word that would not survive there. Caller frees.
 */
struct image_mount {
	const char *label; /* of the disk: image_disk() */
	const char *path;  /* in the guest */
};
struct image_boot {
	const char *hostname;
	const char *address;		  /* "10.0.2.15/24" */
	const struct network_name *names; /* ended by a NULL name; NULL: none */
	const struct image_mount *mounts;
	size_t mount_count;
	bool preload; /* let every program of the guest load librigfault.so */
};
int image_append(const struct image_boot *boot, char **ret, struct err *err);
