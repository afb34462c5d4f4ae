/* Bytes written as pairs of lower-case hexadecimal digits. Pure. */
#pragma once

#include <stddef.h>

/* The bytes that `text` begins with, at most `size`: it ends before the first pair that is none. */
size_t hex_read(const char *text, size_t len, void *out, size_t size);
