#include "server/pipeline/jwks_refresh.h"

#include <string.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/http/jwks.h"
#include "server/http/material.h"
#include "server/supervisor/call.h"
#include "signing/digest.h"

enum { LOOK_MS = 1000 };

/* One issuer; times are monotonic. */
struct source {
	size_t number; /* in access.jwt */
	const struct conf_jwt *conf;
	int64_t next_ms;
	int64_t retry_ms; /* 0: the last time went well */
	char digest[DIGEST_HEX_SIZE];
};

struct refresh {
	struct desk *desk;
	struct source *sources;
	size_t count;
	uint64_t unknown; /* the counter, when it was last heeded */
	int64_t asked_ms;
	bool asked; /* ever */
};

bool
jwks_refresh_needed(const struct conf *c)
{
	const struct conf_jwt *j = c->access.jwt.items;

	for (size_t i = 0; i < c->access.jwt.count; i++)
		if (j[i].jwks_url != NULL)
			return true;
	return false;
}

/* ---- one ---- */

static enum err_code
call(struct desk *d, size_t number, struct buf *out, struct err *e)
{
	AUTO_STR reference = mem_printf("jwks/%zu", number);
	struct call_result r = { 0 };
	enum err_code code;

	TRY(desk_call(d, reference, NULL, NULL, 0, NULL, &r, e));
	if (r.outcome != CALL_ANSWERED)
		code = err_set(e, ERR_UNAVAILABLE, "%s: %s",
		    call_outcome_name(r.outcome), r.message);
	else if (r.status != 200)
		code = err_set(e, ERR_UNAVAILABLE, "it answered %d", r.status);
	else
		code = ERR_OK;
	if (code == ERR_OK) {
		buf_init(out, JWKS_SIZE_MAX);
		buf_add(out, r.body.data, r.body.len);
		code = buf_check(out, "its answer", e);
	}
	call_result_clear(&r);
	return code;
}

/* Written even if nothing changed: the time of the file says how old it is. */
static enum err_code
renew(struct desk *d, struct source *s, struct err *e)
{
	AUTO_STR path = material_keys_path(d->conf, s->number);
	AUTO_BUF text = { 0 };
	struct jwks *keys;
	char digest[DIGEST_HEX_SIZE];

	TRY(call(d, s->number, &text, e));
	TRY(jwks_read(&keys, "its answer", text.data, text.len,
	    conf_jwt_algorithms(s->conf), e));
	digest_hex(digest, text.data, text.len);
	if (strcmp(digest, s->digest) != 0)
		log_info("jwks.fetched", "issuer=\"%s\" keys=%zu left_out=%zu",
		    s->conf->issuer, jwks_count(keys), jwks_left_out(keys));
	jwks_unref(keys);
	memcpy(s->digest, digest, sizeof s->digest);
	return file_replace(path, text.data, text.len, 0600, e);
}

static void
visit(struct desk *d, struct source *s)
{
	int64_t refresh_ms = s->conf->refresh * 1000;
	struct err e = { 0 };

	if (renew(d, s, &e) == ERR_OK) {
		s->retry_ms = 0;
		s->next_ms = clock_mono_ms() + refresh_ms;
		return;
	}
	if (atomic_load(&d->stopping))
		return;
	s->retry_ms = s->retry_ms == 0 ? JWKS_REFRESH_RETRY_MIN_MS
				       : s->retry_ms * 2;
	if (s->retry_ms > JWKS_REFRESH_RETRY_MAX_MS)
		s->retry_ms = JWKS_REFRESH_RETRY_MAX_MS;
	if (s->retry_ms > refresh_ms)
		s->retry_ms = refresh_ms;
	s->next_ms = clock_mono_ms() + s->retry_ms;
	log_warn("jwks.stale",
	    "issuer=\"%s\" error=\"%s\" reason=\"the keys from before count "
	    "for stale_max\"",
	    s->conf->issuer, e.text);
}

/* ---- all ---- */

static void
begin(struct refresh *r, struct desk *d)
{
	const struct conf_jwt *j = d->conf->access.jwt.items;

	r->desk = d;
	r->sources = mem_array(d->conf->access.jwt.count, sizeof *r->sources);
	r->unknown = counters_get(d->counters, COUNTER_JWT_UNKNOWN_KEYS);
	for (size_t i = 0; i < d->conf->access.jwt.count; i++)
		if (j[i].jwks_url != NULL)
			r->sources[r->count++] = (struct source){ .number = i,
				.conf = &j[i],
				.next_ms = clock_mono_ms() };
}

/* Somebody came with an unknown key: it may be new. */
static void
heed(struct refresh *r)
{
	uint64_t unknown =
	    counters_get(r->desk->counters, COUNTER_JWT_UNKNOWN_KEYS);
	int64_t now = clock_mono_ms();

	if (unknown == r->unknown ||
	    (r->asked && now - r->asked_ms < JWKS_REFRESH_ASKED_MS))
		return;
	r->unknown = unknown;
	r->asked = true;
	r->asked_ms = now;
	for (size_t i = 0; i < r->count; i++)
		if (r->sources[i].retry_ms == 0)
			r->sources[i].next_ms = now;
}

void
jwks_refresh_run(struct desk *d)
{
	struct refresh r = { 0 };
	uint64_t seen = 0;

	begin(&r, d);
	while (!atomic_load(&d->stopping)) {
		heed(&r);
		for (size_t i = 0; i < r.count; i++)
			if (r.sources[i].next_ms <= clock_mono_ms() &&
			    !atomic_load(&d->stopping))
				visit(d, &r.sources[i]);
		desk_wait(d, &seen, LOOK_MS);
	}
	mem_free(r.sources);
}
