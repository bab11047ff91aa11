#ifndef CORE_BANNED_H
#define CORE_BANNED_H

/* The build includes this in front of every file: functions that cannot be
 * told how much room there is, keep their place in a global, or cannot say that
 * they failed do not compile. Take buf, mem_printf, snprintf, strsep, strtol.
 * The headers come first, because they have to name them. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With _FORTIFY_SOURCE and clang, glibc makes macros of these. */
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy stpcpy strcat strncpy strncat
#pragma GCC poison sprintf vsprintf gets
#pragma GCC poison strtok atoi atol atoll atof
#pragma GCC poison mktemp tmpnam tempnam

#endif
