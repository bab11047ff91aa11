#include "signing/keeper.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/names.h"
#include "core/signals.h"
#include "core/spec.h"
#include "core/text.h"
#include "signing/keeper_list.h"

enum { REVISION_LEN = 40 }; /* a commit id */

struct keeper {
	struct key_ring ring;
	struct channel *pipeline;
};

/* What a request says; texts are borrowed from its payload. */
struct sign_request {
	const struct key *key;
	const char *bundle;
	const char *revision;
	struct keeper_list list;
};

static bool
is_bundle_name(const char *name)
{
	return spec_is_name(name) && strcmp(name, DISCOVERY_NAME) != 0;
}

static enum err_code
find_key(const struct key **out, const struct keeper *k, const char *id,
    struct err *e)
{
	*out = id == NULL ? k->ring.current : key_ring_find(&k->ring, id);
	if (*out != NULL)
		return ERR_OK;
	if (id == NULL)
		return err_set(e, ERR_NOT_FOUND, "no key is the current one");
	return err_set(e, ERR_NOT_FOUND, "no key \"%.80s\"", id);
}

static enum err_code
read_sign_request(struct sign_request *r, const struct keeper *k,
    const struct message *m, struct err *e)
{
	const char *id = NULL;
	json_error_t fault;

	if (json_unpack_ex(m->payload, &fault, 0, "{s?s,s:s,s:s!}", "key", &id,
		"bundle", &r->bundle, "revision", &r->revision) != 0)
		return err_set(e, ERR_INVALID, "sign: %s", fault.text);
	if (!is_bundle_name(r->bundle))
		return err_set(e, ERR_INVALID, "\"%.80s\" is no bundle's name",
		    r->bundle);
	if (!text_is_hex(r->revision, REVISION_LEN))
		return err_set(e, ERR_INVALID, "\"%.80s\" is no revision",
		    r->revision);
	TRY(find_key(&r->key, k, id, e));
	return keeper_list_read(&r->list, m->fds[0], e);
}

/* Its last part is the answer: whoever asked has the rest, and would read it
 * for longer than it takes to sign. */
static enum err_code
sign_files(json_t **reply, const struct sign_request *r, struct err *e)
{
	const struct keeper_list *l = &r->list;
	AUTO_BUF jws = { 0 };

	buf_init(&jws, JWS_SIZE_MAX);
	TRY(jws_sign(&jws, r->key, r->bundle, l->files, l->count, e));
	*reply = json_pack("{s:s,s:s,s:s}", "key", key_id(r->key), "algorithm",
	    key_algorithm_name(key_algorithm_of(r->key)), "signature",
	    strrchr(jws.data, '.') + 1);
	assert(*reply != NULL);
	log_info("keeper.signed", "bundle=%s revision=%s key=%s files=%zu",
	    r->bundle, r->revision, key_id(r->key), l->count);
	return ERR_OK;
}

static enum err_code
serve_sign(json_t **reply, const struct keeper *k, const struct message *m,
    struct err *e)
{
	struct sign_request r = { 0 };
	enum err_code code = read_sign_request(&r, k, m, e);

	if (code == ERR_OK)
		code = sign_files(reply, &r, e);
	keeper_list_clear(&r.list);
	return code;
}

static enum err_code
serve_verify(json_t **reply, const struct keeper *k, const struct message *m,
    struct err *e)
{
	struct jws_claims claims = { 0 };
	const struct key *key = NULL;
	const char *id, *jws;
	json_error_t fault;
	size_t len;

	if (json_unpack_ex(m->payload, &fault, 0, "{s:s,s:s%!}", "key", &id,
		"jws", &jws, &len) != 0)
		return err_set(e, ERR_INVALID, "verify: %s", fault.text);
	TRY(find_key(&key, k, id, e));
	TRY(jws_verify(&claims, jws, len, key, e));
	*reply = json_pack("{s:I}", "files", (json_int_t)claims.count);
	assert(*reply != NULL);
	jws_claims_clear(&claims);
	return ERR_OK;
}

static json_t *
describe_key(const struct key *k)
{
	AUTO_BUF public = { 0 };
	json_t *j;

	buf_init(&public, KEY_FILE_MAX);
	key_write_public(&public, k);
	j = json_pack("{s:s,s:s,s:s*}", "id", key_id(k), "algorithm",
	    key_algorithm_name(key_algorithm_of(k)), "public",
	    public.len > 0 ? public.data : NULL);
	assert(j != NULL);
	return j;
}

static enum err_code
serve_keys(json_t **reply, const struct keeper *k, const struct message *m,
    struct err *e)
{
	json_t *keys = json_array();

