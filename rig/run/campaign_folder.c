#include "run/campaign_folder.h"

#include "base/clock.h"
#include "base/fs.h"

#include <sys/stat.h>
#include <time.h>

#define SPACE_MIN (INT64_C(64) << 20) /* bytes; a cell leaves 3 to 10 MiB, more if it hangs */

int campaign_space(const char *dir, struct err *err)
{
	int64_t free_bytes = fs_free_bytes(dir, err);

	if (free_bytes < 0)
		return (int)free_bytes;
	if (free_bytes < SPACE_MIN)
		return err_set(err, -ENOSPC,
			"only %lld MiB are free for results in '%s', and %lld are needed; "
			"--results may "
			"name another folder",
			(long long)free_bytes >> 20, dir, (long long)SPACE_MIN >> 20);
	return 0;
}

int campaign_folder(struct campaign *campaign, const char *results, struct err *err)
{
	time_t now = (time_t)(clock_real_ns() / NS_PER_SEC);
	char date[32];
	struct tm tm;
	int rc = fs_mkdir_p(results, err);

	if (!rc)
		rc = campaign_space(results, err);
	if (rc)
		return rc;
	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	for (int n = 1; n < 100000; n++) {
		auto_free char *latest = path_join(results, "latest");
		char *name = text_fmt("%s.%d", date, n);
		char *dir = path_join(results, name);

		if (!mkdir(dir, 0777)) {
			campaign->name = name;
			campaign->dir = dir;
			return fs_symlink(name, latest, err);
		}
		rc = errno;
		if (rc != EEXIST)
			err_sys(err, rc, "cannot make '%s'", dir);
		free(name);
		free(dir);
		if (rc != EEXIST)
			return -rc;
	}
	return err_set(err, -ENOSPC, "'%s' holds too many campaigns of today", results);
}
