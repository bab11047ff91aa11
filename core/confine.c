#include "core/confine.h"

#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/confine_parts.h"

void
confine_probe(struct confine_support *out)
{
	*out = (struct confine_support){
		.landlock_abi = confine_landlock_abi(),
		.seccomp = confine_has_seccomp(),
	};
}

enum err_code
confine_floor(struct err *e)
{
	struct confine_support s;

	confine_probe(&s);
	if (s.landlock_abi == 0)
		return err_set(e, ERR_UNSUPPORTED,
		    "this kernel has no Landlock, or it is not enabled (boot "
		    "parameter lsm=landlock,…; Linux 5.13 or newer): untrusted "
		    "policies cannot be confined here");
	if (!s.seccomp)
		return err_set(e, ERR_UNSUPPORTED,
		    "this kernel, or the container around this process, has no "
		    "seccomp filters: untrusted policies cannot be confined "
		    "here");
	return ERR_OK;
}

void
confine_describe(char out[64], const struct confine_rules *r)
{
	struct confine_support s;
	char landlock[32] = "";

	(void)r; /* every set of rules uses all there is */
	confine_probe(&s);
	if (s.landlock_abi > 0)
		(void)snprintf(landlock, sizeof landlock, "landlock-%d,",
		    s.landlock_abi);
	(void)snprintf(out, 64, "%s%srlimits", landlock,
	    s.seccomp ? "seccomp," : "");
}

/* Being root ends here, but for what makes the files that Landlock still
 * leaves reachable whatever their owner. No new privileges: execve gives
 * nothing back. */
static enum err_code
drop_capabilities(const struct confine_rules *r, struct err *e)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct now[2] = { 0 };
	uint32_t keep = 0;

	if ((r->calls & CONFINE_EXEC) == 0) {
		if ((r->calls & CONFINE_READ_FILES) != 0)
			keep |= 1u << CAP_DAC_READ_SEARCH;
		if ((r->calls & CONFINE_WRITE_FILES) != 0)
			keep |= 1u << CAP_DAC_OVERRIDE;
	}
	if (syscall(__NR_capget, &header, now) != 0)
		return err_errno(e, "confinement: capabilities");
	for (int i = 0; i < 2; i++) {
		now[i].permitted &= i == 0 ? keep : 0;
		now[i].effective &= i == 0 ? keep : 0;
		now[i].inheritable = 0;
	}
	if (syscall(__NR_capset, &header, now) != 0)
		return err_errno(e, "confinement: capabilities");
	return ERR_OK;
}

enum err_code
confine_self(const struct confine_rules *r, struct err *e)
{
	struct confine_support s;
	uint64_t tasks = r->threads_extra > 0 ? confine_count_tasks(getuid())
					      : 0;

	confine_probe(&s);
	if (!r->best_effort)
		TRY(confine_floor(e));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_errno(e, "confinement: no new privileges");
	/* Nobody of the same uid looks into this process's memory. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return err_errno(e, "confinement: PR_SET_DUMPABLE");
	if (s.landlock_abi > 0)
		TRY(confine_landlock(r, s.landlock_abi, e));
	TRY(drop_capabilities(r, e));
	if (s.seccomp)
		TRY(confine_seccomp(r, s.landlock_abi, e));
	return confine_limits(r, tasks, e);
}
