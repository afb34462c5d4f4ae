#include "report/exporter.h"

#include "base/fs.h"

#include <string.h>

const struct exporter *exporter_find(const char *name)
{
	for (const struct exporter *const *exporter = exporters; *exporter; exporter++)
		if (!strcmp((*exporter)->name, name))
			return *exporter;
	return NULL;
}

int exporter_write_all(const struct campaign_results *campaign, const char *dir, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; exporters[i] && !rc; i++) {
		auto_buf struct buf out = {0};
		auto_free char *path = NULL;

		if (!exporters[i]->file_name)
			continue;
		path = path_join(dir, exporters[i]->file_name);
		rc = exporters[i]->write(campaign, &out, err);
		if (!rc)
			rc = fs_write_atomic(path, buf_text(&out), out.len, err);
	}
	return rc;
}
