#include "vm/machine_priv.h"

#include "base/fs.h"

#include <string.h>

#define SPACE_MIN_BYTES (INT64_C(256) << 20)

/* The machine as --dry-run shows it: nothing is opened, so descriptors appear as named sockets. */
void machine_command_line(
	const struct machine_spec *spec, const struct machine_options *options, struct buf *out)
{
	auto_buf struct buf netdev = {0};
	struct qemu_line line = {.spec = spec,
		.dir = options->dir,
		.memory_kind = QEMU_MEMORY_PLAIN,
		.capture = options->capture,
		.tap_fd = -1,
		.qmp_fd = -1,
		.qga_fd = -1,
		.witness_fd = -1};
	char **argv;

	network_netdev(&spec->network, network_resolve(spec->network.kind), -1, &netdev);
	line.netdev = buf_text(&netdev);
	argv = qemu_argv(&line);
	qemu_argv_shell(argv, out);
	qemu_argv_free(argv);
}

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");

	for (const char *at = path ? path : "/usr/bin:/bin"; *at;) {
		size_t len = strcspn(at, ":");
		auto_free char *file = text_fmt("%.*s/%s", (int)len, at, program);

		if (len && !access(file, X_OK))
			return true;
		at += len + (at[len] == ':');
	}
	return false;
}

static int check_readable(const char *what, const char *path, struct err *err)
{
	return access(path, R_OK) ? err_sys(err, errno, "cannot read the %s '%s'", what, path) : 0;
}

int machine_check_host(const struct machine_spec *spec, const char *dir, struct err *err)
{
	int64_t free_bytes;
	int rc;

	if (!in_path(QEMU_PROGRAM))
		return err_set(err, -ENOENT, "there is no '" QEMU_PROGRAM "'; run make deps");
	if (!in_path(QEMU_IMG_PROGRAM))
		return err_set(err, -ENOENT, "there is no '" QEMU_IMG_PROGRAM "'; run make deps");
	rc = check_readable("kernel", spec->kernel, err);
	if (!rc)
		rc = check_readable("initrd", spec->initrd, err);
	for (size_t i = 0; !rc && i < spec->disk_count; i++)
		rc = check_readable("disk image", spec->disks[i].base, err);
	if (!rc)
		rc = fs_mkdir_p(dir, err);
	if (rc)
		return rc;
	free_bytes = fs_free_bytes(dir, err);
	if (free_bytes < 0)
		return (int)free_bytes;
	if (free_bytes < SPACE_MIN_BYTES)
		return err_set(err, -ENOSPC,
			"only %lld MiB are free for '%s', a machine needs %lld",
			(long long)free_bytes >> 20, dir, (long long)SPACE_MIN_BYTES >> 20);
	return 0;
}
