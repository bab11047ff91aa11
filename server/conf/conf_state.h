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
	char fault[CONF_STATE_TEXT_MAX];   /* why; "" */
	char pending[CONF_STATE_TEXT_MAX]; /* settings, ", " between them, that
	                                    * wait for a restart; "" */
};

/* Aborts when there is no memory. Loaded now. */
struct conf_state *conf_state_new(void);
void conf_state_free(struct conf_state *s);

/* In a process that was forked: it only reads from now on. */
void conf_state_seal(struct conf_state *s);

/* The supervisor's. Longer texts are cut. */
void conf_state_loaded(struct conf_state *s, const char *pending);
void conf_state_refused(struct conf_state *s, const char *fault);

/* Any process, any thread. */
void conf_state_read(const struct conf_state *s, struct conf_state_view *out);

#endif
