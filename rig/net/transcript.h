/*
 * Dialogues for people: lines with times,
 *
 *	   3.4012 C: MAIL FROM:<a@x>
 *	   3.4040 S: 250 2.1.0 Ok
 *
 * the content of a mail folded into one line (size, hash, token), credentials left out, of a reply of many
 * lines the first. Everything is escaped: bytes outside printable ASCII show as \xNN.
 *
 * transcript_event() is pure. A `struct transcripts` keeps one file per connection in a folder; its
 * owner calls it from one thread (or under one lock). A write that fails is told by transcripts_close().
 */
#pragma once

#include "base/buf.h"
#include "net/dialogue.h"

#define TRANSCRIPT_FILES_MAX 10000 /* connections that get a file; beyond, they are counted */

void text_escape(struct buf *out, const char *text);

/* Add the event's lines, if it has any, with times as seconds since `epoch_ns`. */
void transcript_event(struct buf *out, const struct dialogue_event *event, int64_t epoch_ns);

struct transcripts;

/* `dir` must exist. Files are called PROTOCOL-NNNN.txt by the connection's number. */
struct transcripts *transcripts_new(const char *dir, int64_t epoch_ns);
void transcripts_event(void *transcripts, const struct dialogue_event *event); /* a dialogue_fn */
int transcripts_close(struct transcripts *transcripts, struct err *err); /* NULL is no error */
