/* Where a workload's messages come from: made by the rig, or real ones (`mail: real`, mail/corpus.h). */
#pragma once

#include "api/scenario.h"
#include "base/err.h"
#include "mail/message.h"

struct mail_source;

/* -ENOENT where real mail is wanted and there is none; the source then makes its messages. */
int mail_source_open(struct mail_source **ret, const struct step *step, struct err *err);
void mail_source_close(struct mail_source *source);

/* Message `number`, counted from 0: after `spec`, or of the corpus as it is. Returns the name of the file it
 * came from, which is the source's, or NULL: made. Any thread. */
const char *mail_source_next(const struct mail_source *source, uint32_t number,
	const struct message_spec *spec, struct rng *rng, struct message *ret);

/* True if this step wants real mail and there is none here. */
bool mail_source_lacks(const struct step *step);
