#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static const char *from_env(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value && *value ? value : otherwise;
}

const char *config_path(const char *name)
{
	static _Thread_local char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", from_env("REFSTORE_DIR", "/var/lib/refstore"), name);
	return path;
}

const char *config_mail_dir(void)
{
	return from_env("REFSTORE_MAIL", "/srv/mail/refstore");
}

const char *config_address(void)
{
	return from_env("REFSTORE_ADDRESS", "0.0.0.0");
}

int config_port(int port)
{
	return port + atoi(from_env("REFSTORE_PORT_OFFSET", "0"));
}

const char *config_relay_host(void)
{
	return from_env("REFSTORE_RELAY_HOST", "sink.rig");
}

const char *config_relay_port(void)
{
	return from_env("REFSTORE_RELAY_PORT", "25");
}
