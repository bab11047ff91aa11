/* Data paths: every file of a side is put where engines mount it, and both
 * sides are gone through together, key by key. So a value that only moved to
 * another file has not changed. */

#include <stdlib.h>
#include <string.h>

#include "bundler/data.h"
#include "bundler/delta.h"
#include "bundler/delta_private.h"
#include "core/canon.h"
#include "core/mem.h"
#include "core/utf8.h"

/* A value at the path that is looked at; of one side there may be several,
 * whose keys then differ. */
struct part {
	const struct value *value;
	enum delta_side side;
};

struct member {
	const struct value *key;
	struct part part;
};

struct step {
	const struct value *key; /* NULL: an index */
	size_t index;
};

struct walk {
	struct delta *d;
	struct delta_list *list;
	const char *top;
	struct step *path;
	size_t depth;
	size_t cap;
};

static enum err_code
count_steps(struct delta *d, size_t count)
{
	d->steps += count;
	if (d->steps <= DELTA_STEPS_MAX)
		return ERR_OK;
	return err_set(d->e, ERR_LIMIT,
	    "the data is too large to compare: more than %d values",
	    DELTA_STEPS_MAX);
}

/* ---- text for people ---- */

static void
write_cut(struct buf *out, const char *text, size_t len)
{
	size_t end = 0;

	while (end < len && end < DELTA_TEXT_MAX) {
		size_t n = utf8_size(text + end, len - end);

		end += n > 0 ? n : 1;
	}
	buf_add(out, text, end < len ? end : len);
}

static void
write_text(struct buf *out, const struct value *v)
{
	AUTO_BUF cut = { 0 };

	buf_init(&cut, DELTA_TEXT_MAX + UTF8_CHARACTER_MAX);
	write_cut(&cut, v->text, v->text_len);
	canon_write_string(out, cut.data, cut.len);
	if (cut.len < v->text_len)
		buf_add_str(out, "…");
}

static void write_short(struct buf *out, const struct value *v, int depth);

static void
write_items(struct buf *out, const struct value *v, int depth)
{
	bool object = v->kind == VALUE_OBJECT;

	buf_add_char(out, object ? '{' : '[');
	for (size_t i = 0; i < v->count; i++) {
		if (i > 0)
			buf_add_char(out, ',');
		if (depth == 0 || out->len > DELTA_VALUE_MAX) {
			buf_add_str(out, "…");
			break;
		}
		if (object) {
			write_text(out, v->keys[i]);
			buf_add_char(out, ':');
		}
		write_short(out, v->items[i], depth - 1);
	}
	buf_add_char(out, object ? '}' : ']');
}

static void
write_short(struct buf *out, const struct value *v, int depth)
{
	if (v->kind == VALUE_OBJECT || v->kind == VALUE_ARRAY) {
		write_items(out, v, depth);
	} else if (v->kind == VALUE_STRING) {
		write_text(out, v);
	} else if (v->kind == VALUE_NUMBER) {
		write_cut(out, v->text, v->text_len);
		if (v->text_len > DELTA_TEXT_MAX)
			buf_add_str(out, "…");
	} else {
		canon_write(out, v);
	}
}

static json_t *
value_json(const struct part *p)
{
	enum { DEPTH = 4, SLACK = 8192 };
	AUTO_BUF text = { 0 };

	if (p == NULL)
		return json_null();
	buf_init(&text, DELTA_VALUE_MAX + SLACK);
	write_short(&text, p->value, DEPTH);
	return json_stringn(text.data, text.len);
}

static bool
is_word(const struct value *key)
{
	const char *t = key->text;

	if (key->text_len == 0 || (t[0] >= '0' && t[0] <= '9'))
		return false;
	for (size_t i = 0; i < key->text_len; i++)
		if (t[i] != '_' && !(t[i] >= '0' && t[i] <= '9') &&
		    !(t[i] >= 'a' && t[i] <= 'z') &&
		    !(t[i] >= 'A' && t[i] <= 'Z'))
			return false;
	return true;
}

