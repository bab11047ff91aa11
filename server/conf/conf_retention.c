#include "server/conf/conf_retention.h"

#define DAY (24 * 60 * 60)
#define YEAR (366 * DAY)
#define COUNT_MAX 1000000

static const struct spec artifacts_spec[] = {
	{ "count", SPEC_INT, offsetof(struct conf_kept, count), 1, COUNT_MAX,
	    400,
	    .help = "Newest different contents of each bundle that stay, "
		    "whatever their age." },
	{ "age", SPEC_SECONDS, offsetof(struct conf_kept, age), 0,
	    100 * (int64_t)YEAR, 30 * DAY,
	    .help = "What was published or assigned since then stays as "
		    "well." },
	{ 0 }
};

static const struct spec reports_spec[] = {
	{ "count", SPEC_INT, offsetof(struct conf_kept, count), 1, COUNT_MAX,
	    400,
	    .help = "Newest verdicts of each repository whose tests stay." },
	{ "age", SPEC_SECONDS, offsetof(struct conf_kept, age), 0,
	    100 * (int64_t)YEAR, 90 * DAY,
	    .help = "Those of verdicts since then stay as well." },
	{ 0 }
};

static const struct spec operations_spec[] = {
	{ "count", SPEC_INT, offsetof(struct conf_kept, count), 1, COUNT_MAX,
	    1000, .help = "Newest operations that stay." },
	{ "age", SPEC_SECONDS, offsetof(struct conf_kept, age), 0,
	    100 * (int64_t)YEAR, 400 * DAY,
	    .help = "Those that ended since then stay as well." },
	{ 0 }
};

const struct spec conf_retention_spec[] = {
	{ "every", SPEC_SECONDS, offsetof(struct conf_retention, every), 0,
	    YEAR, DAY,
	    .help = "How often what is kept no longer is removed; 0: only by "
		    "`edict gc`." },
	{ "artifacts", SPEC_OBJECT, offsetof(struct conf_retention, artifacts),
	    .sub = artifacts_spec,
	    .help = "Bundles as they were built, signed and not. What is "
		    "assigned or quarantined anywhere always stays; what went "
		    "is built again when somebody rolls back to it." },
	{ "reports", SPEC_OBJECT, offsetof(struct conf_retention, reports),
	    .sub = reports_spec,
	    .help = "The results of every single test. Verdicts themselves "
		    "stay." },
	{ "operations", SPEC_OBJECT,
	    offsetof(struct conf_retention, operations), .sub = operations_spec,
	    .help = "What operators asked for that took a while; the audit has "
		    "it for ever." },
	{ "compiled", SPEC_SECONDS, offsetof(struct conf_retention, compiled),
	    0, 100 * (int64_t)YEAR, 90 * DAY,
	    .help = "What `opa build` made goes when it was of no use for so "
		    "long." },
	{ 0 }
};

struct store_keep
conf_retention_keep(const struct conf_retention *r, int64_t engines_age)
{
	return (struct store_keep){
		.artifacts = r->artifacts.count,
		.artifacts_ms = r->artifacts.age * 1000,
		.reports = r->reports.count,
		.reports_ms = r->reports.age * 1000,
		.operations = r->operations.count,
		.operations_ms = r->operations.age * 1000,
		.engines_ms = engines_age * 1000,
	};
}
