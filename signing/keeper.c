#include "signing/keeper.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/names.h"
#include "core/signals.h"
#include "core/spec.h"
#include "core/text.h"
#include "signing/digest.h"
#include "signing/head.h"
#include "signing/keeper_list.h"

enum { REVISION_LEN = 40 }; /* a commit id */

struct keeper {
	struct key_ring ring;
	struct channel *pipeline;
};

/* What a request says; texts are borrowed from its payload, but for scope. */
struct sign_request {
	const struct key *key;
	const char *what; /* a bundle, or a cluster */
	const char *revision;
	char *scope;
	struct keeper_list list;
};

static bool
is_bundle_name(const char *name)
{
	return spec_is_name(name) && strcmp(name, DISCOVERY_NAME) != 0;
}

static struct ring_key *
find_own(struct keeper *k, const char *id)
{
	for (size_t i = 0; i < k->ring.count; i++)
		if (strcmp(key_id(k->ring.items[i].key), id) == 0)
			return &k->ring.items[i];
	return NULL;
}

static enum err_code
find_key(const struct ring_key **out, const struct keeper *k, const char *id,
    struct err *e)
{
	*out = key_ring_find(&k->ring, id);
	return *out != NULL ? ERR_OK
			    : err_set(e, ERR_NOT_FOUND, "no key \"%.80s\"", id);
}

/* Of this kind, and no other. id NULL: the one that is used for it. */
static enum err_code
choose_key(const struct key **out, const struct keeper *k, enum key_kind kind,
    const char *id, struct err *e)
{
	const struct ring_key *found = NULL;

	if (id != NULL)
		TRY(find_key(&found, k, id, e));
	else if (kind == KEY_BUNDLE && k->ring.current != NULL)
		found = key_ring_find(&k->ring, key_id(k->ring.current));
	else if (kind != KEY_BUNDLE)
		found = key_ring_newest(&k->ring, kind);
	if (found == NULL)
		return err_set(e, ERR_NOT_FOUND,
		    kind == KEY_BUNDLE ? "no key is the current one"
				       : "there is no key of kind %s",
		    key_kind_name(kind));
	if (found->kind != kind)
		return err_set(e, ERR_DENIED,
		    "key %s is of kind %s and signs nothing else", id,
		    key_kind_name(found->kind));
	if (found->retired_at[0] != '\0')
		return err_set(e, ERR_CONFLICT,
		    "key %s was retired at %s and signs nothing any more", id,
		    found->retired_at);
	*out = found->key;
	return ERR_OK;
}

static enum err_code
read_sign_bundle(struct sign_request *r, const struct keeper *k,
    const struct message *m, struct err *e)
{
	const char *id = NULL;
	json_error_t fault;

	if (json_unpack_ex(m->payload, &fault, 0, "{s?s,s:s,s:s!}", "key", &id,
		"bundle", &r->what, "revision", &r->revision) != 0)
		return err_set(e, ERR_INVALID, "sign: %s", fault.text);
	if (!is_bundle_name(r->what))
		return err_set(e, ERR_INVALID, "\"%.80s\" is no bundle's name",
		    r->what);
	if (!text_is_hex(r->revision, REVISION_LEN))
		return err_set(e, ERR_INVALID, "\"%.80s\" is no revision",
		    r->revision);
	r->scope = mem_strdup(r->what);
	return choose_key(&r->key, k, KEY_BUNDLE, id, e);
}

static enum err_code
read_sign_discovery(struct sign_request *r, const struct keeper *k,
    const struct message *m, struct err *e)
{
	json_error_t fault;

	if (json_unpack_ex(m->payload, &fault, 0, "{s:s,s:s!}", "cluster",
		&r->what, "revision", &r->revision) != 0)
		return err_set(e, ERR_INVALID, "sign discovery: %s",
		    fault.text);
	if (!is_bundle_name(r->what))
		return err_set(e, ERR_INVALID, "\"%.80s\" is no cluster's name",
		    r->what);
	if (!digest_is_hex(r->revision))
		return err_set(e, ERR_INVALID,
		    "\"%.80s\" is no digest of a discovery bundle",
		    r->revision);
	r->scope = keeper_discovery_scope(r->what);
	return choose_key(&r->key, k, KEY_DISCOVERY, NULL, e);
}

