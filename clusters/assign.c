#include "clusters/assign.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"

static const char *const mode_names[ASSIGN_MODES] = {
	[ASSIGN_NONE] = "none",
	[ASSIGN_FOLLOWING] = "following",
	[ASSIGN_HELD] = "held",
};

#define FROM(mode) (1u << (mode))

static const struct {
	const char *name;
	unsigned int from; /* modes it may start from */
	enum assign_mode to;
} events[ASSIGN_EVENTS] = {
	[ASSIGN_BEGIN] = { "begin", FROM(ASSIGN_NONE), ASSIGN_FOLLOWING },
	[ASSIGN_FOLLOW] = { "follow", FROM(ASSIGN_FOLLOWING),
	    ASSIGN_FOLLOWING },
	[ASSIGN_ROLLBACK] = { "rollback",
	    FROM(ASSIGN_FOLLOWING) | FROM(ASSIGN_HELD), ASSIGN_HELD },
	[ASSIGN_PIN] = { "pin", FROM(ASSIGN_FOLLOWING) | FROM(ASSIGN_HELD),
	    ASSIGN_HELD },
	[ASSIGN_RESUME] = { "resume",
	    FROM(ASSIGN_FOLLOWING) | FROM(ASSIGN_HELD), ASSIGN_FOLLOWING },
	[ASSIGN_RELEASE] = { "release", FROM(ASSIGN_HELD), ASSIGN_FOLLOWING },
};

const char *
assign_mode_name(enum assign_mode m)
{
	return mode_names[m];
}

enum assign_mode
assign_mode_of(const char *name)
{
	for (int i = 0; i < ASSIGN_MODES; i++)
		if (strcmp(mode_names[i], name) == 0)
			return (enum assign_mode)i;
	return ASSIGN_NONE;
}

void
assignment_clear(struct assignment *a)
{
	mem_free(a->reason);
	mem_free(a->blocked);
	mem_free(a->quarantine);
	*a = (struct assignment){ 0 };
}

void
assignment_copy(struct assignment *to, const struct assignment *from)
{
	size_t count = from->quarantine_count;

	*to = *from;
	to->reason = mem_strdup(from->reason);
	to->blocked = mem_strdup(from->blocked);
	to->quarantine = mem_array(count, sizeof *to->quarantine);
	if (count > 0)
		memcpy(to->quarantine, from->quarantine,
		    count * sizeof *to->quarantine);
}

enum err_code
assign_allowed(const struct assignment *a, enum assign_event event,
    struct err *e)
{
	if ((events[event].from & FROM(a->mode)) != 0)
		return ERR_OK;
	return err_set(e, ERR_CONFLICT, "%s of %s in cluster %s: it is %s",
	    events[event].name, a->bundle, a->cluster, mode_names[a->mode]);
}

/* Every change of what or how goes through here. */
static void
change(struct assignment *a, enum assign_event event,
    const struct assign_who *who)
{
	assert(assign_allowed(a, event, NULL) == ERR_OK);
	assert(a->serial < INT64_MAX);
	a->mode = events[event].to;
	a->serial++;
	(void)snprintf(a->by, sizeof a->by, "%s", who->by);
	a->at_ms = who->at_ms;
	mem_free(a->reason);
	a->reason = mem_strdup(who->reason);
	a->until[0] = '\0';
	assign_block(a, NULL);
}

static void
set_current(struct assignment *a, const struct assign_target *t)
{
	memcpy(a->current_with, t->commit, sizeof a->current_with);
	a->line = t->line;
	a->depth = t->depth;
}

/* With equal content the bytes that engines have stay what they are. */
static bool
set_target(struct assignment *a, const struct assign_target *t)
{
	bool equal = strcmp(a->content, t->content) == 0;

	set_current(a, t);
	a->forced = t->forced;
	if (equal)
		return false;
	memcpy(a->revision, t->revision, sizeof a->revision);
	memcpy(a->content, t->content, sizeof a->content);
	memcpy(a->artifact, t->artifact, sizeof a->artifact);
	return true;
}

bool
assign_comes_after(const struct assignment *a, const struct assign_target *t)
{
	if (t->line < 0 || t->ancestor)
		return false;
	return t->line > a->line || (t->line == a->line && t->depth > a->depth);
}

bool
assign_is_next(const struct assignment *a, const struct assign_target *t)
{
	if (a->mode != ASSIGN_HELD || a->until[0] == '\0' || t->line < 0 ||
	    t->ancestor)
		return false;
	return t->line > a->until_line ||
	    (t->line == a->until_line && t->depth > a->until_depth);
}

