/* Seeds for the fuzz targets: DIR/<fuzzer>/<number>. Aborts where they cannot be written. */
#pragma once

void make_seeds(const char *dir);
