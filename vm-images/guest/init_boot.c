#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void say_v(const char *fmt, va_list ap)
{
	int64_t ms = now_ms();

	dprintf(STDERR_FILENO, "rig: [%d.%03d] ", (int)(ms / 1000), (int)(ms % 1000));
	vdprintf(STDERR_FILENO, fmt, ap);
	dprintf(STDERR_FILENO, "\n");
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_v(fmt, ap);
	va_end(ap);
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_v(fmt, ap);
	va_end(ap);
	exit(1);
}

size_t read_text(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

/*
 * A file that is right already is left alone, so that a reboot writes nothing to the disk. Else the
 * new file is whole before it gets the name: the power may be cut here too.
 */
void write_text(const char *path, const char *text)
{
	char old[INIT_FILE_MAX], temp[128];
	size_t len = strlen(text);
	int fd;

	if (!access(path, F_OK) && read_text(path, old, sizeof(old)) == len && !strcmp(old, text))
		return;
	snprintf(temp, sizeof(temp), "%s.rig", path);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, len) != (ssize_t)len || fsync(fd) || rename(temp, path))
		die("cannot write '%s': %s", path, strerror(errno));
	close(fd);
}

/* ---- the kernel command line -------------------------------------------------------------------
 */

static void add_pair(struct pair *pairs, size_t *count, char *text)
{
	char *colon = strchr(text, ':');

	if (!colon || *count == INIT_PAIRS_MAX)
		die("cannot use '%s' of the kernel command line", text);
	*colon = '\0';
	pairs[(*count)++] = (struct pair){text, colon + 1};
}

static void use_address(struct boot *boot, char *text)
{
	char *slash = strchr(text, '/');

	boot->address = text;
	if (!slash)
		return;
	*slash = '\0';
	boot->prefix = atoi(slash + 1);
	if (boot->prefix < 1 || boot->prefix > 31)
		die("'%s' is no network prefix", slash + 1);
}

static char *after(char *word, const char *key)
{
	size_t len = strlen(key);

	return strncmp(word, key, len) ? NULL : word + len;
}

static void use_word(struct boot *boot, char *word)
{
	char *value;

	if ((value = after(word, "rig.hostname=")))
		boot->hostname = value;
	else if ((value = after(word, "rig.ip=")))
		use_address(boot, value);
	else if ((value = after(word, "rig.host=")))
		add_pair(boot->hosts, &boot->host_count, value);
	else if ((value = after(word, "rig.mount=")))
		add_pair(boot->mounts, &boot->mount_count, value);
	else if ((value = after(word, "rig.preload=")))
		boot->preload = strcmp(value, "0") != 0;
	else if (after(word, "rig.") && strcmp(word, "rig.shell"))
		die("unknown word '%s' on the kernel command line", word);
}

void boot_read(struct boot *boot)
{
	char *save = NULL;

	*boot = (struct boot){
		.hostname = "store", .address = "10.0.2.15", .prefix = 24, .preload = true};
	if (read_text("/proc/cmdline", boot->cmdline, INIT_CMDLINE_MAX) == INIT_CMDLINE_MAX - 1)
		die("the kernel command line is too long");
	for (char *word = strtok_r(boot->cmdline, " \n", &save); word;
		word = strtok_r(NULL, " \n", &save))
		use_word(boot, word);
}
