/*
 * Which accelerator QEMU can use here. That /dev/kvm exists and opens proves nothing: on some hosts
 * it makes vCPUs and a kernel still never boots. So the probe boots the given kernel until it
 * starts its first program, with a deadline, and falls back to TCG. The answer is kept in the rig's
 * cache under the host's kernel, QEMU's version and the processor. $MAILRIG_ACCEL (kvm or tcg)
 * overrides everything.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>

#define ACCEL_TEXT_MAX 160

struct accel {
	char name[8];		   /* "kvm" or "tcg" */
	char qemu[ACCEL_TEXT_MAX]; /* QEMU's version, "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)" */
	char cpu[ACCEL_TEXT_MAX];  /* the host's processor and kernel, as in the cache's key */
	char why[ACCEL_TEXT_MAX];  /* one sentence: "booted in 0.4 s", "/dev/kvm is missing", ... */
	bool kvm;
	bool cached; /* the answer came from the cache */
};

/* Fails when there is no QEMU, or the environment asks for what is unknown; a KVM that does not
 * work is no failure but TCG. Takes up to 15 s once per host, a few ms from the cache. Any thread.
 */
/* Without a kernel: only what is known already; -ENOENT if that takes a boot. */
int accel_probe(const char *kernel, const char *initrd, struct accel *ret, struct err *err);

/* The arguments: "-accel X" and "-cpu Y". */
const char *accel_argument(const struct accel *accel); /* "tcg,thread=multi", "kvm" */
const char *accel_cpu(const struct accel *accel);      /* "max,..." or "host" */
