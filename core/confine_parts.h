#ifndef CORE_CONFINE_PARTS_H
#define CORE_CONFINE_PARTS_H

/* What confine_self puts together, each in a file of its own. Only
 * core/confine*.c needs this. */

#include <seccomp.h>
#include <sys/types.h>

#include "core/confine.h"

/* Landlock: which files. 0: the kernel has none. */
int confine_landlock_abi(void);
enum err_code confine_landlock(const struct confine_rules *r, int abi,
    struct err *e) MUST_CHECK;

/* seccomp: which system calls. What Landlock of this ABI does not see, the
 * filter leaves out. Where a process's own number belongs, the filter that is
 * built has a mark, which is nobody's number (PID_MAX_LIMIT is 2^22). The
 * caller releases it. */
enum { CONFINE_PID_MARK = 0x7ffffffd };
bool confine_has_seccomp(void);
enum err_code confine_filter_build(scmp_filter_ctx *out, unsigned int calls,
    int abi, struct err *e) MUST_CHECK;
enum err_code confine_seccomp(const struct confine_rules *r, int abi,
    struct err *e) MUST_CHECK;

/* How many tasks the uid has now, which is what RLIMIT_NPROC counts. Asks
 * /proc, so before Landlock. */
uint64_t confine_count_tasks(uid_t uid);

/* Last of all: making a seccomp filter needs memory. Lowering is allowed to
 * everybody, and raising to nobody once the capabilities are gone. */
enum err_code confine_limits(const struct confine_rules *r, uint64_t tasks,
    struct err *e) MUST_CHECK;

#endif
