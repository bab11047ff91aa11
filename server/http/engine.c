#include "server/http/engine.h"

#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/text.h"
#include "server/http/certificate.h"
#include "server/http/jwt_known.h"
#include "server/http/poll.h"

/* As newer ones say it, and older ones. */
static const char *const agents[] = { "Open-Policy-Agent/",
	"Open Policy Agent/" };

/* What comes after that, or NULL. */
static const char *
agent_version(const struct request *r)
{
	const char *agent = r->known[REQUEST_AGENT];

	for (size_t i = 0; agent != NULL && i < sizeof agents / sizeof *agents;
	     i++)
		if (strncmp(agent, agents[i], strlen(agents[i])) == 0)
			return agent + strlen(agents[i]);
	return NULL;
}

bool
engine_is_opa(const struct request *r)
{
	return agent_version(r) != NULL;
}

const char *
engine_name(const struct request *r)
{
	const char *name = r->known[REQUEST_ENGINE];

	/* What is proven counts for more than what is said. */
	if (r->certificate != NULL && engines_is_name(r->certificate->name))
		return r->certificate->name;
	if (r->jwt != NULL && r->jwt->engine != NULL &&
	    engines_is_name(r->jwt->engine))
		return r->jwt->engine;
	if (name == NULL || *name == '\0')
		return NULL;
	if (engines_is_name(name))
		return name;
	counters_add(r->service->counters, COUNTER_ENGINES_UNNAMED, 1);
	return NULL;
}

/* "Open-Policy-Agent/1.19.1 (linux, amd64)"; "" when it is none of that. */
static void
read_version(char out[ENGINES_VERSION_SIZE], const struct request *r)
{
	static const struct text_set chars = { { ['0' ... '9'] = true,
	    ['a' ... 'z'] = true,
	    ['.'] = true,
	    ['-'] = true,
	    ['+'] = true } };
	const char *agent = agent_version(r);
	size_t len = agent != NULL ? text_span(agent, &chars) : 0;

	if (len >= ENGINES_VERSION_SIZE)
		len = 0;
	memcpy(out, agent != NULL ? agent : "", len);
	out[len] = '\0';
}

void
engine_read(struct engine *out, const struct request *r,
    const struct catalog_entry *entry)
{
	const char *etag = r->known[REQUEST_ETAG];
	const char *name = engine_name(r);
	unsigned char address[REQUEST_ADDRESS_MAX];
	size_t len = request_address(address, r);

	*out = (struct engine){
		.tracked = !request_is_head(r) &&
		    (r->token == NULL || r->token->role == SCOPE_ENGINE),
		.revision = entry->revision,
		.poll = {
			.cluster = entry->cluster,
			.bundle = entry->bundle,
			.name = name,
			.anonymous = name == NULL,
			.assigned = entry->mark,
			.serial = entry->serial,
			.now_ms = clock_now_ms(),
		},
	};
	if (name == NULL)
		out->poll.name = r->token != NULL ? r->token->name : "";
	out->poll.from =
	    (uint32_t)engines_hash_bytes(r->service->engines, address, len) | 1;
	read_version(out->version, r);
	out->poll.version = out->version[0] != '\0' ? out->version : NULL;
	if (etag == NULL || *etag == '\0')
		return;
	out->has = poll_has(etag, entry->etag) ? entry->mark
					       : engines_mark(etag);
	out->poll.has = &out->has;
}

static void
tell(const struct request *r, const struct engine *e,
    const struct engines_answer *a)
{
	static const struct {
		enum engines_news news;
		enum counter counter;
		enum log_level level;
		const char *event;
	} rows[] = {
		{ ENGINES_NEWS_REJECTING, COUNTER_ENGINES_REJECTED, LOG_WARN,
		    "engine.rejecting" },
		{ ENGINES_NEWS_HEALED, COUNTER_ENGINES_HEALED, LOG_INFO,
		    "engine.healed" },
	};
	const struct engines_poll *p = &e->poll;

	if (a->missed)
		counters_add(r->service->counters, COUNTER_ENGINES_MISSED, 1);
	if ((a->news & ENGINES_NEWS_UNTRACKED) != 0)
		counters_add(r->service->counters, COUNTER_ENGINES_UNTRACKED,
		    1);
	if ((a->news & ENGINES_NEWS_BACK) != 0)
		counters_add(r->service->counters, COUNTER_ENGINES_BACK, 1);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if ((a->news & rows[i].news) == 0)
			continue;
		counters_add(r->service->counters, rows[i].counter, 1);
		log_write(rows[i].level, rows[i].event,
		    "cluster=%s engine=%s bundle=%s assigned=%s", p->cluster,
		    p->name, p->bundle, e->revision);
	}
	if ((a->news & ENGINES_NEWS_BACK) != 0)
		log_warn("engine.went_back",
		    "cluster=%s engine=%s bundle=%s from_serial=%" PRId64
		    " to_serial=%" PRId64
		    " reason=\"without a restart; or several engines share "
		    "this name\"",
		    p->cluster, p->name, p->bundle, a->from_serial,
		    a->to_serial);
}

bool
engine_may_have(struct request *r, struct engine *e)
{
	struct engines_answer a;

	if (!e->tracked)
		return true;
	if (r->waited)
		return !engines_held(r->service->engines, &e->poll);
	engines_poll(r->service->engines, &e->poll, &a);
	tell(r, e, &a);
	e->settling = a.settling;
	e->missed = a.missed;
	if (a.hold)
		counters_add(r->service->counters, COUNTER_ENGINES_SPARED, 1);
	return !a.hold;
}

void
engine_told(struct request *r, const char *cluster)
{
	const char *name = engine_name(r);

	if (name != NULL && !request_is_head(r) &&
	    (r->token == NULL || r->token->role == SCOPE_ENGINE))
		engines_told(r->service->engines, cluster, name,
		    clock_now_ms());
}

void
engine_sent(struct request *r, const struct engine *e)
{
	if (e->tracked)
		engines_sent(r->service->engines, &e->poll, &r->ticket);
}

void
engine_failed(struct request *r)
{
	engines_unsent(r->service->engines, &r->ticket);
}
