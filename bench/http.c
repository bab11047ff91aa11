/* The http process alone, in the foreground: bench/instructions counts what it
 * executes, and counting tools work neither in the supervisor's children nor
 * under their system call filters (this program is linked without: see its
 * CMakeLists.txt). Serves the data folder of a server that has ended, with that
 * server's configuration, as one thread, until SIGTERM. Nobody is at the other
 * ends of its channels. */

#include <stdio.h>
#include <stdlib.h>

#include "clusters/counters.h"
#include "clusters/engines.h"
#include "core/channel.h"
#include "core/confine.h"
#include "core/log.h"
#include "server/conf/conf.h"
#include "server/http/http.h"
#include "server/supervisor/listeners.h"

enum err_code __wrap_confine_self(const struct confine_rules *r, struct err *e);
enum err_code
__wrap_confine_self(const struct confine_rules *r, struct err *e)
{
	(void)r;
	(void)e;
	return ERR_OK;
}

static enum err_code
serve(const struct conf *c, int *status, struct err *e)
{
	struct listeners listeners = { 0 };
	struct http_setup setup = { .conf = c, .listener_count = 1 };
	int ledger[2], supervisor[2];

	TRY(channel_pair(ledger, e));
	TRY(channel_pair(supervisor, e));
	TRY(listeners_open(&listeners, c->listen, 1, e));
	setup.listeners = listeners.fds;
	setup.ledger_fd = ledger[0];
	setup.supervisor_fd = supervisor[0];
	setup.counters = counters_new(NULL, 0);
	setup.engines = engines_new((size_t)c->engines.max);
	*status = http_main(&setup);
	engines_free(setup.engines);
	counters_free(setup.counters);
	listeners_close(&listeners);
	return ERR_OK;
}

int
main(int argc, char **argv)
{
	struct conf_flags flags = { .file = argc == 2 ? argv[1] : NULL };
	AUTO(conf, c) = NULL;
	struct err e = { 0 };
	int status = 1;

	if (flags.file == NULL) {
		(void)fprintf(stderr, "usage: see bench/instructions\n");
		return 2;
	}
	log_init("http", LOG_INFO);
	if (conf_read(&c, &flags, &e) != ERR_OK ||
	    serve(c, &status, &e) != ERR_OK)
		(void)fprintf(stderr, "bench_http: %s\n", e.text);
	return status;
}
