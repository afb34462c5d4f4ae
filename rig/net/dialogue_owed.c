#include "net/dialogue_priv.h"

#include <string.h>

static void fill_owed(struct owed *out, const struct dialogue *d, const struct pending *pending)
{
	*out = (struct owed){
		.conn = d->conn,
		.protocol = d->protocol,
		.hop = d->hop,
		.since_ns = pending->owed_ns,
	};
	strcpy(out->client, d->client);
	strcpy(out->server, d->server);
	snprintf(out->verb, sizeof(out->verb), "%s", pending->verb);
	snprintf(out->args, sizeof(out->args), "%.*s", (int)sizeof(out->args) - 1, pending->args);
	snprintf(out->token, sizeof(out->token), "%s", d->ops->owed_token(pending));
}

size_t dialogue_owed(const struct dialogue_set *set, struct owed *out, size_t max)
{
	size_t count = 0;

	for (const struct dialogue *d = set->open.oldest; d; d = d->next)
		for (const struct pending *p = d->ops ? d->oldest : NULL; p; p = p->next) {
			if (!p->owed_ns || p->unsure)
				continue;
			if (count < max)
				fill_owed(&out[count], d, p);
			count++;
		}
	return count;
}
