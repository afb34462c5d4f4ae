/* I9: after NO nothing was added; after no reply each message is whole or absent. */
#include "api/imap_walk.h"
#include "api/oracle.h"

#include "base/buf.h"

#include <string.h>

enum fate { FATE_OPEN, FATE_REFUSED, FATE_DONE };

struct append {
	uint32_t token, sha, line;
	uint8_t fate; /* FATE_OPEN: no reply so far, or never */
};

/* What COPY and MOVE did to a (mailbox, token): refused, with the line, and not otherwise allowed. */
struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	struct judgement *judgement;
	struct append *appends;
	size_t count, room;
	struct key_map by_token;
	struct key_map allowed;	   /* (name, token) that some command may have put there */
	struct key_map refused;	   /* (name, token) -> line of the NO */
	struct key_map open_names; /* mailboxes that anything may have been put into */
	struct key_map names;	   /* (user, mailbox) -> name */
	uint32_t name_count;
};

static uint32_t name_of(struct pass *pass, uint32_t user, uint32_t mailbox)
{
	uint32_t name = key_map_put(&pass->names, (uint64_t)user << 32 | mailbox, pass->name_count);

	pass->name_count += name == pass->name_count;
	return name;
}

static uint64_t pair(uint32_t name, uint32_t token)
{
	return (uint64_t)name << 32 | token;
}

/* ---- APPEND ---- */

static void note_content(struct pass *pass, const struct trace_item *item)
{
	uint32_t index = key_map_put(&pass->by_token, item->token, (uint32_t)pass->count);

	if (index < pass->count || !item->token)
		return;
	if (pass->count == pass->room) {
		pass->room = pass->room ? pass->room * 2 : 64;
		pass->appends = mem_grow(pass->appends, pass->room, sizeof(*pass->appends));
	}
	pass->appends[pass->count++] =
		(struct append){.token = item->token, .sha = item->sha, .line = item->line};
}

static struct append *append_of(struct pass *pass, uint32_t token)
{
	uint32_t index = token ? key_map_get(&pass->by_token, token) : UINT32_MAX;

	return index == UINT32_MAX ? NULL : &pass->appends[index];
}

static void end_append(struct pass *pass, uint32_t token, enum fate fate, uint32_t line)
{
	struct append *append = append_of(pass, token);

	if (!append)
		return;
	append->fate = (uint8_t)fate;
	append->line = line;
	judgement_holds(pass->judgement);
}

static void judge_shown(struct pass *pass, const struct trace_item *item)
{
	const struct append *append = append_of(pass, item->token);

	if (!append || !item->body || item->partial || append->fate == FATE_DONE)
		return;
	judgement_holds(pass->judgement);
	if (append->fate == FATE_REFUSED) {
		if (oracle_breach(pass->context, "I9", pass->judgement, "imap append refused",
			    item->line,
			    "a message whose APPEND was refused, or broken off, is there"))
			judgement_line(pass->judgement, append->line);
	} else if (item->sha != append->sha) {
		if (oracle_breach(pass->context, "I9", pass->judgement, "imap append part",
			    item->line,
			    "a message whose APPEND got no reply is there, and not whole"))
			judgement_line(pass->judgement, append->line);
	}
}

/* ---- COPY ---- */

static void note_copied(struct pass *pass, const struct view *view,
	const struct view_pending *pending, uint32_t line, bool refused)
{
	uint32_t name = name_of(pass, view->session->user, pending->command->mailbox);
	cleanup(uid_set_free) struct uid_set set = {0};

	/* By number, or of messages not shown: it is not known which. */
	if (!pending->command->uid || view->unknown || !view->sure || view->box == TRACE_NONE ||
		uid_set_parse(&set, trace_text(pass->walk.trace, pending->command->set),
			view_last_uid(view))) {
		if (!refused)
			key_map_put(&pass->open_names, name, 1);
		return;
	}
	if (!refused && set.open)
		key_map_put(&pass->open_names, name, 1);
	for (size_t i = 0; i < view->count; i++) {
		const struct mail *mail =
			walk_mail_find(&pass->walk, view->box, view->slots[i].uid);

		if (!mail || !uid_set_has(&set, mail->uid))
			continue;
		if (!mail->token && !refused)
			key_map_put(&pass->open_names, name, 1);
		else if (mail->token)
			key_map_put(refused ? &pass->refused : &pass->allowed,
				pair(name, mail->token), line);
	}
}

