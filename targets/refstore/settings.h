/*
 * The administrator's settings, one text file that every service reads at its start and again when
 * told (SET on its control socket). Reading a value is safe from any thread.
 */
#pragma once

#include <stdbool.h>

enum setting {
	SET_F1, /* log flush at thaw: 0 hotfixed, 1 shipped; likewise the next four */
	SET_F2, /* order of the conversion's two locks */
	SET_F3, /* references to notification objects */
	SET_F4, /* flush tasks of a move while the gateway is switched off */
	SET_F5, /* references to messages that are being tracked */
	SET_GATEWAY_OUT_THREADS, /* 0: the administrator's sign that the MTA is switched off */
	SET_CONVERSION_THREADS,
	SET_TRACKING, /* message tracking log */
	SETTING_COUNT,
};

int setting(enum setting setting);
/* -EINVAL: no such name or value. Changes this process alone. */
int setting_set(const char *name, const char *value);
void settings_load(const char *path); /* a missing file leaves the defaults */
int settings_save(const char *path);
