#include "server/conf/conf_access_log.h"

#include <stddef.h>

const struct spec conf_access_log_spec[] = {
	{ "sample", SPEC_INT, offsetof(struct conf_access_log, sample), 0,
	    1000000, 0,
	    .help = "One of so many requests is logged, chosen at random; 1: "
		    "every one, 0: none. Lines that nobody reads in time are "
		    "dropped and counted." },
	{ 0 }
};
