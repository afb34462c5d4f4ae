/* What the parts of a story share. Private to rig/report/story*.c. */
#pragma once

#include "api/history.h"
#include "api/verdict.h"
#include "base/buf.h"

#define STORY_COLUMNS 80

/* One line of a guest's bytes: printable ASCII, cut. */
void story_plain(struct buf *out, const char *text);
/* Words between `indent` and the right edge; the first line begins at `column` already. Printable ASCII. */
void story_wrap(struct buf *out, const char *text, size_t indent, size_t column);

/* story_finding.c: who causes it, why it is a finding, what the clients saw (finding may be NULL); what is not
 * known. */
void story_causes(const struct finding *finding, const struct history *history, struct buf *out);
void story_clients(const struct finding *finding, const struct history *history, struct buf *out);
void story_unknown(const struct result *result, struct buf *out);

/* story_recovery.c: whether it ends by itself, of each finding that was run on */
void story_recovery(const struct result *result, const struct history *history, struct buf *out);

/* story_laws.c */
void story_laws(const struct result *result, const struct history *history, struct buf *out);

/* story_timeline.c */
void story_timeline(const struct history *history, const struct result *result, struct buf *out);
