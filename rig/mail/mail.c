#include "mail/mail.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *mail_outcome_name(enum mail_outcome outcome)
{
	static const char *const names[] = {
		[MAIL_NO] = "NO", [MAIL_OK] = "OK", [MAIL_MAYBE] = "MAYBE"};

	return names[outcome];
}

int64_t mail_now(const struct mail_opts *opts)
{
	return opts->clock_ns ? opts->clock_ns(opts->arg) : clock_mono_ns();
}

int mail_moment(
	const struct mail_opts *opts, const char *protocol, const char *moment, const char *tag)
{
	char name[64];

	if (!opts->moment)
		return 0;
	snprintf(name, sizeof(name), "%s/%s", protocol, moment);
	return opts->moment(opts->arg, name, tag);
}

int64_t mail_reply_deadline(const struct mail_opts *opts)
{
	int64_t at = deadline_in_ms(opts->reply_ms ? opts->reply_ms : MAIL_REPLY_MS);

	return opts->deadline_ns && opts->deadline_ns < at ? opts->deadline_ns : at;
}

void mail_text(char *out, size_t size, const char *bytes, size_t len)
{
	size_t n = len < size ? len : size - 1;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)bytes[i];

		out[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
	out[n] = '\0';
}

void mail_failure(char *out, const char *doing, int rc, const struct mail_opts *opts)
{
	long long ms = (long long)(opts->reply_ms ? opts->reply_ms : MAIL_REPLY_MS);

	if (rc == -ETIMEDOUT && opts->deadline_ns && !deadline_left_ms(opts->deadline_ns))
		snprintf(out, MAIL_TEXT_MAX, "%s: no answer by the session's deadline", doing);
	else if (rc == -ETIMEDOUT)
		snprintf(out, MAIL_TEXT_MAX, "%s: no answer for %lld ms", doing, ms);
	else if (rc == -EPIPE || rc == -ECONNRESET)
		snprintf(out, MAIL_TEXT_MAX, "%s: connection %s", doing,
			rc == -EPIPE ? "closed by the store" : "reset by the store");
	else if (rc == -EMSGSIZE)
		snprintf(out, MAIL_TEXT_MAX, "%s: the store's answer is too long", doing);
	else if (rc == -EPROTO)
		snprintf(out, MAIL_TEXT_MAX, "%s: the store's answer is no answer", doing);
	else if (rc == -ECANCELED)
		snprintf(out, MAIL_TEXT_MAX, "%s: ended by the rig", doing);
	else
		snprintf(out, MAIL_TEXT_MAX, "%s: %s", doing, strerror(-rc));
}