static void
write_step(struct buf *out, const struct step *s)
{
	if (s->key == NULL) {
		buf_printf(out, "[%zu]", s->index);
	} else if (is_word(s->key) && s->key->text_len <= DELTA_PATH_MAX) {
		if (out->len > 0)
			buf_add_char(out, '.');
		buf_add(out, s->key->text, s->key->text_len);
	} else {
		buf_add_char(out, '[');
		write_text(out, s->key);
		buf_add_char(out, ']');
	}
}

static json_t *
path_json(const struct walk *w)
{
	AUTO_BUF text = { 0 };

	buf_init(&text, (size_t)DELTA_PATH_MAX * 4);
	buf_add_str(&text, w->top);
	for (size_t i = 0; i < w->depth; i++) {
		if (text.len > DELTA_PATH_MAX) {
			buf_add_str(&text, "…");
			break;
		}
		write_step(&text, &w->path[i]);
	}
	return json_stringn(text.data, text.len);
}

/* ---- the walk ---- */

static void
emit(struct walk *w, enum delta_change change, const struct part *from,
    const struct part *to)
{
	if (delta_count(w->list, change))
		delta_add(w->list, change,
		    json_pack("{s:o,s:o,s:o}", "path", path_json(w), "from",
			value_json(from), "to", value_json(to)));
}

static void
enter(struct walk *w, const struct value *key, size_t index)
{
	if (w->depth == w->cap) {
		w->cap = w->cap == 0 ? 32 : 2 * w->cap;
		w->path = mem_grow(w->path, w->cap, sizeof *w->path);
	}
	w->path[w->depth++] = (struct step){ key, index };
}

static int
compare_members(const void *a, const void *b)
{
	const struct member *x = a;
	const struct member *y = b;
	int order = data_compare_keys(x->key, y->key);

	return order != 0 ? order : (int)x->part.side - (int)y->part.side;
}

static enum err_code walk(struct walk *w, const struct part *parts,
    size_t count);

static enum err_code
walk_group(struct walk *w, const struct member *members, size_t count)
{
	struct part few[2];
	struct part *parts = few;
	enum err_code code;

	if (count > 2)
		parts = mem_array(count, sizeof *parts);
	for (size_t i = 0; i < count; i++)
		parts[i] = members[i].part;
	enter(w, members[0].key, 0);
	code = walk(w, parts, count);
	w->depth--;
	if (parts != few)
		mem_free(parts);
	return code;
}

static enum err_code
walk_groups(struct walk *w, const struct member *members, size_t count)
{
	for (size_t i = 0; i < count;) {
		size_t end = i + 1;

		while (end < count &&
		    data_compare_keys(members[i].key, members[end].key) == 0)
			end++;
		TRY(walk_group(w, members + i, end - i));
		i = end;
	}
	return ERR_OK;
}

static enum err_code
walk_objects(struct walk *w, const struct part *parts, size_t count)
{
	size_t total = 0;
	size_t n = 0;
	struct member *members;
	enum err_code code;

	for (size_t i = 0; i < count; i++)
		total += parts[i].value->count;
	TRY(count_steps(w->d, total));
	members = mem_array(total + 1, sizeof *members);
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < parts[i].value->count; k++)
			members[n++] = (struct member){
				parts[i].value->keys[k],
				{ parts[i].value->items[k], parts[i].side },
			};
	qsort(members, n, sizeof *members, compare_members);
	code = walk_groups(w, members, n);
	mem_free(members);
	return code;
}

static bool
same_scalar(const struct value *a, const struct value *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == VALUE_BOOL)
		return a->truth == b->truth;
	return a->text_len == b->text_len &&
	    (a->text_len == 0 || memcmp(a->text, b->text, a->text_len) == 0);
}

static bool
is_plain(const struct value *v)
{
	return v->kind != VALUE_OBJECT && v->kind != VALUE_ARRAY;
}

static enum err_code same_value(struct delta *d, const struct value *a,
    const struct value *b, bool *out);

