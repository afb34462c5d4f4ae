/*
 * The moments of a dialogue that a step can wait for: "smtp/data", "imap/fetch/reply". What the drivers
 * in rig/mail and the wire in rig/net tell, by name. Constant data.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* 0, or -EINVAL with a sentence that begins with 'when: MOMENT'. */
int moment_check(const char *moment, struct err *err);

/*
 * `tag` of a step that begins at `moment`, which is one: 0, or -EINVAL with a sentence that begins with
 * 'tag: TAG'. Of IMAP commands alone, with what RFC 3501 section 9 calls a tag, and one that the rig's
 * clients send: r1, r2 ... in each session.
 */
int moment_tag_check(const char *moment, const char *tag, struct err *err);

/* The i-th protocol, or NULL; and what is said of its moments, one word each. */
const char *moment_protocol(size_t i);
void moment_names(size_t i, struct buf *out);
