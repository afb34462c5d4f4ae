/*
 * Hostile text into XML 1.0 (5th ed., 2.2 and 2.4) and HTML: what the format cannot hold (control
 * characters, invalid UTF-8, U+FFFE, U+FFFF) becomes \xNN, what it would obey becomes an entity. Good
 * inside elements and inside double-quoted attributes.
 */
#pragma once

#include "base/buf.h"

void markup_add(struct buf *out, const char *text); /* NULL is "" */

/* Bytes into one segment of a URL (RFC 3986, 2.1): all but the unreserved are percent-encoded. */
void markup_add_url(struct buf *out, const char *text);
