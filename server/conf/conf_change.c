#include "server/conf/conf_change.h"

#include <assert.h>
#include <string.h>

#include "core/mem.h"
#include "core/spec_diff.h"

enum { FIXED = 1 << 8 };

/* The first that fits counts; what is not here is everybody's. */
static const struct {
	const char *prefix;
	unsigned int needs;
} rows[] = {
	{ "listen", FIXED },
	{ "data_dir", FIXED },
	{ "http.threads", FIXED },
	{ "http.processes", FIXED },
	{ "engines.max", FIXED },
	{ "http.release_spread", CONF_HTTP | CONF_LEDGER },
	{ "http", CONF_HTTP },
	{ "url", CONF_PIPELINE | CONF_HTTP },
	{ "tls", CONF_HTTP },
	{ "repositories", CONF_LEDGER | CONF_PIPELINE | CONF_HTTP },
	/* Keys go into data_dir/keys, which is watched (key_watch.h). */
	{ "signing", 0 },
	{ "gate.sandbox", CONF_EVERYBODY },
	{ "gate", CONF_PIPELINE },
	{ "access.jwt", CONF_PIPELINE | CONF_HTTP },
	{ "access", CONF_HTTP },
	{ "engines.silent_after", CONF_HTTP },
	{ "engines", CONF_LEDGER | CONF_PIPELINE | CONF_HTTP },
	{ "retention", CONF_LEDGER | CONF_PIPELINE },
	{ "discovery", CONF_PIPELINE },
	{ "sets", CONF_LEDGER },
	{ "events", CONF_PIPELINE },
};

static unsigned int
needs_of(const char *path)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		size_t len = strlen(rows[i].prefix);

		if (strncmp(path, rows[i].prefix, len) == 0 &&
		    (path[len] == '\0' || path[len] == '.'))
			return rows[i].needs;
	}
	return CONF_EVERYBODY;
}

static void
add_name(struct buf *names, const char *path)
{
	if (names->len > 0)
		buf_add_str(names, ", ");
	buf_add_str(names, path);
}

static void
note(void *arg, const char *path, const struct spec *s, const void *now,
    const void *next)
{
	struct conf_change *c = arg;
	unsigned int needs = needs_of(path);

	(void)s;
	(void)now;
	(void)next;
	if (needs == FIXED) {
		add_name(&c->fixed, path);
		return;
	}
	c->needs |= needs;
	add_name(&c->applied, path);
}

void
conf_change_find(struct conf_change *out, const struct conf *now,
    const struct conf *next)
{
	*out = (struct conf_change){ 0 };
	buf_init(&out->applied, CONF_CHANGE_NAMES_MAX);
	buf_init(&out->fixed, CONF_CHANGE_NAMES_MAX);
	spec_diff(conf_spec, now, next, note, out);
}

void
conf_change_clear(struct conf_change *c)
{
	buf_clear(&c->applied);
	buf_clear(&c->fixed);
}

/* spec_diff only reads; the field is a member of keep's own next. */
static void
keep_one(void *arg, const char *path, const struct spec *s, const void *now,
    const void *next)
{
	char *field = (char *)arg + ((const char *)next - (const char *)arg);

	if (needs_of(path) != FIXED)
		return;
	if (s->kind == SPEC_STRING) {
		char **text = (char **)(void *)field;

		mem_free(*text);
		*text = mem_strdup(*(char *const *)now);
		return;
	}
	assert(s->kind == SPEC_INT);
	*(int64_t *)(void *)field = *(const int64_t *)now;
}

void
conf_change_keep(const struct conf *now, struct conf *next)
{
	spec_diff(conf_spec, now, next, keep_one, next);
}
