#include "server/http/access.h"

#include <assert.h>

#include "core/mem.h"

struct access *
access_new(const struct conf *c)
{
	struct access *a = mem_zalloc(sizeof *a);
	const struct conf_jwt *rows = c->access.jwt.items;

	atomic_init(&a->references, 1);
	a->count = c->access.jwt.count;
	a->issuers = mem_array(a->count + 1, sizeof *a->issuers);
	for (size_t i = 0; i < a->count; i++)
		a->issuers[i] = (struct jwt_issuer){ .conf = &rows[i],
			.algorithms = conf_jwt_algorithms(&rows[i]) };
	return a;
}

static struct access *
copy(const struct access *old)
{
	struct access *a = mem_zalloc(sizeof *a);

	atomic_init(&a->references, 1);
	a->tls = tls_ref(old->tls);
	a->count = old->count;
	a->issuers = mem_array(a->count + 1, sizeof *a->issuers);
	for (size_t i = 0; i < a->count; i++) {
		a->issuers[i] = old->issuers[i];
		(void)jwks_ref(a->issuers[i].keys);
	}
	return a;
}

struct access *
access_with_tls(const struct access *old, struct tls *t)
{
	struct access *a = copy(old);

	tls_unref(a->tls);
	a->tls = tls_ref(t);
	return a;
}

struct access *
access_with_keys(const struct access *old, size_t issuer, struct jwks *keys,
    int64_t until_ms)
{
	struct access *a = copy(old);

	assert(issuer < a->count);
	jwks_unref(a->issuers[issuer].keys);
	a->issuers[issuer].keys = jwks_ref(keys);
	a->issuers[issuer].keys_until_ms = until_ms;
	return a;
}

struct access *
access_ref(struct access *a)
{
	if (a != NULL)
		(void)atomic_fetch_add(&a->references, 1);
	return a;
}

void
access_unref(struct access *a)
{
	if (a == NULL || atomic_fetch_sub(&a->references, 1) > 1)
		return;
	tls_unref(a->tls);
	for (size_t i = 0; i < a->count; i++)
		jwks_unref(a->issuers[i].keys);
	mem_free(a->issuers);
	mem_free(a);
}

void
access_slot_init(struct access_slot *s)
{
	int result = pthread_mutex_init(&s->lock, NULL);

	assert(result == 0);
	s->now = NULL;
}

void
access_slot_clear(struct access_slot *s)
{
	access_unref(s->now);
	s->now = NULL;
	pthread_mutex_destroy(&s->lock);
}

struct access *
access_get(struct access_slot *s)
{
	struct access *a;

	pthread_mutex_lock(&s->lock);
	a = access_ref(s->now);
	pthread_mutex_unlock(&s->lock);
	return a;
}

void
access_put(struct access_slot *s, struct access *a)
{
	struct access *old;

	pthread_mutex_lock(&s->lock);
	old = s->now;
	s->now = a;
	pthread_mutex_unlock(&s->lock);
	access_unref(old);
}
