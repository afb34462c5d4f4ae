/*
 * The five documented failures and what each variant must show. Sources: KB 892514 (F1), Q279798 (F2), Q272274 (F3),
 * KB 924567 and KB 810489 (F4), KB 910618 (F5).
 */
#include "run/score/score.h"

#define NO_FIGURES                                                                  \
	{                                                                           \
		SCORE_NO_FIGURE, SCORE_NO_FIGURE, SCORE_NO_FIGURE, SCORE_NO_FIGURE, \
			SCORE_NO_FIGURE                                             \
	}
#define PASSES                                                  \
	{                                                       \
		.verdict = VERDICT_PASS, .at_least = NO_FIGURES \
	}
#define STORE	   "refstore-store"
#define SMTP	   "refstore-smtp"
#define WAIT_S	   9000 /* 150 minutes */
#define POOL	   8	/* task threads, and mailboxes moved */
#define LOOP_ENDS  3	/* from which on it is a crash loop */
#define STOP_HANGS 1
/* Entries of the queue that came on top from one restart to another: how many depends on the host's speed. At F2 and F4
 * it is chance whether any stand there: told, and not asked for. */
#define QUEUE_GROWS 1

#define F4_SHOWS                                                                       \
	{                                                                              \
		.verdict = VERDICT_FAIL, .hang_class = "exhaustion", .culprit = STORE, \
		.culprits = POOL, .first = "flush_in_transit",                         \
		.words = {"mta_request", "mta.sock", "s are left"}, .at_least = {      \
			WAIT_S,                                                        \
			SCORE_NO_FIGURE,                                               \
			SCORE_NO_FIGURE,                                               \
			SCORE_NO_FIGURE,                                               \
			SCORE_NO_FIGURE                                                \
		}                                                                      \
	}

const struct score_row score_rows[] = {
	/* The commit waits for "log flushed", which nobody signals; the dismount, and the stop, wait behind it. */
	{"F1", "shipped", "freeze-commit-dismount", {"f1=shipped"},
		{.verdict = VERDICT_FAIL,
			.hang_class = "lost-wakeup",
			.culprit = STORE,
			.culprits = 1,
			.first = "wal_commit",
			.words = {"wal.flushed", "log_flusher", "db_dismount"},
			.at_least = {SCORE_NO_FIGURE, SCORE_NO_FIGURE, SCORE_NO_FIGURE, STOP_HANGS,
				SCORE_NO_FIGURE}}},
	{"F1", "hotfixed", "freeze-commit-dismount", {NULL}, PASSES},
	{"F1", "no-commit", "tests/score/freeze-without-commit.yaml", {"f1=shipped"}, PASSES},
	{"F1", "no-dismount", "tests/score/freeze-without-dismount.yaml", {"f1=shipped"}, PASSES},

	/* Two threads of conversion, each with the lock that the other wants. */
	{"F2", "shipped", "conversion-lock-cycle", {"f2=shipped"},
		{.verdict = VERDICT_FAIL,
			.hang_class = "deadlock",
			.culprit = STORE,
			.culprits = 2,
			.words = {"convert_in", "convert_out", "convert.names_lock",
				"convert.scratch_lock"},
			.at_least = {SCORE_NO_FIGURE, SCORE_NO_FIGURE, SCORE_NO_FIGURE, STOP_HANGS,
				SCORE_NO_FIGURE}}},
	{"F2", "hotfixed", "conversion-lock-cycle", {NULL}, PASSES},
	{"F2", "one-conversion-thread", "conversion-lock-cycle",
		{"f2=shipped", "conversion_threads=1"}, PASSES},

	/* The scan pushes to an object whose client is gone; nothing restarts the store. */
	{"F3", "shipped", "notify-during-unsubscribe", {"f3=shipped"},
		{.verdict = VERDICT_FAIL,
			.hang_class = "crash",
			.culprit = STORE,
			.culprits = 2, /* who pushed, and who had freed it */
			.words = {"push_to_client", "scan_outstanding", "task_run",
				"notify_unsubscribe"},
			.at_least = NO_FIGURES}},
	{"F3", "shipped-leak", "rounds-of-connections", {"f3=shipped"},
		{.verdict = VERDICT_FAIL, .law = "H8", .at_least = NO_FIGURES}},
	{"F3", "hotfixed", "notify-during-unsubscribe", {NULL}, PASSES},
	{"F3", "hotfixed-bounded", "rounds-of-connections", {NULL}, PASSES},
	{"F3", "no-deletion", "tests/score/notify-without-unsubscribe.yaml", {"f3=shipped"},
		PASSES},

	/* All task threads wait for the MTA, up to 150 minutes each; what does not need it stands behind them. */
	{"F4", "shipped", "mta-disabled-mailbox-move", {"f4=shipped"}, F4_SHOWS},
	{"F4", "hotfixed", "mta-disabled-mailbox-move", {NULL}, PASSES},
	{"F4", "hotfixed-without-sign", "tests/score/mailbox-move-without-sign.yaml", {NULL},
		F4_SHOWS},
	{"F4", "mta-enabled", "tests/score/mailbox-move-with-mta.yaml", {"f4=shipped"}, PASSES},

	/* The tracker reads a message that was delivered and removed; restarted, the service does it again. */
	{"F5", "shipped", "tracking-during-delivery", {"f5=shipped"},
		{.verdict = VERDICT_FAIL,
			.hang_class = "crash-loop",
			.culprit = SMTP,
			.culprits = 2, /* the tracker, and the deliverer that removed it */
			.words = {"message_properties", "track_one", "tracker", "remove_message"},
			.at_least = {SCORE_NO_FIGURE, LOOP_ENDS, SCORE_NO_FIGURE, SCORE_NO_FIGURE,
				QUEUE_GROWS}}},
	{"F5", "hotfixed", "tracking-during-delivery", {NULL}, PASSES},
	{"F5", "tracking-off", "tests/score/delivery-without-tracking.yaml",
		{"f5=shipped", "tracking=0"}, PASSES},
	{0},
};