bool
assign_quarantined(const struct assignment *a, const char *content)
{
	for (size_t i = 0; i < a->quarantine_count; i++)
		if (strcmp(a->quarantine[i], content) == 0)
			return true;
	return false;
}

static void
quarantine_add(struct assignment *a, const char *content)
{
	if (assign_quarantined(a, content))
		return;
	a->quarantine = mem_grow(a->quarantine, a->quarantine_count + 1,
	    sizeof *a->quarantine);
	(void)snprintf(a->quarantine[a->quarantine_count++],
	    sizeof *a->quarantine, "%s", content);
}

static void
quarantine_remove(struct assignment *a, const char *content)
{
	for (size_t i = 0; i < a->quarantine_count; i++) {
		if (strcmp(a->quarantine[i], content) != 0)
			continue;
		memmove(a->quarantine + i, a->quarantine + i + 1,
		    (a->quarantine_count - i - 1) * sizeof *a->quarantine);
		a->quarantine_count--;
		return;
	}
}

/* Bytes of text up to max that end with a whole UTF-8 character. */
static size_t
cut_at(const char *text, size_t max)
{
	size_t len = strnlen(text, max);

	while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	return len;
}

void
assign_block(struct assignment *a, const char *why)
{
	char *text = NULL;

	if (why != NULL)
		text = mem_strndup(why, cut_at(why, ASSIGN_BLOCKED_MAX));
	mem_free(a->blocked);
	a->blocked = text;
}

void
assign_begin(struct assignment *a, const struct assign_target *t,
    const struct assign_who *who)
{
	(void)set_target(a, t);
	change(a, ASSIGN_BEGIN, who);
}

enum assign_step
assign_follow(struct assignment *a, const struct assign_target *t,
    const struct assign_who *who)
{
	if (a->mode != ASSIGN_FOLLOWING || !assign_comes_after(a, t))
		return ASSIGN_SAME;
	if (strcmp(a->content, t->content) == 0) {
		(void)set_target(a, t);
		assign_block(a, NULL);
		return ASSIGN_NOTED;
	}
	if (assign_quarantined(a, t->content)) {
		AUTO_STR why = mem_printf("commit %s has content that was "
					  "rolled back from",
		    t->commit);

		assign_block(a, why);
		return ASSIGN_SAME;
	}
	(void)set_target(a, t);
	change(a, ASSIGN_FOLLOW, who);
	return ASSIGN_MOVED;
}

void
assign_rollback(struct assignment *a, const struct assign_target *t,
    const struct assign_who *who)
{
	char before[STORE_DIGEST_SIZE];

	memcpy(before, a->content, sizeof before);
	if (set_target(a, t))
		quarantine_add(a, before);
	quarantine_remove(a, t->content);
	change(a, ASSIGN_ROLLBACK, who);
}

void
assign_pin(struct assignment *a, const struct assign_who *who)
{
	change(a, ASSIGN_PIN, who);
}

void
assign_until(struct assignment *a, const struct assign_target *t)
{
	assert(a->mode == ASSIGN_HELD);
	memcpy(a->until, t->commit, sizeof a->until);
	a->until_line = t->line;
	a->until_depth = t->depth;
}

enum assign_step
assign_release(struct assignment *a, const struct assign_target *t,
    const struct assign_who *who)
{
	bool moved = set_target(a, t);

	change(a, ASSIGN_RELEASE, who);
	return moved ? ASSIGN_MOVED : ASSIGN_NOTED;
}

enum assign_step
assign_resume(struct assignment *a, const struct assign_target *t,
    const struct assign_who *who)
{
	enum assign_step step = ASSIGN_SAME;

	a->quarantine_count = 0;
	if (t != NULL && assign_comes_after(a, t))
		step = set_target(a, t) ? ASSIGN_MOVED : ASSIGN_NOTED;
	change(a, ASSIGN_RESUME, who);
	return step;
}

static bool
members_clash(const struct assign_member *x, const struct assign_member *y,
    struct assign_clash *out)
{
	for (size_t i = 0; i < x->count; i++)
		for (size_t j = 0; j < y->count; j++) {
			if (!text_path_holds(x->roots[i], y->roots[j]) &&
			    !text_path_holds(y->roots[j], x->roots[i]))
				continue;
			out->first_root = x->roots[i];
			out->second_root = y->roots[j];
			return true;
		}
	return false;
}

bool
assign_clashes(const struct assign_member *set, size_t count,
    struct assign_clash *out)
{
	for (size_t i = 0; i < count; i++)
		for (size_t j = i + 1; j < count; j++) {
			if (!set[i].moved && !set[j].moved)
				continue;
			if (!members_clash(&set[i], &set[j], out))
				continue;
			out->first = i;
			out->second = j;
			return true;
		}
	return false;
}
