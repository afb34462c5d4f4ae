/*
 * From a moment on the wire to the fault in the guest: a clone of a target is opened, one client sends it mail and
 * asks IMAP for nothing, and each reply that the wire tells of arms a rule on the fault board and takes it back. Told:
 * from the reply's frame on the host to the guest's answer that the rule is in force, as the life of a step does it
 * (the wire's thread tells, another thread arms). Prints p50, p90, p99 and max with the accelerator; exits 1 where
 * p50 or p99 is missed.
 *
 *	late [MAILS [NOOPS [TARGET]]]		default 300 and 1000
 */
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "mail/imap.h"
#include "mail/smtp.h"
#include "run/bed/bed_vm.h"
#include "vm/relay.h"
#include "tests/bench/spread.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define SAMPLES_MAX 20000
#define CONNECT_MS  60000
#define SETTLE_MS   5000
#define P50_MS	    3.0
#define P99_MS	    10.0

struct late {
	struct bed *bed;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	const char *moment; /* that is waited for */
	int64_t seen_ns;    /* bed's clock; 0: nothing new */
	bool over;
	double armed_ms[SAMPLES_MAX], told_ms[SAMPLES_MAX];
	size_t count;
	struct err err;
};

/* ---- the two threads of a cell ---- */

static void on_event(void *arg, enum bed_event event, const json_t *json)
{
	struct late *late = arg;

	if (event != BED_WIRE)
		return;
	pthread_mutex_lock(&late->lock);
	if (late->moment && !strcmp(json_get_text(json, "moment", ""), late->moment)) {
		late->seen_ns = json_get_int(json, "cell_ns", 0);
		pthread_cond_broadcast(&late->changed);
	}
	pthread_mutex_unlock(&late->lock);
}

static double ms_between(int64_t from_ns, int64_t to_ns)
{
	return (double)(to_ns - from_ns) / (double)NS_PER_MS;
}

static int arm_once(struct late *late, int64_t seen_ns)
{
	const char *const nobody[] = {"/nobody", NULL};
	struct call_rule rule = {.slot = 1,
		.point = "posix/io/sync/fsync",
		.action = "park",
		.programs = nobody,
		.hit = 1,
		.calls = 1};
	int64_t began_ns = late->bed->ops->clock_ns(late->bed), in_ns = 0;
	int rc = late->bed->ops->arm(late->bed, &rule, &in_ns, &late->err);

	if (!rc)
		rc = late->bed->ops->disarm(late->bed, 1, &late->err);
	if (!rc && late->count < SAMPLES_MAX) {
		late->told_ms[late->count] = ms_between(seen_ns, began_ns);
		late->armed_ms[late->count++] = ms_between(seen_ns, in_ns);
	}
	return rc;
}

static void *arming(void *arg)
{
	struct late *late = arg;
	int rc = 0;

	pthread_mutex_lock(&late->lock);
	while (!late->over && !rc) {
		int64_t seen_ns = late->seen_ns;

		if (!seen_ns) {
			pthread_cond_wait(&late->changed, &late->lock);
			continue;
		}
		pthread_mutex_unlock(&late->lock);
		rc = arm_once(late, seen_ns);
		pthread_mutex_lock(&late->lock);
		late->seen_ns = 0;
		pthread_cond_broadcast(&late->changed);
	}
	late->over = true;
	pthread_cond_broadcast(&late->changed);
	pthread_mutex_unlock(&late->lock);
	return NULL;
}

/* The next reply is asked for once the rule of the last one is gone. */
static bool wait_armed(struct late *late, size_t before)
{
	int64_t until_ns = deadline_in_ms(SETTLE_MS);
	bool done;

	pthread_mutex_lock(&late->lock);
	while (!late->over && (late->count == before || late->seen_ns) &&
		cond_wait(&late->changed, &late->lock, until_ns) != -ETIMEDOUT)
		;
	done = late->count > before;
	pthread_mutex_unlock(&late->lock);
	return done;
}

static void listen_for(struct late *late, const char *moment)
{
	pthread_mutex_lock(&late->lock);
	late->moment = moment;
	late->count = 0;
	pthread_mutex_unlock(&late->lock);
}

/* ---- what is asked ---- */

static int connect_to(struct late *late, enum protocol protocol)
{
	return late->bed->ops->connect(late->bed, target_service_by(late->bed->target, protocol),
		deadline_in_ms(CONNECT_MS), &late->err);
}

static bool send_one(struct smtp *smtp, struct rng *rng, const char *to)
{
	struct message_spec spec = {.from = "bench@sink.rig", .to = to, .body_bytes = 1000};
	struct smtp_rcpt rcpt = {.address = to};
	struct message message = {0};
	struct smtp_mail mail = {
		.from = "bench@sink.rig", .rcpts = &rcpt, .rcpt_count = 1, .message = &message};

	message_make(&message, rng, &spec);
	smtp_send(smtp, &mail);
	message_free(&message);
	return mail.outcome == MAIL_OK;
}

