/*
 * What the two halves of the ledger's making share: records that grow, and the one record of a mail,
 * a recipient, a person. Private to rig/api/ledger*.c. Pointers into the ledger hold until the next
 * record of the same kind is made.
 */
#pragma once

#include "api/ledger.h"
#include "base/json_tape.h"

#include <string.h>

enum {
	ROOM_ATTEMPT,
	ROOM_COPY,
	ROOM_RCPT,
	ROOM_MAIL,
	ROOM_OP,
	ROOM_FORCE,
	ROOM_SHOWN,
	ROOM_WHO,
	ROOM_STARVED,
	ROOM_NOTICE
};

void *build_room(struct ledger *ledger, int which, void *array, size_t count, size_t size);

/* A zeroed new record at the end of the array `name` of the ledger. */
#define APPEND(ledger, which, name, count)                                                   \
	((ledger)->name = build_room(                                                        \
		 (ledger), which, (ledger)->name, (ledger)->count, sizeof(*(ledger)->name)), \
		memset(&(ledger)->name[(ledger)->count], 0, sizeof(*(ledger)->name)),        \
		&(ledger)->name[(ledger)->count++])

uint32_t build_text(struct ledger *ledger, const char *text); /* NULL is 0 */
void build_unanswer(
	struct ledger *ledger, struct ledger_attempt *attempt); /* as if no reply had come */
uint32_t build_key(struct ledger *ledger, const struct tape_value *data, const char *key);
uint32_t build_address(struct ledger *ledger, const char *address);	      /* NULL is 0 */
uint32_t build_mail(struct ledger *ledger, const char *token, uint32_t line); /* or LEDGER_NONE */
struct ledger_rcpt *build_rcpt(
	struct ledger *ledger, uint32_t mail, uint32_t address, uint32_t line);
struct ledger_who *build_who(struct ledger *ledger, uint32_t address);

/* A line of a notification hangs on the mail it is about. True if it was one. */
bool build_notice(struct ledger *ledger, const struct event *event, const struct tape_value *data);
/* An attempt for something without a token of ours. */
void build_nameless(struct ledger *ledger, const struct tape_value *data, int hop, int result);
