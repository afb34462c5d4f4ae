#include "settings.h"

#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX 8

static const char *const names[SETTING_COUNT] = {
	[SET_F1] = "f1",
	[SET_F2] = "f2",
	[SET_F3] = "f3",
	[SET_F4] = "f4",
	[SET_F5] = "f5",
	[SET_GATEWAY_OUT_THREADS] = "gateway_out_threads",
	[SET_CONVERSION_THREADS] = "conversion_threads",
	[SET_TRACKING] = "tracking",
};

static _Atomic int values[SETTING_COUNT] = {
	[SET_GATEWAY_OUT_THREADS] = 1,
	[SET_CONVERSION_THREADS] = THREADS_MAX,
	[SET_TRACKING] = 1,
};

int setting(enum setting which)
{
	return values[which];
}

static bool is_choice(int which)
{
	return which <= SET_F5;
}

static int parse(int which, const char *value)
{
	char *end;
	long number;

	if (is_choice(which))
		return !strcmp(value, "shipped") ? 1 : !strcmp(value, "hotfixed") ? 0 : -EINVAL;
	number = strtol(value, &end, 10);
	if (*end || end == value || number < (which == SET_CONVERSION_THREADS) ||
		number > THREADS_MAX)
		return -EINVAL;
	return (int)number;
}

int setting_set(const char *name, const char *value)
{
	for (int i = 0; i < SETTING_COUNT; i++) {
		int number = strcmp(name, names[i]) ? -EINVAL : parse(i, value);

		if (number < 0)
			continue;
		values[i] = number;
		return 0;
	}
	return -EINVAL;
}

void settings_load(const char *path)
{
	FILE *file = fopen(path, "re");
	char name[64], value[64];

	if (!file)
		return;
	while (fscanf(file, "%63s %63s", name, value) == 2)
		if (setting_set(name, value))
			say("warning: settings: '%s %s' is not known", name, value);
	fclose(file);
}

int settings_save(const char *path)
{
	struct bytes text = {0}, temporary = {0};
	int fd, rc = 0;

	for (int i = 0; i < SETTING_COUNT; i++)
		if (is_choice(i))
			bytes_addf(&text, "%s %s\n", names[i], values[i] ? "shipped" : "hotfixed");
		else
			bytes_addf(&text, "%s %d\n", names[i], values[i]);
	bytes_addf(&temporary, "%s.new", path);
	fd = open(temporary.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len || fsync(fd) ||
		rename(temporary.data, path))
		rc = -errno;
	if (fd >= 0)
		close(fd);
	bytes_free(&text);
	bytes_free(&temporary);
	return rc;
}
