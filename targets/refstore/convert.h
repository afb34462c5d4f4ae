/*
 * Message conversion between internet format (RFC 5322) and store format: each header field is the
 * number of its name and its text, the rest is kept as it is. Nothing is lost: out of in gives the
 * same bytes. Two locks: the table of header names, and the scratch buffer that both ways use.
 */
#pragma once

#include "common.h"
#include "wal.h"

void convert_in(const char *mail, size_t len, struct bytes *ret_stored);
void convert_out(const char *stored, size_t len, struct bytes *ret_mail);
unsigned int conversions_waiting(void); /* begun, and without the two locks yet */

/* The names are part of the database. */
void convert_apply_name(struct fields *fields); /* a record 'N' behind its type */
void convert_dump_names(struct bytes *out);