/* Its last part is the answer: whoever asked has the rest, and would read it
 * for longer than it takes to sign. */
static enum err_code
sign_files(json_t **reply, const struct sign_request *r, struct err *e)
{
	const struct keeper_list *l = &r->list;
	AUTO_BUF jws = { 0 };

	buf_init(&jws, JWS_SIZE_MAX);
	TRY(jws_sign(&jws, r->key, r->scope, l->files, l->count, e));
	*reply = json_pack("{s:s,s:s,s:s}", "key", key_id(r->key), "algorithm",
	    key_algorithm_name(key_algorithm_of(r->key)), "signature",
	    strrchr(jws.data, '.') + 1);
	assert(*reply != NULL);
	log_info("keeper.signed", "bundle=%s revision=%s key=%s files=%zu",
	    r->scope, r->revision, key_id(r->key), l->count);
	return ERR_OK;
}

static enum err_code
serve_sign(json_t **reply, struct keeper *k, const struct message *m,
    enum err_code (*read)(struct sign_request *r, const struct keeper *k,
	const struct message *m, struct err *e),
    struct err *e)
{
	struct sign_request r = { 0 };
	enum err_code code = read(&r, k, m, e);

	if (code == ERR_OK)
		code = keeper_list_read(&r.list, m->fds[0], e);
	if (code == ERR_OK)
		code = sign_files(reply, &r, e);
	keeper_list_clear(&r.list);
	mem_free(r.scope);
	return code;
}

static enum err_code
serve_sign_bundle(json_t **reply, struct keeper *k, const struct message *m,
    struct err *e)
{
	return serve_sign(reply, k, m, read_sign_bundle, e);
}

static enum err_code
serve_sign_discovery(json_t **reply, struct keeper *k, const struct message *m,
    struct err *e)
{
	return serve_sign(reply, k, m, read_sign_discovery, e);
}

static enum err_code
serve_sign_head(json_t **reply, struct keeper *k, const struct message *m,
    struct err *e)
{
	const struct key *key = NULL;
	json_int_t seq, at_ms;
	struct head h = { 0 };
	AUTO_BUF jws = { 0 };
	json_error_t fault;
	const char *hash;

	if (json_unpack_ex(m->payload, &fault, 0, "{s:I,s:s,s:I!}", "seq", &seq,
		"hash", &hash, "at_ms", &at_ms) != 0)
		return err_set(e, ERR_INVALID, "sign head: %s", fault.text);
	h.seq = seq;
	h.at_ms = at_ms;
	(void)snprintf(h.hash, sizeof h.hash, "%s",
	    digest_is_hex(hash) ? hash : "");
	TRY(choose_key(&key, k, KEY_AUDIT, NULL, e));
	buf_init(&jws, HEAD_JWS_MAX);
	TRY(head_sign(&jws, key, &h, e));
	*reply = json_pack("{s:s,s:s,s:s}", "key", key_id(key), "algorithm",
	    key_algorithm_name(key_algorithm_of(key)), "jws", jws.data);
	assert(*reply != NULL);
	log_info("keeper.signed", "audit=%" PRId64 " key=%s", h.seq,
	    key_id(key));
	return ERR_OK;
}

static enum err_code
serve_verify(json_t **reply, struct keeper *k, const struct message *m,
    struct err *e)
{
	struct jws_claims claims = { 0 };
	const struct ring_key *key = NULL;
	const char *id, *jws;
	json_error_t fault;
	size_t len;

	if (json_unpack_ex(m->payload, &fault, 0, "{s:s,s:s%!}", "key", &id,
		"jws", &jws, &len) != 0)
		return err_set(e, ERR_INVALID, "verify: %s", fault.text);
	TRY(find_key(&key, k, id, e));
	TRY(jws_verify(&claims, jws, len, key->key, e));
	*reply = json_pack("{s:I}", "files", (json_int_t)claims.count);
	assert(*reply != NULL);
	jws_claims_clear(&claims);
	return ERR_OK;
}

