/*
 * The history: everything that happened in a cell, on one clock, as JSON Lines. It is saved before it
 * is judged; an oracle sees nothing else of the world.
 *
 * Recording: history_add() may be called from any thread; it stamps, numbers and writes one line at
 * once. Reading: history_load() gives an immutable `struct history`, events in the order of the file.
 *
 * Every line is an object that begins with "t" (seconds on the cell clock, negative before the
 * workload) and "ev" (the kind). Kinds and their further keys, a question mark where optional:
 *
 *	phase	 {name}	set-up workload faults-off drain stop start read-back end
 *	bed	 {bed, accelerator}
 *	begin	 {id, who, op, service, user?, mailbox?, token?, from?, to[]?, notify?, sha256?, bytes?,
 *		 command?, source?}	from "": the null return path; notify: NEVER (RFC 3461);
 *		 source: the file of a corpus that a real message came from
 *		 an operation of the rig's own clients begins. op: smtp-message, imap-login, imap-append,
 *		 imap-COMMAND, pop3-session, http-get, or the name of an action
 *	end	 {id, who, op, outcome, code?, text?, replies?, dot_t?, reached?, uid?, fetched?, status?,
 *		 pending?}
 *		 outcome: OK NO MAYBE. replies (smtp-message): [{to, outcome, code, text}]. fetched (IMAP):
 *		 [{uid, token, sha256, whole}]. pending: true where it ended only because the client gave up
 *		 waiting. An operation without `end` never came back: its client was still waiting when the
 *		 cell cut it
 *	attempt	 {hop, conn, token, from, to, result, code, dot_t?, reply_t?, text?, protocol?, extra?}
 *		 from the wire, one per recipient, in their order. hop: edge (client to store), inner (queue
 *		 to delivery agent), outbound (store to next hop). result: not-sent 2yz 4yz 5yz none, unknown
 *		 (a gap hides it; without `to`: a whole connection in TLS, for anybody); 4yz or
 *		 5yz without dot_t is a refused RCPT. protocol: smtp lmtp (inner: lmtp if left out). extra:
 *		 replies to this dot that no recipient was left for. text: of the reply; its "queued as ID"
 *		 names the entry of the queue
 *	unheard	 {hop, conn, since_t}	from the wire: what the store's own client was told after since_t it never
 *		 read, so those attempts have no reply: it reset the connection, as a host does then
 *	waited	 {hop, verb, waited_s, answered}	from the wire: a wait of the store's own client for a
 *		 reply, of a second or more, that ended with the reply or by its giving up. verb "": the banner
 *	fault	 {step, fault, is[]?, state, count?, text?, agent?, user?, at_t?, ahead_s?, point?, errno?,
 *		 role?, path?, calls?, hit?, caller?, kind?, late_s?, too_late?}	state: armed in-force healing
 *		 healed heal-failed. is: what it is to the laws (api/fault.h); left out: by its name. agent: the
 *		 target's agent it takes away; user: whose mailbox alone it touches. at_t: of a power cut in
 *		 force, the instant whose disks the store has afterwards: what was answered later never was.
 *		 ahead_s: the store's wall clock is so far ahead while it is in force. point to caller: of a
 *		 call fault when it is armed, what fails, of any program of the store without role; it does
 *		 so until it is healing. late_s: armed so long after its moment; too_late: so late that what
 *		 it met counts nothing
 *	met	 {step, text}	one thing that met the fault
 *	never	 {step, do}	the trigger of this step never came
 *	missed	 {step, window}	a step that was to end while `window` was in force ended later
 *	window	 {step, window, deletions}	acknowledged deletions inside the other side's window
 *	order	 {wanted[], covered, why?, waited?}	of an order matrix (run/orders.h): the sides as they were to
 *		 be let go, whether that came about, and if not why; one that was not done when the next was
 *		 let go
 *	moment	 {name, step, session, source, tag?}  the moment that triggered a step; source: client, wire
 *	call	 {slot, what, pid, tid, path}	a call fault: hit parked released failed
 *	recovered {all, took_s, pending}	faults are off and all that was pending came back, or not
 *	queue	 {depth}
 *	figures	 {figures}	{name: number}, what the store counts itself (command `figures`)
 *	drained	 {empty, told, took_s, depth, limit_s}	told: the last look did tell how much there was
 *	unlisted {text}		the queue was not told, or not whole, and why; asked again while it drains
 *	residue	 {count}
 *	stop	 {ended, took_s, status, killed[], text, left[]}	the store's stop command
 *	start	 {ready, took_s, status, text}	the store's start command until the last banner
 *	imap	 {s, open | sent | told | done | closed, ...}	what an IMAP session of the rig said and was
 *		 told, in its order; s: its number. Kinds:
 *		 {open: who, user, capability?}	logged in; whatever came before is not told
 *		 {sent: TAG, command}	before its first byte goes out. APPEND once more, with {token, sha256,
 *		 bytes} instead of command, before its content. IDLE's DONE: the tag again, command DONE
 *		 {told: [...]}	untagged responses, while the same commands were pending; t: of the last.
 *		 Each is an object: {exists} {expunge} {vanished: SET, earlier?} {bye: TEXT} {code: TEXT} (in
 *		 brackets, of OK and NO) {status: MAILBOX, messages?, uidnext?, uidvalidity?, highestmodseq?}
 *		 {fetch: NUMBER, uid?, flags?, modseq?, size?, section?, nil?, token?, sha256?, bytes?, whole?}
 *		 {capability: TEXT} {enabled: TEXT} {lost: true} (a response too long to be kept)
 *		 {done: TAG, status, code?, text?}	status: OK NO BAD; also with a tag nobody waits for
 *		 {closed: why, text?}	client (with or without LOGOUT), store (its end of the connection),
 *		 gave-up (no reply in time), garbage, rig (the cell cut it), broken-off (inside a command)
 *	box	 {user, mailbox, uidvalidity, uidnext, highestmodseq, messages}	about to be read back
 *	copy	 {user, mailbox, uidvalidity, uid, flags?, token?, sha256, bytes, whole, bounce_of?, failed?,
 *		 action?}	read back in a fresh session at the end. bounce_of: the token that this
 *		 notification quotes; failed: the recipients it names; action: failed delayed (RFC 3464)
 *	read	 {user, copies, mailboxes}	a user's mailboxes were read back whole
 *	unreadable {user, text}		they could not be
 *	queued	 {id, state, to[], token, bounce_of}	still in the store's queue at the end
 *	sunk	 {token?, from, to[], sha256, bytes, bounce_of?, failed?, action?, kept}	arrived at the
 *		 rig's sink
 *	sink	 {mails}	the sink was asked for all that it took
 *	excused	 {user, mailbox?, uid?, token?, queue_id?, count?, why}	removed by the rig, or perhaps
 *		 removed, before this line: the copy with this token or uid, the entry of the queue, or so many
 *		 unknown copies of this user
 *	pop3	 {session, user, do, ...}	what a POP3 session did, in order; `session` numbers them. do:
 *		 login {since, outcome, in_use?}: since: when the password was sent; in_use: refused, as
 *		 another session has the maildrop · list {items: [{uidl, token?, sha256?}]}: the whole
 *		 maildrop; token and hash of what was retrieved · idle {idle_s}: stood still so long, and went
 *		 on · one of three ends: quit {outcome, marked[]}, cut {marked[]} by the client without QUIT,
 *		 closed {idle_s, marked[]} by the store while nothing was asked. marked: the UIDLs that DELE
 *		 marked and RSET did not unmark
 *	level	 {round, of, processes, threads, descriptors, locks, memory_kib, queue?, figures?}
 *		 what the store used after a round of equal ones, from 1; the last may be measured again.
 *		 figures: {name: number} by the target's own command
 *	file	 {look, user, folder, where, base, info, bytes, sha256, whole, token?}	a file in new/ or
 *		 cur/ (where) of a Maildir; its name is base and info (":2,S"). `look` is the look's number
 *	look	 {look, when, files}	all of them were listed: running (with the file systems stopped) or
 *		 stopped (the store was)
 *	died	 {program, pid?, signal?, text?, by_rig, oom?}	a process of the store died of a signal
 *		 (number or name), or said so itself (text alone). by_rig: the rig, or the store's own master at
 *		 a stop, sent it. oom: the kernel's
 *	core	 {pid, frames[], address?}	what the core of that death says: functions, innermost first,
 *		 and the address that the signal was about
 *	exited	 {comm, pid, status, ppid, parent, count, lived_ms}	a process ended with a status that is
 *		 not 0, the count-th of its name that this parent began; from the third on
 *	log	 {path, line}	of the store's log
 *	kernel	 {line}		of the guest kernel's log
 *	waits	 {name, cycles[[{role, pid, tid, what}]], held[{role, pid, what, waiters[]}]}	what the scan
 *		 of evidence/NAME shows of locks: threads that wait for each other, and exclusive locks that
 *		 waiters (roles) want while their holder waits for a client
 *	evidence {name, why}	taken now, into evidence/NAME (run/watch.h)
 *	suspected {name, why, op, age_s, limit_s}	a hang: its evidence follows, of that name. op: the oldest
 *		 that is under way, for so long, and when it is overdue
 *	branched {name, still_s, branch_bytes}	a hang (name: of its evidence) is kept as a copy of the machine,
 *		 which stood still for it; "t" leaves that out
 *	adjudged {name, recovery, after_guest_s?, event, answer_s?, guest_s?, host_s?}
 *		 that copy was run on, skipping its idle time. recovery: permanent (as long as guest_s),
 *		 after_guest_s (since its wait began; event: by what; answer_s: from the copy on until a client
 *		 is answered), not-judged (event: why)
 *	rig	 {trouble, text, lost_s?}	rig trouble: heal-failed residue capture-lost agent-silent panic
 *		 qemu-gone starved timeout set-up interrupted history (a line that could not be recorded).
 *		 starved: the host gave the machine too little in the two seconds before; lost_s of them
 *	note	 {text}		for people
 */
