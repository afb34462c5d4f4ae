/*
 * Files of a guest as two streams: a list of "SIZE PATH\0" entries, and the contents one after the other. Both are
 * hostile: a size beyond what is there ends the walk with an error, and no path is ever opened here.
 *
 * Pure; the pointers that `each` gets are good during the call. Errors are sentences about "the list of files".
 */
#pragma once

#include "base/err.h"

#include <stddef.h>

#define FILE_LIST_MAX  100000	   /* files of one list */
#define FILE_PATH_MAX  4096	   /* bytes of a path */
#define FILE_BYTES_MAX (32u << 20) /* of all contents together */

typedef void file_fn(void *arg, const char *path, const char *bytes, size_t len);

/* 0, or -EPROTO after the files before the mistake have been told. */
int file_list_walk(const char *list, size_t list_len, const char *data, size_t data_len,
	file_fn *each, void *arg, struct err *err);

/* Add what `text` (base64, white space ignored) means to `out`. 0 or -EPROTO. */
struct buf;
int file_list_decode(const char *text, size_t len, struct buf *out, struct err *err);