	if (json_object_size(m->payload) > 0) {
		json_decref(keys);
		return err_set(e, ERR_INVALID, "keys: takes no arguments");
	}
	for (size_t i = 0; i < k->ring.count; i++)
		json_array_append_new(keys, describe_key(k->ring.keys[i]));
	*reply = json_pack("{s:s?,s:o}", "current",
	    k->ring.current != NULL ? key_id(k->ring.current) : NULL, "keys",
	    keys);
	assert(*reply != NULL);
	return ERR_OK;
}

static const struct service {
	uint32_t kind;
	const char *name;
	size_t fds;
	enum err_code (*serve)(json_t **reply, const struct keeper *k,
	    const struct message *m, struct err *e);
} services[] = {
	{ KEEPER_SIGN_BUNDLE, "sign", 1, serve_sign },
	{ KEEPER_VERIFY, "verify", 0, serve_verify },
	{ KEEPER_KEYS, "keys", 0, serve_keys },
};

static const uint32_t accepted[] = { KEEPER_SIGN_BUNDLE, KEEPER_VERIFY,
	KEEPER_KEYS, 0 };

static enum err_code
answer(const struct keeper *k, const struct message *m, struct err *e)
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
serve_one(const struct keeper *k)
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
serve(const struct keeper *k, int signals)
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
		AUTO_BUF jws = { 0 };
		struct jws_claims claims = { 0 };

		buf_init(&jws, CHANNEL_PAYLOAD_MAX);
		TRY(jws_sign(&jws, r->keys[i], NULL, NULL, 0, e));
		TRY(jws_verify(&claims, jws.data, jws.len, r->keys[i], e));
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

/* The pipeline's side. */

/* The keeper signed these very bytes, or the signature fits none. */
static enum err_code
take_signature(struct buf *out, char **key_id_out, const struct message *reply,
    const char *bundle, const struct jws_file *files, size_t count,
    struct err *e)
{
	const char *id, *algorithm, *signature;
	json_error_t fault;

	if (json_unpack_ex(reply->payload, &fault, 0, "{s:s,s:s,s:s!}", "key",
		&id, "algorithm", &algorithm, "signature", &signature) != 0)
		return err_set(e, ERR_INVALID, "keeper's reply: %s",
		    fault.text);
	TRY(jws_write_signed(out, id, algorithm, bundle, files, count, e));
	buf_add_char(out, '.');
	buf_add_str(out, signature);
	TRY(buf_check(out, "signature", e));
	*key_id_out = mem_strdup(id);
	return ERR_OK;
}

static enum err_code
ask_signature(struct caller *keeper, struct message *reply, const char *bundle,
    const char *revision, int list, struct err *e)
{
	enum err_code code;
	json_t *request =
	    json_pack("{s:s,s:s}", "bundle", bundle, "revision", revision);

	if (request == NULL)
		return err_set(e, ERR_INVALID,
		    "a bundle's name that is not UTF-8");
	code = caller_call(keeper, KEEPER_SIGN_BUNDLE, request, &list, 1,
	    KEEPER_TIMEOUT_MS, reply, e);
	json_decref(request);
	if (code != ERR_OK)
		return err_add(e, "signing bundle %s", bundle);
	return ERR_OK;
}

enum err_code
keeper_sign(struct caller *keeper, struct buf *out, char **key_id_out,
    const char *bundle, const char *revision, const struct jws_file *files,
    size_t count, struct err *e)
{
	struct message reply = { 0 };
	enum err_code code;
	int list = -1;

	TRY(keeper_list_send(&list, files, count, e));
	code = ask_signature(keeper, &reply, bundle, revision, list, e);
	(void)close(list);
	if (code != ERR_OK)
		return code;
	code = take_signature(out, key_id_out, &reply, bundle, files, count, e);
	message_clear(&reply);
	return code;
}

enum err_code
keeper_verify(struct caller *keeper, const char *key_id_wanted, const char *jws,
    size_t len, struct err *e)
{
	struct message reply = { 0 };
	enum err_code code;
	json_t *request =
	    json_pack("{s:s,s:s%}", "key", key_id_wanted, "jws", jws, len);

	if (request == NULL)
		return err_set(e, ERR_INVALID,
		    "not a compact JWS: it is not even text");
	code = caller_call(keeper, KEEPER_VERIFY, request, NULL, 0,
	    KEEPER_TIMEOUT_MS, &reply, e);
	json_decref(request);
	if (code == ERR_OK)
		message_clear(&reply);
	return code;
}
