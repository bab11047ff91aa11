#include "server/conf/conf_discovery.h"

#include <stddef.h>

const struct spec conf_discovery_spec[] = {
	{ "persist", SPEC_BOOL, offsetof(struct conf_discovery, persist), 0, 0,
	    1,
	    .help = "Engines keep bundles on disk over a restart, in their "
		    "persistence_directory, which has to be writable." },
	{ "wait", SPEC_SECONDS, offsetof(struct conf_discovery, wait), 0, 3600,
	    45,
	    .help = "How long engines ask for bundles in one long poll; keep "
		    "it below proxies' limits. 0: plain polling." },
	{ "min_delay", SPEC_SECONDS, offsetof(struct conf_discovery, min_delay),
	    1, 3600, 5,
	    .help = "The least between two plain polls, and after a failure." },
	{ "max_delay", SPEC_SECONDS, offsetof(struct conf_discovery, max_delay),
	    1, 3600, 15, .help = "The most; each engine picks its own." },
	{ 0 }
};

enum err_code
conf_discovery_check(const struct conf_discovery *c, struct err *e)
{
	if (c->min_delay <= c->max_delay)
		return ERR_OK;
	return err_set(e, ERR_INVALID,
	    "discovery.min_delay: %lld seconds are more than max_delay's %lld; "
	    "make it at most that",
	    (long long)c->min_delay, (long long)c->max_delay);
}
