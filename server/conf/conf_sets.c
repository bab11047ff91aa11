#include "server/conf/conf.h"

const struct spec conf_sets_spec[] = {
	{ "handover_timeout", SPEC_SECONDS,
	    offsetof(struct conf, sets.handover_timeout), 1, 3600, 120,
	    .help = "When a root moves from one bundle to another: how long "
		    "the one that gets it waits at most for engines to let go "
		    "of it, beyond http.release_spread." },
	{ 0 }
};
