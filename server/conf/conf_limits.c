#include "server/conf/conf_limits.h"

const struct spec conf_limits_spec[] = {
	{ "headers_timeout", SPEC_SECONDS,
	    offsetof(struct conf_limits, headers_timeout), 1, 3600, 15,
	    .help = "A client has so long to connect and send a request's "
		    "headers, however it trickles." },
	{ "body_timeout", SPEC_SECONDS,
	    offsetof(struct conf_limits, body_timeout), 1, 3600, 60,
	    .help = "And so long to send the body after them." },
	{ "answer_grace", SPEC_SECONDS,
	    offsetof(struct conf_limits, answer_grace), 1, 3600, 10,
	    .help = "How often it is looked at whether a client that is being "
		    "answered takes `answer_rate`." },
	{ "answer_rate", SPEC_SIZE, offsetof(struct conf_limits, answer_rate),
	    0, INT64_C(1) << 30, 1024,
	    .help = "Bytes per second that a client has to take of its answer; "
		    "0: it may take for ever." },
	{ "address_connections", SPEC_INT,
	    offsetof(struct conf_limits, address_connections), 0, 1000000, 1024,
	    .help = "Connections of one address (of IPv6: one /64) that have "
		    "not shown a good credential; one more ends the oldest of "
		    "them. 0: no limit." },
	{ "failures_rate", SPEC_INT,
	    offsetof(struct conf_limits, failures_rate), 0, 1000000, 20,
	    .help =
		"Bad credentials per second that are looked at for one "
		"address; good tokens always pass, and so do JWTs that were good lately. "
		"0: no limit." },
	{ "failures_burst", SPEC_INT,
	    offsetof(struct conf_limits, failures_burst), 1, 1000000, 200,
	    .help = "And how many of them at once." },
	{ "api_rate", SPEC_INT, offsetof(struct conf_limits, api_rate), 0,
	    1000000, 100,
	    .help = "Requests per second to the operators' API with one "
		    "credential. 0: no limit." },
	{ "api_burst", SPEC_INT, offsetof(struct conf_limits, api_burst), 1,
	    1000000, 500, .help = "And how many of them at once." },
	{ 0 }
};
