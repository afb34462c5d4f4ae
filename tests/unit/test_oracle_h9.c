#include "tests/unit/oracle_table.h"

#define LOG(path, line) WORK "{\"t\":5,\"ev\":\"log\",\"path\":" Q(path) ",\"line\":" Q(line) "}\n"

static struct target_log logs[] = {
	{(char *)"/var/log/mail", (char *)"(panic|fatal): |with force"},
	{(char *)"/var/log/quiet", NULL},
};
static const struct exception exceptions[] = {
	{(char *)"H9", (char *)"with force", (char *)"table", NULL}};
static const struct target target = {.logs = logs, .log_count = 2};
static const struct target excepting = {.logs = logs,
	.log_count = 2,
	.exceptions = (struct exception *)exceptions,
	.exception_count = 1};
static struct target_log bad[] = {{(char *)"/var/log/mail", (char *)"(unclosed"}};
static const struct target broken = {.logs = bad, .log_count = 1};

#define LATER(line) "{\"t\":70,\"ev\":\"log\",\"path\":\"/var/log/mail\",\"line\":" Q(line) "}\n"
#define CUT                                                                                   \
	"{\"t\":50,\"ev\":\"fault\",\"step\":\"cut\",\"fault\":\"power-cut\",\"state\":\"in-" \
	"force\""                                                                             \
	",\"count\":1,\"at_t\":49}\n"
#define ALARM LOG("/var/log/mail", "smtpd[17]: fatal: open queue/4ABC7: EIO")

static void an_alarm_the_baseline_lacks_is_blamed(void)
{
	static const struct row rows[] = {
		{"no alarm", LOG("/var/log/mail", "smtpd[17]: connect"), RULING_HOLDS,
			.target = &target, .baseline = WORK},
		{"an alarm", ALARM, RULING_BROKEN, "fatal: open", .target = &target,
			.baseline = WORK},
		{"the baseline has it, with other numbers", ALARM, RULING_HOLDS, .target = &target,
			.baseline = LOG("/var/log/mail", "smtpd[9]: fatal: open queue/4XYZ9: EIO")},
		{"the baseline has it, of another month",
			LOG("/var/log/mail", "Dec  1 00:00:01 store smtpd[17]: fatal: no room"),
			RULING_HOLDS, .target = &target,
			.baseline = LOG(
				"/var/log/mail", "Nov 30 23:59:58 store smtpd[9]: fatal: no room")},
		{"the baseline has another", ALARM, RULING_BROKEN, .target = &target,
			.baseline = LOG("/var/log/mail", "smtpd[9]: fatal: no memory")},
		{"no fault was armed: it is a baseline itself", ALARM, RULING_HOLDS,
			.target = &target},
		{"a fault and no baseline", FAULT(1, "freeze-fs", "armed") ALARM,
			RULING_CANNOT_TELL, "no baseline", .target = &target},
		{"no alarm needs no baseline", LOG("/var/log/mail", "fine"), RULING_HOLDS,
			.target = &target},
		{"a log without an alarm", LOG("/var/log/quiet", "fatal: x"), RULING_HOLDS,
			.target = &target, .baseline = WORK},
		{"an unknown log", LOG("/var/log/other", "fatal: x"), RULING_HOLDS,
			.target = &target, .baseline = WORK},
		{"a declared exception", LOG("/var/log/mail", "stopped with force"), RULING_HOLDS,
			.target = &excepting, .baseline = WORK, .excused = 1},
		{"the exception covers no other", ALARM, RULING_BROKEN, .target = &excepting,
			.baseline = WORK},
		{"a repair after a power cut is told of", WORK CUT LATER("mended with force"),
			RULING_HOLDS, .target = &target, .baseline = WORK, .excused = 1},
		{"a panic after a power cut", WORK CUT LATER("panic: no index"), RULING_BROKEN,
			.target = &target, .baseline = WORK},
		{"the same words before the power cut",
			LOG("/var/log/mail", "mended with force") CUT, RULING_BROKEN,
			.target = &target, .baseline = WORK},
		{"the pattern is none", ALARM, RULING_CANNOT_TELL, "regular expression",
			.target = &broken},
		{"the same of another session",
			LOG("/var/log/mail", "imap<xY/zq+WC>: stopped with force"), RULING_HOLDS,
			.target = &target,
			.baseline = LOG("/var/log/mail", "imap<E7PK6dh/Zw>: stopped with force")},
		{"the same of another program",
			LOG("/var/log/mail", "pop<xY/zq+WC>: stopped with force"), RULING_BROKEN,
			.target = &target,
			.baseline = LOG("/var/log/mail", "imap<xY/zq+WC>: stopped with force")},
		{"no log at all", WORK END, RULING_NOT_APPLICABLE, .target = &target},
	};

	CHECK_TABLE("H9", rows);
}

CHECK_MAIN(CHECK_CASE(an_alarm_the_baseline_lacks_is_blamed))