#pragma once

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum outcome { OUTCOME_OK, OUTCOME_NO, OUTCOME_MAYBE };
const char *outcome_name(enum outcome outcome); /* "OK" "NO" "MAYBE" */
int outcome_from_name(const char *name);	/* enum outcome, or -EINVAL */

/* True for an operation that waits until there is something to tell (IDLE): no wait that anybody owes an end.
 * `op` and `command` as in `begin`; "" where it has no command. */
bool op_waits_for_work(const char *op, const char *command);

/* The kinds that make up the ledger and the trace; any other is EVENT_OTHER. */
enum event_type {
	EVENT_OTHER,
	EVENT_BEGIN,
	EVENT_END,
	EVENT_ATTEMPT,
	EVENT_COPY,
	EVENT_IMAP,
	EVENT_SUNK,
	EVENT_QUEUED,
	EVENT_BOX,
	EVENT_EXCUSED,
	EVENT_FAULT,
	EVENT_PHASE,
	EVENT_READ,
	EVENT_RIG,
	EVENT_SINK,
	EVENT_UNHEARD,
	EVENT_UNLISTED,
	EVENT_UNREADABLE,
	EVENT_TYPES
};

struct event {
	double t;	  /* seconds on the cell clock */
	uint32_t line;	  /* 1-based line of history.jsonl */
	bool bulk;	  /* of a bulk kind, see HISTORY_OBJECTS_MAX */
	uint8_t type;	  /* enum event_type */
	const char *kind; /* "begin" ... */
	json_t *data;	  /* the whole object, the history's own; see HISTORY_OBJECTS_MAX */
};

