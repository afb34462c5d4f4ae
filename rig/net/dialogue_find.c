/* Which protocol a connection speaks, from its first bytes. */
#include "net/dialogue_priv.h"

static bool begins(const struct buf *bytes, const char *prefix)
{
	struct line line = {buf_text(bytes), bytes->len};

	return line_begins(line, prefix);
}

static bool begins_one_of(const struct buf *bytes, const char *const *prefixes)
{
	for (; *prefixes; prefixes++)
		if (begins(bytes, *prefixes))
			return true;
	return false;
}

/* A server speaks first in all four protocols. */
enum dialogue_protocol dialogue_find_out(const struct dialogue *d)
{
	static const char *const smtp_codes[] = {
		"220 ", "220-", "421 ", "554 ", "250 ", "250-", NULL};
	static const char *const imap_greetings[] = {"* OK", "* PREAUTH", "* BYE", NULL};
	static const char *const smtp_verbs[] = {"EHLO ", "HELO ", "MAIL FROM:", "RCPT TO:", NULL};
	const struct buf *client = &d->first[FLOW_CLIENT], *server = &d->first[FLOW_SERVER];

	if (client->len >= 2 && client->data[0] == 0x16 && client->data[1] == 0x03)
		return DIALOGUE_PROTOCOL_TLS;
	if (begins(client, "LHLO "))
		return DIALOGUE_PROTOCOL_LMTP;
	if (begins_one_of(server, smtp_codes) || begins_one_of(client, smtp_verbs))
		return DIALOGUE_PROTOCOL_SMTP;
	if (begins_one_of(server, imap_greetings))
		return DIALOGUE_PROTOCOL_IMAP;
	if (begins(server, "+OK"))
		return DIALOGUE_PROTOCOL_POP3;
	return server->len >= 10 || client->len >= 10 ? DIALOGUE_PROTOCOL_NONE
						      : DIALOGUE_PROTOCOL_UNKNOWN;
}
