#include "server/supervisor/handover.h"

#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/http/material.h"
#include "server/supervisor/supervisor.h"

struct handover {
	const struct conf *conf;
	int64_t generation;
	handover_fn *send;
	void *arg;
	char *tls;       /* material_sight when last handed over */
	char **keys;     /* the same, per issuer */
	int64_t next_ms; /* monotonic */
};

struct handover *
handover_new(const struct conf *c, int64_t generation, handover_fn *send,
    void *arg)
{
	struct handover *h = mem_zalloc(sizeof *h);

	h->conf = c;
	h->generation = generation;
	h->send = send;
	h->arg = arg;
	h->tls = material_sight(c);
	h->keys = mem_array(c->access.jwt.count + 1, sizeof *h->keys);
	for (size_t i = 0; i < c->access.jwt.count; i++)
		h->keys[i] = material_keys_sight(c, i);
	return h;
}

void
handover_free(struct handover *h)
{
	if (h == NULL)
		return;
	mem_free(h->tls);
	for (size_t i = 0; i < h->conf->access.jwt.count; i++)
		mem_free(h->keys[i]);
	mem_free(h->keys);
	mem_free(h);
}

static void
forget(char **sight)
{
	mem_free(*sight);
	*sight = NULL;
}

void
handover_all(struct handover *h)
{
	forget(&h->tls);
	for (size_t i = 0; i < h->conf->access.jwt.count; i++)
		forget(&h->keys[i]);
	h->next_ms = 0;
}

/* Takes over payload. */
static enum err_code
hand(struct handover *h, json_t *payload, const int *fds, size_t count,
    struct err *e)
{
	enum err_code code;

	(void)json_object_set_new(payload, "generation",
	    json_integer((json_int_t)h->generation));
	code = h->send(h->arg, payload, fds, count, e);
	json_decref(payload);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	return code;
}

static enum err_code
hand_tls(struct handover *h, size_t unused, struct err *e)
{
	struct material m;
	json_t *parts = json_array();
	int fds[MATERIAL_PARTS];
	size_t count = 0;
	enum err_code code = material_read(&m, h->conf, e);

	(void)unused;
	for (int i = 0; code == ERR_OK && i < MATERIAL_PARTS; i++) {
		const struct buf *b = &m.parts[i];

		if (b->data == NULL)
			continue;
		code = file_memory(&fds[count], material_names[i], b->data,
		    b->len, e);
		if (code != ERR_OK)
			break;
		count++;
		(void)json_array_append_new(parts,
		    json_string(material_names[i]));
	}
	material_clear(&m);
	if (code == ERR_OK)
		return hand(h,
		    json_pack("{s:s,s:o}", "what", "tls", "parts", parts), fds,
		    count, e);
	json_decref(parts);
	while (count > 0)
		close(fds[--count]);
	return code;
}

static enum err_code
hand_keys(struct handover *h, size_t i, struct err *e)
{
	AUTO_BUF text = { 0 };
	int64_t at_ms;
	int fd;

	TRY(material_read_keys(&text, &at_ms, h->conf, i, e));
	TRY(file_memory(&fd, "jwks", text.data, text.len, e));
	return hand(h,
	    json_pack("{s:s,s:I,s:I}", "what", "keys", "issuer", (json_int_t)i,
		"at_ms", (json_int_t)at_ms),
	    &fd, 1, e);
}

/* Takes over now. What cannot be read is tried again when it changes; what http
 * has no room for, the next time. */
static void
look(struct handover *h, char **before, char *now, const char *what, size_t i,
    enum err_code (*give)(struct handover *h, size_t i, struct err *e))
{
	struct err e = { 0 };
	enum err_code code;

	if (*before != NULL && strcmp(*before, now) == 0) {
		mem_free(now);
		return;
	}
	code = give(h, i, &e);
	if (code != ERR_OK)
		log_warn("credentials.read", "what=%s number=%zu error=\"%s\"",
		    what, i, e.text);
	mem_free(*before);
	*before = now;
	if (code == ERR_UNAVAILABLE)
		forget(before);
}

int64_t
handover_tick(struct handover *h, int64_t now_ms)
{
	const struct conf *c = h->conf;

	if (c->tls.certificate == NULL && c->access.jwt.count == 0)
		return -1;
	if (now_ms < h->next_ms)
		return h->next_ms - now_ms;
	if (c->tls.certificate != NULL)
		look(h, &h->tls, material_sight(c), "tls", 0, hand_tls);
	for (size_t i = 0; i < c->access.jwt.count; i++)
		look(h, &h->keys[i], material_keys_sight(c, i), "jwt", i,
		    hand_keys);
	h->next_ms = now_ms + HANDOVER_LOOK_MS;
	return HANDOVER_LOOK_MS;
}