struct ledger;	   /* api/ledger.h */
struct imap_trace; /* api/imap_trace.h */
struct tape_value; /* base/json_tape.h */

struct history {
	struct event *events;
	size_t count;
	struct event *
		*rare; /* in their order, those that are of no bulk kind (HISTORY_OBJECTS_MAX) */
	size_t rare_count;
	struct ledger *ledger;	  /* what it says about mail, operations and faults; owned */
	struct imap_trace *trace; /* what IMAP sessions said and were told; owned */
};

#define HISTORY_LINE_MAX   (1u << 20)
#define HISTORY_EVENTS_MAX (1u << 24)
/* In a longer history the objects of the bulk kinds (begin end attempt copy sunk queued imap) are dropped
 * from here on, their `data` is NULL: the ledger holds what the laws need of them. */
#define HISTORY_OBJECTS_MAX (1u << 16)

/* A last line without its newline never was (the worker was killed); any other line that is no
 * event is an error that names it. */
int history_load(const char *path, struct history **ret, struct err *err);
struct history *history_from_lines(
	const char *text, struct err *err); /* for tests: JSON Lines in memory */
void history_free(struct history *history);
bool history_reached_end(const struct history *history);       /* everything was read back */
uint32_t history_first_trouble(const struct history *history); /* line of rig trouble, 0: none */

static inline bool event_is(const struct event *event, const char *kind)
{
	return !__builtin_strcmp(event->kind, kind);
}

/* ---- recording ---- */

struct recorder;
typedef int64_t (*cell_clock_fn)(void *arg); /* nanoseconds on the cell clock */

int recorder_open(
	struct recorder **ret, const char *path, cell_clock_fn clock, void *arg, struct err *err);
int recorder_close(struct recorder *recorder,
	struct err *err); /* flush; an I/O error of any line shows here */

/* One line. `fmt` and the rest as jansson's json_pack() of an object without "t" and "ev". Returns
 * its line number. */
uint32_t history_add(struct recorder *recorder, const char *kind, const char *fmt, ...);

/* The same at an earlier moment of the cell clock (a packet's arrival); takes over `object`. */
uint32_t history_add_at(
	struct recorder *recorder, int64_t cell_ns, const char *kind, json_t *object);
uint64_t history_new_id(struct recorder *recorder); /* for begin/end pairs; never 0 */