static json_t *
describe_key(const struct ring_key *k)
{
	bool retired = k->retired_at[0] != '\0';
	AUTO_BUF public = { 0 };
	json_t *j;

	buf_init(&public, KEY_FILE_MAX);
	key_write_public(&public, k->key);
	j = json_pack("{s:s,s:s,s:s,s:s,s:s*,s:s*}", "id", key_id(k->key),
	    "algorithm", key_algorithm_name(key_algorithm_of(k->key)), "kind",
	    key_kind_name(k->kind), "created_at", k->created_at, "retired_at",
	    retired ? k->retired_at : NULL, "public",
	    public.len > 0 ? public.data : NULL);
	assert(j != NULL);
	return j;
}

static enum err_code
serve_keys(json_t **reply, struct keeper *k, const struct message *m,
    struct err *e)
{
	json_t *keys = json_array();

	if (json_object_size(m->payload) > 0) {
		json_decref(keys);
		return err_set(e, ERR_INVALID, "keys: takes no arguments");
	}
	for (size_t i = 0; i < k->ring.count; i++)
		json_array_append_new(keys, describe_key(&k->ring.items[i]));
	*reply = json_pack("{s:s?,s:o}", "current",
	    k->ring.current != NULL ? key_id(k->ring.current) : NULL, "keys",
	    keys);
	assert(*reply != NULL);
	return ERR_OK;
}

static enum err_code
serve_retire(json_t **reply, struct keeper *k, const struct message *m,
    struct err *e)
{
	char now[CLOCK_TEXT_SIZE];
	struct ring_key *found;
	json_error_t fault;
	const char *id;

	if (json_unpack_ex(m->payload, &fault, 0, "{s:s!}", "key", &id) != 0)
		return err_set(e, ERR_INVALID, "retire: %s", fault.text);
	found = find_own(k, id);
	if (found == NULL)
		return err_set(e, ERR_NOT_FOUND, "no key \"%.80s\"", id);
	*reply = json_object();
	if (found->retired_at[0] != '\0')
		return ERR_OK;
	clock_text(now, clock_now_ms());
	(void)snprintf(found->retired_at, sizeof found->retired_at, "%s", now);
	if (k->ring.current == found->key)
		k->ring.current = NULL;
	log_info("keeper.retired", "key=%s", id);
	return ERR_OK;
}

static const struct service {
	uint32_t kind;
	const char *name;
	size_t fds;
	enum err_code (*serve)(json_t **reply, struct keeper *k,
	    const struct message *m, struct err *e);
} services[] = {
	{ KEEPER_SIGN_BUNDLE, "sign", 1, serve_sign_bundle },
	{ KEEPER_VERIFY, "verify", 0, serve_verify },
	{ KEEPER_KEYS, "keys", 0, serve_keys },
	{ KEEPER_SIGN_DISCOVERY, "sign discovery", 1, serve_sign_discovery },
	{ KEEPER_SIGN_HEAD, "sign head", 0, serve_sign_head },
	{ KEEPER_RETIRE, "retire", 0, serve_retire },
};

static const uint32_t accepted[] = { KEEPER_SIGN_BUNDLE, KEEPER_VERIFY,
	KEEPER_KEYS, KEEPER_SIGN_DISCOVERY, KEEPER_SIGN_HEAD, KEEPER_RETIRE,
	0 };

static enum err_code
answer(struct keeper *k, const struct message *m, struct err *e)
{
	enum { SERVICES = sizeof services / sizeof *services };
	const struct service *s = services;
	enum err_code code;
	json_t *reply = NULL;
	struct err why;

	/* Kinds outside the list never come this far, but replies do. */
	while (s < services + SERVICES && s->kind != m->kind)
		s++;
	if (s == services + SERVICES) {
		log_warn("keeper.ignored", "kind=%u", m->kind);
		return ERR_OK;
	}
	if (m->fd_count != s->fds)
		code = err_set(&why, ERR_INVALID,
		    "%s: comes with %zu descriptors", s->name, s->fds);
	else
		code = s->serve(&reply, k, m, &why);
	if (code == ERR_OK) {
		code = channel_reply(k->pipeline, m, reply, e);
	} else {
		log_warn("keeper.refused", "request=%s code=%s reason=\"%s\"",
		    s->name, err_name(code), why.text);
		code = channel_reply_error(k->pipeline, m, &why, e);
	}
	json_decref(reply);
	return code;
}

