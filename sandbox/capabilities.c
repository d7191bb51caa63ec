#include "sandbox/capabilities.h"

#include <linux/capability.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* First, because this needs a capability itself (CAP_SETPCAP). */
static void empty_bounding_set(void)
{
	for (unsigned long number = 0; prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++)
		if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) > 0)
			(void)prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
}

void capabilities_keep(uint64_t kept)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2];
	if (syscall(SYS_capget, &header, sets) != 0)
		return;
	bool has_any = (sets[0].permitted | sets[1].permitted | sets[0].inheritable | sets[1].inheritable) != 0;
	/* The call is forbidden if a service manager has dropped all of them. */
	if (!has_any)
		return;
	empty_bounding_set();
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (unsigned i = 0; i < 2; i++) {
		sets[i].permitted &= (uint32_t)(kept >> (32 * i));
		sets[i].effective &= sets[i].permitted;
		sets[i].inheritable = 0;
	}
	(void)syscall(SYS_capset, &header, sets);
}
