/*
 * An exporter: the results of a campaign in somebody else's format. One file
 * rig/report/exporters/<name>.c with one `const struct exporter exporter_<name>`; registered by
 * existing. Pure text out, no other effect.
 */
#pragma once

#include "api/verdict.h"
#include "base/buf.h"

struct campaign_results {
	const char *name; /* "2026-11-22.1" */
	const char *version;
	int64_t began_ns; /* CLOCK_REALTIME */
	int64_t wall_ms;
	const struct result *cells;
	size_t count;
};

struct exporter {
	const char *name; /* "junit" */
	const char *summary;
	const char *file_name; /* written into every campaign's folder, or NULL: only on request */
	int (*write)(const struct campaign_results *campaign, struct buf *out, struct err *err);
};

extern const struct exporter *const exporters[];
const struct exporter *exporter_find(const char *name);

/* Each exporter that has a file name writes it into `dir`. */
int exporter_write_all(const struct campaign_results *campaign, const char *dir, struct err *err);