static bool measure_mails(struct late *late, size_t count)
{
	auto_free char *to = text_fmt("%s@store", late->bed->target->users.at[0]);
	struct rng rng = rng_stream(1, "bench.late");
	struct mail_opts opts = {0};
	struct smtp smtp;
	int fd = connect_to(late, PROTOCOL_SMTP);
	bool good;

	if (fd < 0)
		return false;
	smtp_open(&smtp, fd, false, &opts);
	good = smtp_greet(&smtp, "bench.rig") == MAIL_OK;
	for (size_t i = 0; i < count && good; i++) {
		size_t before = late->count;

		good = send_one(&smtp, &rng, to) && wait_armed(late, before);
	}
	smtp_close(&smtp);
	return good;
}

static bool measure_noops(struct late *late, size_t count)
{
	const char *user = late->bed->target->users.at[0];
	struct imap_reply reply = {0};
	struct mail_opts opts = {0};
	struct imap imap;
	int fd = connect_to(late, PROTOCOL_IMAP);
	bool good;

	if (fd < 0)
		return false;
	imap_open(&imap, fd, &opts);
	good = imap_greet(&imap, &reply) == MAIL_OK &&
	       imap_login(&imap, user, user, &reply) == MAIL_OK;
	for (size_t i = 0; i < count && good; i++) {
		size_t before = late->count;

		good = imap_command(&imap, &reply, "NOOP") == MAIL_OK && wait_armed(late, before);
	}
	imap_reply_free(&reply);
	imap_close(&imap);
	return good;
}

/* ---- the figures ---- */

static double row(const struct late *late, const char *what, double *ms, double *ret_p99)
{
	size_t n = late->count;

	spread_sort(ms, n);
	*ret_p99 = ms[n * 99 / 100];
	printf("%-34s  %-4s  p50 %6.2f ms  p90 %6.2f ms  p99 %6.2f ms  max %6.2f ms  (%zu)\n", what,
		late->bed->ops->describe(late->bed), ms[n / 2], ms[n * 9 / 10], *ret_p99, ms[n - 1],
		n);
	return ms[n / 2];
}

static bool report(struct late *late, const char *moment)
{
	auto_free char *told = text_fmt("%s, told to the step", moment);
	auto_free char *armed = text_fmt("%s, in force", moment);
	double p99, p50;

	if (!late->count)
		return false;
	row(late, told, late->told_ms, &p99);
	p50 = row(late, armed, late->armed_ms, &p99);
	if (p50 <= P50_MS && p99 <= P99_MS)
		return true;
	printf("missed: p50 must be %.0f ms or less, p99 %.0f ms or less\n", P50_MS, P99_MS);
	return false;
}

static bool measure(struct late *late, size_t mails, size_t noops)
{
	pthread_t thread;
	bool good;

	if (pthread_create(&thread, NULL, arming, late))
		return false;
	listen_for(late, "smtp/reply");
	good = measure_mails(late, mails) && report(late, "smtp/reply");
	listen_for(late, "imap/noop/reply");
	good = measure_noops(late, noops) && report(late, "imap/noop/reply") && good;
	pthread_mutex_lock(&late->lock);
	late->over = true;
	pthread_cond_broadcast(&late->changed);
	pthread_mutex_unlock(&late->lock);
	pthread_join(thread, NULL);
	return good;
}

int main(int argc, char **argv)
{
	static struct late late = {.lock = PTHREAD_MUTEX_INITIALIZER};
	const char *const scenarios[] = {"freeze-fs-during-delivery", NULL};
	const char *const targets[] = {argc > 3 ? argv[3] : "postfix-dovecot", NULL};
	size_t mails = argc > 1 ? strtoul(argv[1], NULL, 10) : 300;
	size_t noops = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
	char dir[] = "/tmp/mailrig-late.XXXXXX";
	struct plan_request request = {
		.scenarios = scenarios, .targets = targets, .seed = 1, .repeat = 1};
	auto_buf struct buf complaints = {0};
	auto_free char *root = NULL;
	struct plan_list plans = {0};
	bool good = false;
	int rc;

	if (argc > 1 && !strcmp(argv[1], "relay"))
		return cmd_relay(argc - 1, argv + 1);
	signal(SIGPIPE, SIG_IGN);
	request.root = root = plan_root(&late.err);
	if (!mails || !noops || !root || !mkdtemp(dir))
		return 64;
	cond_init(&late.changed);
	rc = plan_make(&request, &plans, &complaints, &late.err);
	if (!rc)
		rc = bed_vm_prepare(plans.at[0]->target, NULL, NULL, &late.err);
	if (!rc)
		rc = bed_vm_open(&late.bed, plans.at[0], dir, on_event, &late, NULL, &late.err);
	if (!rc)
		good = measure(&late, mails, noops);
	if (!good)
		fprintf(stderr, "%s%s\n", complaints.len ? buf_text(&complaints) : "",
			late.err.text);
	if (late.bed)
		late.bed->ops->close(late.bed);
	plan_list_free(&plans);
	fs_remove_tree(dir, NULL);
	return !good;
}