/* Keys in the same order, as canonical data has them, or it is not the same:
 * then the walk goes into it, and finds nothing. */
static enum err_code
same_items(struct delta *d, const struct value *a, const struct value *b,
    bool *out)
{
	*out = a->kind == b->kind && a->count == b->count;
	for (size_t i = 0; *out && i < a->count; i++) {
		if (a->kind == VALUE_OBJECT &&
		    data_compare_keys(a->keys[i], b->keys[i]) != 0)
			*out = false;
		else
			TRY(same_value(d, a->items[i], b->items[i], out));
	}
	return ERR_OK;
}

static enum err_code
same_value(struct delta *d, const struct value *a, const struct value *b,
    bool *out)
{
	TRY(count_steps(d, 1));
	if (!is_plain(a) && !is_plain(b))
		return same_items(d, a, b, out);
	*out = is_plain(a) && is_plain(b) && same_scalar(a, b);
	return ERR_OK;
}

static enum err_code
walk_item(struct walk *w, const struct value *from, const struct value *to,
    size_t index)
{
	struct part parts[2];
	size_t count = 0;
	enum err_code code;

	if (from != NULL)
		parts[count++] = (struct part){ from, DELTA_FROM };
	if (to != NULL)
		parts[count++] = (struct part){ to, DELTA_TO };
	enter(w, NULL, index);
	code = walk(w, parts, count);
	w->depth--;
	return code;
}

/* What is the same at both ends is passed over, so that one item more in front
 * does not make all others look changed. */
static enum err_code
walk_arrays(struct walk *w, const struct value *from, const struct value *to)
{
	size_t front = 0;
	size_t m = from->count;
	size_t n = to->count;
	bool same = true;

	while (front < m && front < n) {
		TRY(same_value(w->d, from->items[front], to->items[front],
		    &same));
		if (!same)
			break;
		front++;
	}
	while (m > front && n > front) {
		TRY(same_value(w->d, from->items[m - 1], to->items[n - 1],
		    &same));
		if (!same)
			break;
		m--;
		n--;
	}
	for (size_t i = front; i < m || i < n; i++)
		TRY(walk_item(w, i < m ? from->items[i] : NULL,
		    i < n ? to->items[i] : NULL, i));
	return ERR_OK;
}

static enum err_code
walk(struct walk *w, const struct part *parts, size_t count)
{
	const struct part *first[2] = { NULL, NULL };
	bool objects = true;
	bool same = false;

	TRY(count_steps(w->d, count));
	for (size_t i = count; i-- > 0;) {
		first[parts[i].side] = &parts[i];
		objects &= parts[i].value->kind == VALUE_OBJECT;
	}
	if (first[DELTA_FROM] == NULL || first[DELTA_TO] == NULL) {
		emit(w, first[DELTA_FROM] == NULL ? DELTA_ADDED : DELTA_REMOVED,
		    first[DELTA_FROM], first[DELTA_TO]);
		return ERR_OK;
	}
	if (objects)
		return walk_objects(w, parts, count);
	if (first[0]->value->kind == VALUE_ARRAY &&
	    first[1]->value->kind == VALUE_ARRAY)
		return walk_arrays(w, first[0]->value, first[1]->value);
	TRY(same_value(w->d, first[0]->value, first[1]->value, &same));
	if (!same)
		emit(w, DELTA_CHANGED, first[DELTA_FROM], first[DELTA_TO]);
	return ERR_OK;
}

static enum err_code
walk_from(struct delta *d, struct delta_list *l, const char *top,
    const struct part *parts, size_t count)
{
	struct walk w = { .d = d, .list = l, .top = top };
	enum err_code code = walk(&w, parts, count);

	mem_free(w.path);
	return code;
}

enum err_code
delta_objects(struct delta *d, struct delta_list *l, const char *top,
    const struct value *from, const struct value *to)
{
	struct part parts[] = { { from, DELTA_FROM }, { to, DELTA_TO } };

	return walk_from(d, l, top, parts, 2);
}

