#include "api/ledger_build.h"

#include "base/buf.h"

#include <ctype.h>
#include <math.h>

#define ADDRESS_MAX  512 /* a longer one is cut: RFC 5321, 4.5.3.1.3 allows 256 */
#define STORE_DOMAIN "store"

void *build_room(struct ledger *ledger, int which, void *array, size_t count, size_t size)
{
	if (count < ledger->room[which])
		return array;
	ledger->room[which] = ledger->room[which] ? ledger->room[which] * 2 : 64;
	return mem_grow(array, ledger->room[which], size);
}

uint32_t build_text(struct ledger *ledger, const char *text)
{
	return text ? intern_id(&ledger->texts, text, strlen(text)) : 0;
}

void build_unanswer(struct ledger *ledger, struct ledger_attempt *attempt)
{
	if (attempt->rcpt != LEDGER_NONE) {
		struct ledger_rcpt *rcpt = &ledger->rcpts[attempt->rcpt];

		rcpt->attempts[attempt->hop][attempt->result]--;
		rcpt->attempts[attempt->hop][RESULT_NONE]++;
	}
	attempt->result = RESULT_NONE;
	attempt->reply_t = NAN;
	attempt->code = 0;
}

uint32_t build_key(struct ledger *ledger, const struct tape_value *data, const char *key)
{
	const struct tape_value *text = tape_get(data, key);

	return tape_string(text) ? intern_id(&ledger->texts, text->text, text->len) : 0;
}

/* The keys of a mail: most texts else are few, and near. */
void ledger_expect(const struct ledger *ledger, const struct tape_value *data)
{
	static const char *const keys[] = {"token", "sha256"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct tape_value *text = tape_get(data, keys[i]);

		if (tape_string(text))
			intern_expect(&ledger->texts, text->text, text->len);
	}
}

const char *ledger_kind(struct ledger *ledger, const char *kind)
{
	uint32_t id = build_text(ledger, kind);

	return ledger_text(ledger, id);
}

/* The one way an address is written in the ledger. */
uint32_t build_address(struct ledger *ledger, const char *address)
{
	size_t len = address ? strlen(address) : 0, domain;
	char text[ADDRESS_MAX];
	char *at;

	if (len >= 2 && address[0] == '<' && address[len - 1] == '>') {
		address++;
		len -= 2;
	}
	if (len >= sizeof(text))
		len = sizeof(text) - 1;
	for (size_t i = 0; i < len; i++)
		text[i] = (char)tolower((unsigned char)address[i]);
	text[len] = '\0';
	at = strrchr(text, '@');
	domain = at ? strlen(at + 1) : 0;
	if (at && domain == strlen(STORE_DOMAIN) && !strcmp(at + 1, STORE_DOMAIN)) {
		*at = '\0';
		text[strcspn(text, "+")] = '\0';
	}
	return build_text(ledger, text);
}

uint32_t build_mail(struct ledger *ledger, const char *token, uint32_t line)
{
	uint32_t id = build_text(ledger, token), index;
	struct ledger_mail *mail;

	if (!id)
		return LEDGER_NONE;
	index = text_map_put(&ledger->by_token, id, (uint32_t)ledger->mail_count);
	if (index < ledger->mail_count)
		return index;
	mail = APPEND(ledger, ROOM_MAIL, mails, mail_count);
	*mail = (struct ledger_mail){.token = id,
		.line = line,
		.first_rcpt = LEDGER_NONE,
		.last_rcpt = LEDGER_NONE,
		.first_notice = LEDGER_NONE,
		.bounce_t = NAN};
	return index;
}

struct ledger_rcpt *build_rcpt(
	struct ledger *ledger, uint32_t mail, uint32_t address, uint32_t line)
{
	struct ledger_mail *owner = &ledger->mails[mail];
	uint32_t index = (uint32_t)ledger->rcpt_count;
	struct ledger_rcpt *rcpt;

	/* Most mails have one recipient, for whom no map is needed. */
	if (owner->first_rcpt != LEDGER_NONE)
		index = ledger->rcpts[owner->first_rcpt].address == address
				? owner->first_rcpt
				: key_map_put(&ledger->by_pair, ledger_pair(mail, address), index);
	if (index < ledger->rcpt_count)
		return &ledger->rcpts[index];
	rcpt = APPEND(ledger, ROOM_RCPT, rcpts, rcpt_count);
	*rcpt = (struct ledger_rcpt){.mail = mail,
		.address = address,
		.next = LEDGER_NONE,
		.first_attempt = LEDGER_NONE,
		.last_attempt = LEDGER_NONE,
		.first_copy = LEDGER_NONE,
		.last_copy = LEDGER_NONE,
		.line = line};
	if (owner->last_rcpt == LEDGER_NONE)
		owner->first_rcpt = index;
	else
		ledger->rcpts[owner->last_rcpt].next = index;
	owner->last_rcpt = index;
	return rcpt;
}

struct ledger_who *build_who(struct ledger *ledger, uint32_t address)
{
	uint32_t index = text_map_put(&ledger->by_who, address, (uint32_t)ledger->who_count);
	struct ledger_who *who;

	if (index < ledger->who_count)
		return &ledger->whos[index];
	who = APPEND(ledger, ROOM_WHO, whos, who_count);
	who->address = address;
	return who;
}
