#include "tests/check/check.h"

#include "base/cleanup.h"
#include "run/rig_programs.h"

static void only_what_the_rig_brings_along_for_itself_is_its_own(void)
{
	static const struct {
		const char *exe;
		bool own;
	} table[] = {
		{"/run/rig/init", true},
		{"/run/rig/witness", true},
		{"/usr/sbin/qemu-ga", true},
		{"/run/rig/target/refstore-store", false}, /* a store that came with the payload */
		{"/usr/lib/dovecot/imap", false},
		{"", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (!CHECK_INT(is_rig_program(table[i].exe), table[i].own))
			fprintf(stderr, "'%s'\n", table[i].exe);
}

CHECK_MAIN(CHECK_CASE(only_what_the_rig_brings_along_for_itself_is_its_own))
