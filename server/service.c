#include "server/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/reserve.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/mem.h"

enum { KEY_FILE_SIZE_MAX = 64 * 1024, KEY_NAMES_MAX = 4096 };

struct catalog *
service_catalog(struct service *s)
{
	struct catalog *c = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->catalog != NULL)
		c = catalog_ref(s->catalog);
	pthread_mutex_unlock(&s->lock);
	return c;
}

void
service_publish(struct service *s, struct catalog *c)
{
	struct catalog *old;

	pthread_mutex_lock(&s->lock);
	old = s->catalog;
	s->catalog = c;
	pthread_mutex_unlock(&s->lock);
	catalog_unref(old);
}

bool
service_note(struct service *s, const char *fault)
{
	bool news;

	pthread_mutex_lock(&s->lock);
	if (fault == NULL)
		s->catalog_ms = clock_now_ms();
	news = strncmp(s->fault, fault != NULL ? fault : "",
		   sizeof s->fault - 1) != 0;
	(void)snprintf(s->fault, sizeof s->fault, "%s",
	    fault != NULL ? fault : "");
	pthread_mutex_unlock(&s->lock);
	return news;
}

int64_t
service_good_ms(struct service *s)
{
	int64_t ms;

	pthread_mutex_lock(&s->lock);
	ms = s->catalog_ms;
	pthread_mutex_unlock(&s->lock);
	return ms;
}

void
service_ledger_silent(struct service *s, int64_t ms)
{
	int64_t now = clock_mono_ms();

	atomic_store(&s->ledger_silent_ms,
	    ms < INT64_MAX - now ? now + ms : INT64_MAX);
}

static void
reason(json_t *list, const char *text)
{
	(void)json_array_append_new(list, json_string(text));
}

json_t *
service_reasons(struct service *s)
{
	json_t *list = json_array();
	struct catalog *c = service_catalog(s);
	bool faulty;

	pthread_mutex_lock(&s->lock);
	faulty = s->fault[0] != '\0';
	pthread_mutex_unlock(&s->lock);
	if (c == NULL)
		reason(list, "the catalog was not read yet");
	else if (catalog_missing(c) > 0)
		reason(list, "an artifact is missing or damaged");
	else if (catalog_count(c) == 0)
		reason(list, "no bundle is assigned yet");
	if (faulty)
		reason(list,
		    "the database cannot be read: what was known "
		    "before is still served");
	if (atomic_load(&s->ledger_silent_ms) > clock_mono_ms())
		reason(list, "the ledger does not answer");
	catalog_unref(c);
	return list;
}

/* Not a reason: who is taken out of service for a full disk can neither be
 * polled by engines nor roll back, and both still work. */
json_t *
service_warnings(struct service *s)
{
	json_t *list = json_array();
	struct err why;

	if (reserve_check(s->conf->data_dir, RESERVE_COMMITS, &why) != ERR_OK)
		reason(list, why.text);
	return list;
}

/* The text of a file in the folder of keys; "" when there is none. */
static enum err_code
read_text(struct buf *out, const char *dir, const char *stem,
    const char *suffix, struct err *e)
{
	AUTO_STR path = mem_printf("%s/%s%s", dir, stem, suffix);
	enum err_code code;

	buf_init(out, KEY_FILE_SIZE_MAX);
	code = file_read(out, path, e);
	return code == ERR_NOT_FOUND ? ERR_OK : code;
}

/* One key, by the ID.json that was written last when it was added. */
static enum err_code
read_key(json_t *items, const char *dir, const char *id, const char *current,
    struct err *e)
{
	AUTO_BUF about = { 0 };
	AUTO_BUF public_key = { 0 };
	json_t *known;
	const char *algorithm = NULL;
	const char *created = NULL;
	const char *kind = "bundle";

	TRY(read_text(&about, dir, id, ".json", e));
	TRY(read_text(&public_key, dir, id, ".pub", e));
	known = json_loadb(about.data, about.len, JSON_REJECT_DUPLICATES, NULL);
	if (json_unpack(known, "{s:s, s?:s, s?:s}", "algorithm", &algorithm,
		"created_at", &created, "kind", &kind) != 0) {
		json_decref(known);
		return err_set(e, ERR_CORRUPT, "%s/%s.json: not a key's", dir,
		    id);
	}
	(void)json_array_append_new(items,
	    json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:b}", "id", id, "kind",
		kind, "algorithm", algorithm, "created_at", created, "public",
		public_key.len > 0 ? public_key.data : NULL, "current",
		strcmp(id, current) == 0));
	json_decref(known);
	return ERR_OK;
}

static enum err_code
read_keys(json_t *items, const char *dir, const struct file_names *names,
    struct err *e)
{
	AUTO_BUF current = { 0 };

	TRY(read_text(&current, dir, "current", "", e));
	current.data[strcspn(current.data, "\r\n")] = '\0';
	for (size_t i = 0; i < names->count; i++) {
		const char *name = names->names[i];
		size_t len = strlen(name);
		AUTO_STR id = NULL;

		if (len <= 5 || strcmp(name + len - 5, ".json") != 0)
			continue;
		id = mem_strndup(name, len - 5);
		TRY(read_key(items, dir, id, current.data, e));
	}
	return ERR_OK;
}

enum err_code
service_read_keys(char **out, const char *data_dir, struct err *e)
{
	AUTO_STR dir = file_path(data_dir, "keys");
	struct file_names names = { 0 };
	json_t *answer = json_pack("{s:[], s:n}", "items", "next");
	enum err_code code = file_list(&names, dir, KEY_NAMES_MAX, e);

	if (code == ERR_OK)
		code =
		    read_keys(json_object_get(answer, "items"), dir, &names, e);
	else if (code == ERR_NOT_FOUND)
		code = ERR_OK;
	file_names_clear(&names);
	if (code == ERR_OK) {
		char *text = json_dumps(answer, JSON_COMPACT);

		*out = mem_strdup(text);
		free(text);
	}
	json_decref(answer);
	return code;
}
