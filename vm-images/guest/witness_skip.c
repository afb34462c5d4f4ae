/*
 * What makes a branch of the machine fit for skipped idle time: the verb `skip`. Never asked of the machine
 * that is tested.
 */
#include "witness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int write_once(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

/* Who has been found stays found: asking again would be in vain, and what is sent would wait for the answer
 * instead of going out. */
static void keep_neighbours(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char text[8192], ip[16], mac[18], device[16];
	unsigned int m[6];

	read_small(AT_FDCWD, "/proc/net/arp", text, sizeof(text));
	for (char *line = strchr(text, '\n'); line; line = strchr(line + 1, '\n')) {
		struct arpreq entry = {.arp_flags = ATF_PERM | ATF_COM};
		struct sockaddr_in at = {.sin_family = AF_INET};

		if (sscanf(line + 1, "%15s %*s %*s %17s %*s %15s", ip, mac, device) != 3 ||
			sscanf(mac, "%2x:%2x:%2x:%2x:%2x:%2x", &m[0], &m[1], &m[2], &m[3], &m[4],
				&m[5]) != 6)
			continue;
		inet_pton(AF_INET, ip, &at.sin_addr);
		memcpy(&entry.arp_pa, &at, sizeof(at));
		entry.arp_ha.sa_family = ARPHRD_ETHER;
		for (int i = 0; i < 6; i++)
			entry.arp_ha.sa_data[i] = (char)m[i];
		memcpy(entry.arp_dev, device, sizeof(entry.arp_dev));
		if (ioctl(fd, SIOCSARP, &entry))
			continue; /* a neighbour the guest never reached */
	}
	if (fd >= 0)
		close(fd);
}

/*
 * Instructions are the clock of such a machine, and its time-stamp counter does not fit the rate that the
 * kernel has measured; the ACPI timer is right at any speed. And as all that is sent is lost, TCP must not
 * end for want of acknowledgements what is to be judged: the peer's kernel would have sent them.
 */
void verb_skip(const struct request *request)
{
	static const char clock[] = "/sys/devices/system/clocksource/clocksource0/"
				    "current_clocksource";
	int rc = write_once(clock, "acpi_pm");
	auto_out out = {0};
	char now[64];

	write_once("/proc/sys/net/ipv4/tcp_retries2", "255");
	write_once("/proc/sys/net/ipv4/tcp_orphan_retries", "255");
	write_once("/proc/sys/net/ipv4/tcp_keepalive_probes", "127");
	keep_neighbours();
	if (rc || read_small(AT_FDCWD, clock, now, sizeof(now)) <= 0) {
		answer_error(request, "the guest has no clock source 'acpi_pm': %s", strerror(-rc));
		return;
	}
	now[strcspn(now, "\n")] = '\0';
	answer_begin(&out, request);
	out_text(&out, "clock", now);
	out_int(&out, "guest_ns", guest_ns());
	answer_send(&out, request);
}
