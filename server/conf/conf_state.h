#ifndef SERVER_CONF_STATE_H
#define SERVER_CONF_STATE_H

/* How the last reading of server.yaml went, for all to see: shared memory, made
 * by the supervisor before it forks, which alone writes it. It tells people
 * something and decides nothing. */

#include <stdbool.h>
#include <stdint.h>

enum { CONF_STATE_TEXT_MAX = 2048 };

struct conf_state;

struct conf_state_view {
	int64_t loaded_ms;  /* wall clock: what holds was read then */
	int64_t refused_ms; /* the last one was refused then; 0: it was not */
	char fault[CONF_STATE_TEXT_MAX]; /* why; "" */
	int64_t failed_ms; /* since then a process that was to go by what was
	                    * loaded last has not begun to; 0: all do */
	char failure[CONF_STATE_TEXT_MAX]; /* which; "" */
	char pending[CONF_STATE_TEXT_MAX]; /* settings, ", " between them, that
	                                    * wait for a restart; "" */
};

/* Aborts when there is no memory. Loaded now. */
struct conf_state *conf_state_new(void);
void conf_state_free(struct conf_state *s);

/* In a process that was forked: it only reads from now on. */
void conf_state_seal(struct conf_state *s);

/* The supervisor's. Longer texts are cut. What was refused, or failed, is so
 * until another is loaded; what failed, until it holds after all. */
void conf_state_loaded(struct conf_state *s, const char *pending);
void conf_state_refused(struct conf_state *s, const char *fault);
void conf_state_failed(struct conf_state *s, const char *failure);
void conf_state_holds(struct conf_state *s);
/* The last one was read again, and nothing is new in it. */
void conf_state_unchanged(struct conf_state *s, const char *pending);

/* Any process, any thread. */
void conf_state_read(const struct conf_state *s, struct conf_state_view *out);

#endif
