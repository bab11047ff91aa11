/* Revs: what people write for a commit, found among those that are known. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusters/payload.h"
#include "clusters/store_view.h"
#include "clusters/view.h"
#include "core/spec.h"
#include "core/text.h"

enum { VIEW_PREFIX_MIN = 4, VIEW_REV_MAX = 512, VIEW_STEPS_MAX = 1000000 };

struct rev_parts {
	char repository[STORE_NAME_SIZE]; /* "" when not said */
	char base[VIEW_REV_MAX];
	int64_t steps;
};

static enum err_code
bad_rev(const char *rev, struct err *e)
{
	return err_set(e, ERR_INVALID,
	    "\"%.80s\" is not a revision: write a commit id or at least %d "
	    "digits of one, HEAD or a branch, each with ~N behind it, and "
	    "REPOSITORY@ before it if there are several",
	    rev, (int)VIEW_PREFIX_MIN);
}

/* "~", "~3", "~1~2": all together. */
static enum err_code
read_steps(const char *text, int64_t *out)
{
	*out = 0;
	while (*text == '~') {
		size_t len = strspn(text + 1, "0123456789");
		int64_t n = 1;

		if (len > 7)
			return ERR_INVALID;
		if (len > 0)
			n = strtoll(text + 1, NULL, 10);
		*out += n;
		text += 1 + len;
	}
	return *text == '\0' && *out <= VIEW_STEPS_MAX ? ERR_OK : ERR_INVALID;
}

static enum err_code
split_rev(const char *rev, struct rev_parts *out, struct err *e)
{
	const char *at = strchr(rev, '@');
	const char *base = at == NULL ? rev : at + 1;
	size_t len = strcspn(base, "~");

	*out = (struct rev_parts){ 0 };
	if (strnlen(rev, VIEW_REV_MAX) == VIEW_REV_MAX || len == 0 ||
	    read_steps(base + len, &out->steps) != ERR_OK)
		return bad_rev(rev, e);
	memcpy(out->base, base, len);
	if (at == NULL)
		return ERR_OK;
	if ((size_t)(at - rev) >= sizeof out->repository)
		return bad_rev(rev, e);
	memcpy(out->repository, rev, (size_t)(at - rev));
	return spec_is_name(out->repository) ? ERR_OK : bad_rev(rev, e);
}

static enum err_code
pick_rev(const json_t *rows, const char *rev, struct view_rev *out,
    struct err *e)
{
	const json_t *row = json_array_get(rows, 0);

	if (json_array_size(rows) > 1)
		return err_set(e, ERR_INVALID,
		    "%s names several commits; write more digits, or "
		    "REPOSITORY@%s",
		    rev, rev);
	if (row == NULL || payload_text(row, "commit") == NULL)
		return err_set(e, ERR_NOT_FOUND, "no commit %s is known", rev);
	(void)snprintf(out->repository, sizeof out->repository, "%s",
	    payload_text(row, "repository"));
	(void)snprintf(out->commit, sizeof out->commit, "%s",
	    payload_text(row, "commit"));
	return ERR_OK;
}

/* A branch's name goes before digits that happen to look like it. */
static enum err_code
find_base(struct store *s, const char *repository, const char *base,
    const char *rev, struct view_rev *out, struct err *e)
{
	AUTO_JSON rows = NULL;
	AUTO_JSON found = NULL;
	size_t len = strlen(base);

	TRY(store_view_branch(s, repository, base, &rows, e));
	if (json_array_size(rows) > 0)
		return pick_rev(rows, rev, out, e);
	if (!text_is_hex(base, len) || len >= STORE_ID_SIZE)
		return err_set(e, ERR_NOT_FOUND, "no commit %s is known", rev);
	if (len < VIEW_PREFIX_MIN)
		return err_set(e, ERR_NOT_FOUND,
		    "%s: write at least %d digits of a commit id", rev,
		    (int)VIEW_PREFIX_MIN);
	TRY(store_view_prefix(s, repository, base, &found, e));
	return pick_rev(found, rev, out, e);
}

enum err_code
view_resolve(struct store *s, const char *repository, const char *rev,
    struct view_rev *out, struct err *e)
{
	struct rev_parts parts;
	struct view_rev found;
	enum err_code code;

	TRY(split_rev(rev, &parts, e));
	if (repository != NULL && parts.repository[0] != '\0' &&
	    strcmp(parts.repository, repository) != 0)
		return err_set(e, ERR_INVALID, "%s: this is of repository %s",
		    rev, repository);
	if (repository == NULL && parts.repository[0] != '\0')
		repository = parts.repository;
	TRY(find_base(s, repository, parts.base, rev, &found, e));
	code = ERR_OK;
	if (parts.steps > 0)
		code = store_view_above(s, found.repository, found.commit,
		    parts.steps, found.commit, e);
	if (code == ERR_NOT_FOUND)
		return err_set(e, code,
		    "%s: the history that is known ends "
		    "before it",
		    rev);
	if (code == ERR_OK)
		*out = found;
	return code;
}
