#include "cmd.h"

#include "base/fs.h"
#include "base/json.h"
#include "report/exporter.h"

#include <stdio.h>
#include <string.h>

#define RESULTS_MAX (64u << 20)

const char usage_export[] =
	"usage: mailrig export FORMAT [--out PATH] [CAMPAIGN]\n\n"
	"A campaign (default: results/latest) in another format; see `mailrig list exporters`.\n"
	"  --out PATH  write there instead of to standard output\n";

static int load_campaign(
	const char *dir, json_t **ret, struct campaign_results *campaign, struct err *err)
{
	auto_free char *path = path_join(dir, "results.json");
	json_t *json = json_load_path(path, RESULTS_MAX, err), *cell;
	struct result *cells;
	size_t i, count;

	if (!json)
		return -ENOENT;
	count = json_array_size(json_object_get(json, "cells"));
	cells = mem_zero(count, sizeof(*cells));
	json_array_foreach (json_object_get(json, "cells"), i, cell) {
		int rc = result_from_json(cell, &cells[i], err);

		if (rc) {
			json_decref(json);
			free(cells);
			return err_wrap(err, rc, "'%s'", path);
		}
	}
	*campaign = (struct campaign_results){
		.name = json_get_text(json, "campaign", "campaign"),
		.version = json_get_text(json, "mailrig", MAILRIG_VERSION),
		.began_ns = json_get_int(json, "began_ns", 0),
		.wall_ms = json_get_int(json, "wall_ms", 0),
		.cells = cells,
		.count = count,
	};
	*ret = json;
	return 0;
}

int cmd_export(int argc, char **argv)
{
	const char *format = NULL, *out = NULL, *dir = NULL;
	const struct exporter *exporter;
	struct campaign_results campaign = {0};
	auto_json json_t *json = NULL;
	auto_buf struct buf text = {0};
	struct err err = {0};
	int rc;

	if (cmd_wants_help(argc, argv, usage_export))
		return EXIT_OK;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--out") && i + 1 < argc)
			out = argv[++i];
		else if (argv[i][0] == '-' || dir)
			return cmd_misused("export", "'%s' is not understood", argv[i]);
		else if (!format)
			format = argv[i];
		else
			dir = argv[i];
	}
	if (!format)
		return cmd_misused("export", "a format is missing");
	exporter = exporter_find(format);
	if (!exporter)
		return cmd_misused("export", "no format '%s'", format);
	rc = load_campaign(dir ? dir : "results/latest", &json, &campaign, &err);
	if (!rc)
		rc = exporter->write(&campaign, &text, &err);
	if (!rc && out)
		rc = fs_write_atomic(out, buf_text(&text), text.len, &err);
	else if (!rc)
		fwrite(buf_text(&text), 1, text.len, stdout);
	for (size_t i = 0; i < campaign.count; i++)
		result_free((struct result *)&campaign.cells[i]);
	free((void *)campaign.cells);
	return rc ? cmd_fail(EXIT_TROUBLE, &err) : EXIT_OK;
}