/* ---- data files ---- */

struct gathering {
	struct delta *d;
	struct document *frame; /* the folders around the files */
	struct document **files;
	size_t file_count;
	struct part *parts;
	size_t count;
};

/* { "a": { "b": value } } for a file in a/b. */
static const struct value *
mount(struct document *frame, const char *path, const struct value *value)
{
	const char *end = strrchr(path, '/');

	while (end != NULL) {
		const char *start = end;
		struct value *v = document_value(frame, VALUE_OBJECT, 0, 0);

		while (start > path && start[-1] != '/')
			start--;
		v->keys = document_pointers(frame, 1);
		v->items = document_pointers(frame, 1);
		v->keys[0] = document_value(frame, VALUE_STRING, 0, 0);
		document_text(frame, v->keys[0], start, (size_t)(end - start));
		/* The frame never changes what is in it. */
		v->items[0] = (struct value *)(uintptr_t)value;
		v->count = 1;
		value = v;
		end = start > path ? start - 1 : NULL;
	}
	return value;
}

static void
add_part(struct gathering *g, enum delta_side side, const char *path,
    const struct value *value)
{
	g->parts = mem_grow(g->parts, g->count + 1, sizeof *g->parts);
	g->parts[g->count++] =
	    (struct part){ mount(g->frame, path, value), side };
}

static enum data_kind
kind_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return data_kind_of(slash != NULL ? slash + 1 : path);
}

static enum err_code
count_values(struct delta *d, const struct bundle_file *f)
{
	d->values += data_count_values(kind_of(f->path), f->data, f->len);
	if (d->values <= d->values_max)
		return ERR_OK;
	return err_set(d->e, ERR_LIMIT,
	    "%s: with this file the data that differs has more than %zu values, "
	    "too many to be compared here",
	    f->path, d->values_max);
}

/* One that cannot be read is listed, and counts as empty. */
static enum err_code
gather_file(struct gathering *g, enum delta_side side,
    const struct bundle_file *f, const struct value *nothing)
{
	struct document *doc = NULL;
	struct err why = { 0 };

	TRY(count_values(g->d, f));
	if (data_read(&doc, kind_of(f->path), f->path, f->data, f->len, &why) !=
	    ERR_OK) {
		delta_unread(g->d, side, f->path, &why);
		add_part(g, side, f->path, nothing);
		return ERR_OK;
	}
	g->files = mem_grow(g->files, g->file_count + 1, sizeof *g->files);
	g->files[g->file_count++] = doc;
	add_part(g, side, f->path, document_root(doc));
	return ERR_OK;
}

/* A file that is the same on both sides is not read: only its place counts. */
static enum err_code
gather(struct gathering *g)
{
	const struct value *nothing =
	    document_value(g->frame, VALUE_OBJECT, 0, 0);
	struct delta_pair p = { 0 };

	add_part(g, DELTA_FROM, "", nothing);
	add_part(g, DELTA_TO, "", nothing);
	while (delta_next(&p, g->d)) {
		const struct bundle_file *any = p.files[0] != NULL ? p.files[0]
								   : p.files[1];

		if (kind_of(any->path) == DATA_NONE)
			continue;
		for (int side = 0; side < 2; side++) {
			if (delta_pair_same(&p))
				add_part(g, (enum delta_side)side, any->path,
				    nothing);
			else if (p.files[side] != NULL)
				TRY(gather_file(g, (enum delta_side)side,
				    p.files[side], nothing));
		}
	}
	return ERR_OK;
}

enum err_code
delta_data(struct delta *d)
{
	struct gathering g = { .d = d, .frame = document_new() };
	enum err_code code;

	code = gather(&g);
	if (code == ERR_OK)
		code = walk_from(d, &d->data, "data", g.parts, g.count);
	for (size_t i = 0; i < g.file_count; i++)
		document_free(g.files[i]);
	mem_free(g.files);
	mem_free(g.parts);
	document_free(g.frame);
	return code;
}
