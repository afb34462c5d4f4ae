/*
 * Which UID each message number has, as an IMAP session was told: what its next command is made from.
 * The laws have their own, from the history. One thread; hostile replies are bounded.
 */
#pragma once

#include "mail/imap.h"

#define SHADOW_MAX 100000

struct imap_shadow {
	uint32_t *uids; /* 0: not told */
	size_t count;
};

void imap_shadow_free(struct imap_shadow *shadow); /* also: nothing is selected any more */
void imap_shadow_follow(struct imap_shadow *shadow, const struct imap_reply *reply);
bool imap_shadow_gap(
	const struct imap_shadow *shadow, size_t *ret_from, size_t *ret_to); /* from 1 */
