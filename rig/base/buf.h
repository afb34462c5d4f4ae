/*
 * A growable byte buffer. `data` is always NUL-terminated behind `len` once anything was added, so
 * that text may be read in place; bytes may hold NUL. Zero-initialise it (`struct buf b = {0};`),
 * buf_free() it (or declare it `auto_buf`). Growth failure aborts: the rig does not run on without
 * memory. Input from outside is bounded by its reader before it comes here.
 */
#pragma once

#include "base/cleanup.h"

#include <stdarg.h>
#include <stddef.h>

struct buf {
	char *data;
	size_t len;
	size_t size;
};

void buf_free(struct buf *buf);
void buf_reset(struct buf *buf);		 /* empty, memory kept */
char *buf_reserve(struct buf *buf, size_t more); /* room behind len; add to len yourself */
void buf_add(struct buf *buf, const void *bytes, size_t len);
void buf_add_str(struct buf *buf, const char *text);
void buf_addc(struct buf *buf, char c);
void buf_addf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_addv(struct buf *buf, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Bytes from outside, fit for a terminal and a log line: printable ASCII and valid UTF-8 from U+00A0 on
 * stay, everything else becomes \n, \t, \r or \xNN. */
void buf_add_escaped(struct buf *buf, const char *bytes, size_t len);
void buf_consume(struct buf *buf, size_t len); /* drop from the front */
char *buf_steal(struct buf *buf);	     /* the text (never NULL), caller frees; buf is empty */
const char *buf_text(const struct buf *buf); /* never NULL */

#define auto_buf cleanup(buf_free)

/* asprintf that aborts instead of failing; caller frees. */
char *text_fmt(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *text_dup(const char *text);		      /* NULL stays NULL */
char *text_dup_n(const char *text, size_t len);	      /* NUL-terminated copy of len bytes */
void *mem_zero(size_t count, size_t size);	      /* calloc that aborts instead of failing */
void *mem_grow(void *old, size_t count, size_t size); /* reallocarray, likewise */

/* Length in bytes (1..4) of the UTF-8 character (RFC 3629) at `bytes`, 0 if there is none. */
size_t utf8_char(const char *bytes, size_t len);
