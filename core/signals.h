#ifndef CORE_SIGNALS_H
#define CORE_SIGNALS_H

/* How a long-lived process of the server hears that it is to end. */

#include "core/err.h"

/* TERM becomes readable at *out (the caller closes it); an INT that a terminal
 * sends to all processes is the supervisor's to act on, and ignored. Call
 * before threads. */
enum err_code signals_open(int *out, struct err *e) MUST_CHECK;

#endif
