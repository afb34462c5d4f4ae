#include "run/plan/mail_source.h"

#include "base/log.h"
#include "mail/corpus.h"

#include <string.h>

struct mail_source {
	struct corpus *corpus; /* NULL: messages are made */
};

static bool wants_real(const struct step *step)
{
	const char *mail = step_param(step, "mail");

	return mail && !strcmp(mail, "real");
}

int mail_source_open(struct mail_source **ret, const struct step *step, struct err *err)
{
	struct mail_source *source = mem_zero(1, sizeof(*source));
	auto_free char *dir = corpus_default_dir();

	*ret = source;
	return wants_real(step) ? corpus_open(&source->corpus, dir, err) : 0;
}

void mail_source_close(struct mail_source *source)
{
	if (!source)
		return;
	corpus_close(source->corpus);
	free(source);
}

const char *mail_source_next(const struct mail_source *source, uint32_t number,
	const struct message_spec *spec, struct rng *rng, struct message *ret)
{
	auto_buf struct buf bytes = {0};
	const char *name = NULL;
	struct err err = {0};

	if (source->corpus && corpus_read(source->corpus, number, &bytes, &name, &err)) {
		log_line("real mail: %s; one is made instead", err.text);
		name = NULL;
	}
	if (name)
		message_wrap(ret, rng, buf_text(&bytes), bytes.len);
	else
		message_make(ret, rng, spec);
	return name;
}

bool mail_source_lacks(const struct step *step)
{
	struct mail_source *source = NULL;
	bool lacks = mail_source_open(&source, step, NULL) != 0;

	mail_source_close(source);
	return lacks;
}