enum next { GO_ON, STOP, FAIL };

static enum next
serve_one(struct keeper *k)
{
	struct message m = { 0 };
	struct err e = { 0 };

	switch (channel_receive(k->pipeline, &m, accepted, 0, &e)) {
	case ERR_OK:
		break;
	case ERR_UNAVAILABLE:
		return STOP;
	case ERR_IO:
		log_error("keeper.failed", "reason=\"%s\"", e.text);
		return FAIL;
	default:
		return GO_ON; /* nothing came, or it was refused and logged */
	}
	/* Who asked may be gone meanwhile: the next receive tells. */
	if (answer(k, &m, &e) != ERR_OK)
		log_warn("keeper.unanswered", "kind=%u reason=\"%s\"", m.kind,
		    e.text);
	message_clear(&m);
	return GO_ON;
}

static int
serve(struct keeper *k, int signals)
{
	struct pollfd ready[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = channel_fd(k->pipeline), .events = POLLIN },
	};
	enum next next = GO_ON;

	while (next == GO_ON) {
		if (poll(ready, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			log_error("keeper.failed", "reason=\"poll: errno %d\"",
			    errno);
			return 1;
		}
		if (ready[0].revents != 0)
			return 0;
		if (ready[1].revents != 0)
			next = serve_one(k);
	}
	return next == STOP ? 0 : 1;
}

/* Everything OpenSSL loads on first use (providers, algorithms, randomness) is
 * loaded before files are out of reach. */
static enum err_code
warm_up(const struct key_ring *r, struct err *e)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct key *k = r->items[i].key;
		AUTO_BUF jws = { 0 };
		struct jws_claims claims = { 0 };

		buf_init(&jws, CHANNEL_PAYLOAD_MAX);
		TRY(jws_sign(&jws, k, NULL, NULL, 0, e));
		TRY(jws_verify(&claims, jws.data, jws.len, k, e));
		jws_claims_clear(&claims);
	}
	return ERR_OK;
}

void
keeper_rules(struct confine_rules *out, bool best_effort)
{
	*out = (struct confine_rules){
		.calls = CONFINE_MESSAGES,
		.files_max = 256,
		.best_effort = best_effort,
	};
}

static enum err_code
withdraw(bool best_effort, struct err *e)
{
	struct confine_rules rules;

	keeper_rules(&rules, best_effort);
	return confine_self(&rules, e);
}

static enum err_code
start(struct keeper *k, int *signals, const char *keys_dir, bool best_effort,
    struct err *e)
{
	TRY(signals_open(signals, e));
	TRY(key_ring_read(&k->ring, keys_dir, e));
	TRY(warm_up(&k->ring, e));
	/* Before the rights go: the log's clock loads the time zone once. */
	log_info("keeper.started", "keys=%zu current=%s", k->ring.count,
	    k->ring.current != NULL ? key_id(k->ring.current) : "-");
	return withdraw(best_effort, e);
}

int
keeper_main(const char *keys_dir, int pipeline_fd, bool best_effort)
{
	struct keeper k = { .pipeline = channel_new(pipeline_fd, "pipeline") };
	int status = 1, signals = -1;
	struct err e = { 0 };

	if (start(&k, &signals, keys_dir, best_effort, &e) == ERR_OK)
		status = serve(&k, signals);
	else
		log_error("keeper.failed", "reason=\"%s\"", e.text);
	if (signals >= 0)
		(void)close(signals);
	key_ring_clear(&k.ring);
	channel_free(k.pipeline);
	return status;
}
