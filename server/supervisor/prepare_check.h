#ifndef SERVER_SUPERVISOR_PREPARE_CHECK_H
#define SERVER_SUPERVISOR_PREPARE_CHECK_H

/* Whether a server could be run with a configuration: the machine can confine
 * its processes; the files that it names are there, are as secret as they have to
 * be, and can be used. Reads and changes nothing. */

#include "core/err.h"
#include "server/conf/conf.h"

enum { PREPARE_CHECK_S = 20 /* file systems may hang */ };

/* In this process, which reads secrets by it: prepare_try has it done by a
 * child. The error names the setting. */
enum err_code prepare_check(const struct conf *c, struct err *e) MUST_CHECK;

/* Only whether the machine can confine what runs, where that has to be: every
 * process and every gate would fail without. UNSUPPORTED. */
enum err_code prepare_check_sandbox(const struct conf *c, struct err *e)
    MUST_CHECK;

#endif