static void judge_copy(struct pass *pass, const struct trace_item *item)
{
	uint32_t name = name_of(pass, item->user, item->mailbox), line;

	line = key_map_get(&pass->refused, pair(name, item->token));
	if (!item->token || line == UINT32_MAX)
		return;
	judgement_holds(pass->judgement);
	if (key_map_get(&pass->open_names, name) != UINT32_MAX ||
		key_map_get(&pass->allowed, pair(name, item->token)) != UINT32_MAX)
		return;
	if (oracle_breach(pass->context, "I9", pass->judgement, "imap copy refused", item->line,
		    "a message is in '%.60s', and the only COPY to it was refused",
		    trace_text(pass->walk.trace, item->mailbox)))
		judgement_line(pass->judgement, line);
}

/* ---- commands that end ---- */

static void end_command(struct pass *pass, const struct view *view,
	const struct view_pending *pending, enum fate fate, uint32_t line)
{
	enum trace_verb verb = (enum trace_verb)pending->command->verb;

	if (verb == VERB_APPEND && pending->token) {
		end_append(pass, pending->token, fate, line);
		if (fate != FATE_REFUSED)
			key_map_put(&pass->allowed,
				pair(name_of(pass, view->session->user, pending->command->mailbox),
					pending->token),
				line);
	}
	/* A refused MOVE may have moved some of them. */
	if (verb == VERB_COPY || verb == VERB_MOVE)
		note_copied(pass, view, pending, line, fate == FATE_REFUSED && verb == VERB_COPY);
	if (verb == VERB_RENAME)
		key_map_put(&pass->open_names,
			name_of(pass, view->session->user, pending->command->mailbox), 1);
}

static void judge_done(struct pass *pass, struct view *view, const struct trace_item *item)
{
	const struct view_pending *pending = view_pending(view, item->text);

	if (pending)
		end_command(pass, view, pending,
			item->status == OUTCOME_OK ? FATE_DONE : FATE_REFUSED, item->line);
}

/* What was pending never got its reply; what the rig itself broke off never was whole. */
static void judge_closed(struct pass *pass, struct view *view, const struct trace_item *item)
{
	bool cut = !strcmp(trace_text(pass->walk.trace, item->text), "broken-off");

	for (size_t i = 0; i < view->pending_count; i++)
		end_command(
			pass, view, &view->pending[i], cut ? FATE_REFUSED : FATE_OPEN, item->line);
}

static void judge_item(struct pass *pass, const struct trace_item *item)
{
	struct view *view = walk_view(&pass->walk, item);

	if (view && item->kind == TRACE_CONTENT)
		note_content(pass, item);
	else if (view && item->kind == TRACE_DONE)
		judge_done(pass, view, item);
	else if (view && item->kind == TRACE_CLOSED)
		judge_closed(pass, view, item);
	else if (item->kind == TRACE_FETCH || item->kind == TRACE_COPY)
		judge_shown(pass, item);
	if (item->kind == TRACE_COPY)
		judge_copy(pass, item);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));)
		judge_item(&pass, item);
	free(pass.appends);
	key_map_free(&pass.by_token);
	key_map_free(&pass.allowed);
	key_map_free(&pass.refused);
	key_map_free(&pass.open_names);
	key_map_free(&pass.names);
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i9 = {
	.law = "I9",
	.name = "refused means nothing added",
	.summary = "after NO to APPEND or COPY nothing of the set was added; after no reply each "
		   "message "
		   "is whole or absent",
	.source = "RFC 9051 6.3.12, 6.4.7; RFC 3502 6.3.11",
	.judge = judge,
};
