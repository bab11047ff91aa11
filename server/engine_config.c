#include "server/engine_config.h"

#include <string.h>

#include "core/canon.h"

/* JSON strings are YAML strings. */
static void
quoted(struct buf *out, const char *text)
{
	canon_write_string(out, text, strlen(text));
}

static void
write_service(struct buf *out, const struct engine_config *c)
{
	buf_add_str(out, "services:\n  edict:\n    url: ");
	quoted(out, c->url);
	buf_add_str(out,
	    "\n    headers:\n"
	    "      # Names this engine; HOSTNAME comes from its environment.\n"
	    "      X-Edict-Engine: \"${HOSTNAME}\"\n");
	if (c->token == NULL)
		return;
	buf_add_str(out, "    credentials:\n      bearer:\n        token: ");
	quoted(out, c->token);
	buf_add_char(out, '\n');
}

static void
write_key(struct buf *out, const struct engine_key *k)
{
	const char *p = k->public_pem;

	buf_add_str(out, "  ");
	quoted(out, k->id);
	buf_printf(out, ":\n    algorithm: %s\n    key: ", k->algorithm);
	if (p == NULL) {
		buf_add_str(out, "\"<the shared secret>\"\n");
		return;
	}
	buf_add_str(out, "|\n");
	while (*p != '\0') {
		size_t len = strcspn(p, "\n");

		buf_add_str(out, "      ");
		buf_add(out, p, len);
		buf_add_char(out, '\n');
		p += len + (p[len] == '\n');
	}
}

static void
write_bundle(struct buf *out, const struct engine_config *c,
    const struct engine_bundle *b)
{
	buf_printf(out,
	    "  %s:\n"
	    "    service: edict\n"
	    "    resource: clusters/%s/bundles/%s\n",
	    b->name, c->cluster, b->name);
	if (c->persist_dir != NULL)
		buf_add_str(out, "    persist: true\n");
	buf_printf(out,
	    "    polling:\n"
	    "      min_delay_seconds: 5\n"
	    "      max_delay_seconds: 15\n");
	/* Engines refuse a 0 here. */
	if (c->wait_seconds > 0)
		buf_printf(out, "      long_polling_timeout_seconds: %d\n",
		    c->wait_seconds);
	buf_add_str(out,
	    "    signing:\n"
	    "      # Without keyid an engine would accept unsigned bundles.\n"
	    "      keyid: ");
	quoted(out, b->key_id);
	buf_printf(out, "\n      scope: %s\n", b->name);
}

void
engine_config_write(struct buf *out, const struct engine_config *c)
{
	write_service(out, c);
	buf_add_str(out, "keys:\n");
	for (size_t i = 0; i < c->key_count; i++)
		write_key(out, &c->keys[i]);
	if (c->persist_dir != NULL) {
		buf_add_str(out,
		    "# Bundles survive a restart here.\n"
		    "persistence_directory: ");
		quoted(out, c->persist_dir);
		buf_add_char(out, '\n');
	}
	buf_add_str(out, "bundles:\n");
	for (size_t i = 0; i < c->bundle_count; i++)
		write_bundle(out, c, &c->bundles[i]);
}
