#ifndef CORE_LOG_H
#define CORE_LOG_H

/* One line per event on stderr:
 *   2026-01-31T10:15:02.123Z info http gate.rejected repo=policies commit=…
 * Level, process, event name, key=value pairs. Control characters are escaped
 * by the writer; one write(2) per line, so lines of several processes do not
 * mix. When the log has no room (its reader stalls) lines are dropped and
 * counted, and a line `log.dropped lines=N` comes before the next one that
 * fits. Never pass tokens, keys or policy data. Any thread. */

#include <inttypes.h>
#include <stddef.h>

#include "core/err.h"

/* A pipe that has room at all takes this much at once. */
enum { LOG_LINE_MAX = 4096 };

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Call once per process, before threads, and again when stderr has become another:
 * the name of the process as shown. */
void log_init(const char *process, enum log_level least);

void log_write(enum log_level level, const char *event, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* The same line for whoever writes it himself: its length, 0 when this level is
 * not logged. It is not terminated. */
size_t log_line(char line[LOG_LINE_MAX], enum log_level level,
    const char *event, const char *fmt, ...) PRINTF_LIKE(4, 5);

#define log_debug(event, ...) log_write(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) log_write(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_write(LOG_ERROR, event, __VA_ARGS__)

#endif
