#include "server/supervisor/reload.h"

#include "core/log.h"
#include "core/mem.h"
#include "server/supervisor/prepare.h"

struct reload {
	const struct conf_flags *flags;
	struct conf_state *state;
	bool asked;
	/* Under way. */
	struct prepare_child child;
	struct conf *next; /* owned; NULL: nothing is */
	struct conf_change change;
	/* The child has ended so. */
	bool ended;
	int status;
};

struct reload *
reload_new(const struct conf_flags *flags, struct conf_state *state)
{
	struct reload *r = mem_zalloc(sizeof *r);

	r->flags = flags;
	r->state = state;
	r->child.fd = -1;
	return r;
}

static void
forget(struct reload *r)
{
	conf_free(STEAL(r->next));
	conf_change_clear(&r->change);
	r->ended = false;
}

void
reload_free(struct reload *r)
{
	if (r == NULL)
		return;
	prepare_stop(&r->child);
	forget(r);
	mem_free(r);
}

void
reload_ask(struct reload *r)
{
	r->asked = true;
}

bool
reload_is_busy(const struct reload *r)
{
	return r->asked || r->next != NULL;
}

int
reload_fd(const struct reload *r)
{
	return r->child.fd;
}

/* ---- one reading ---- */

static enum err_code
read_file(struct conf **out, const struct conf_flags *flags, struct err *e)
{
	struct conf_flags trial = *flags;

	trial.trial = true;
	return conf_read(out, &trial, e);
}

/* The child has a copy of next as the file has it; here it becomes what the
 * server will have. */
static enum err_code
begin(struct reload *r, const struct conf *now, struct err *e)
{
	TRY(read_file(&r->next, r->flags, e));
	conf_change_find(&r->change, now, r->next);
	TRY(prepare_begin(&r->child, now, r->next, r->change.applied.len > 0,
	    e));
	conf_change_keep(now, r->next);
	return ERR_OK;
}

static enum reload_outcome
refuse(struct reload *r, const struct err *e)
{
	forget(r);
	conf_state_refused(r->state, e->text);
	log_error("reload.refused", "error=\"%s\": all stays as it is",
	    e->text);
	return RELOAD_SAME;
}

static enum reload_outcome
take(struct reload *r, struct conf **next, unsigned int *needs)
{
	const char *applied = r->change.applied.data;
	const char *fixed = r->change.fixed.data;
	bool same = r->change.applied.len == 0;

	if (same)
		conf_state_unchanged(r->state, fixed);
	else
		conf_state_loaded(r->state, fixed);
	if (r->change.fixed.len > 0)
		log_warn("reload.needs_restart",
		    "settings=\"%s\": they stay as they are until the server "
		    "is started again",
		    fixed);
	log_info(same ? "reload.unchanged" : "reload.applied",
	    "settings=\"%s\"", applied);
	if (!same) {
		*needs = r->change.needs;
		*next = STEAL(r->next);
	}
	forget(r);
	return same ? RELOAD_SAME : RELOAD_NEXT;
}

enum reload_outcome
reload_step(struct reload *r, struct conf **next, unsigned int *needs,
    const struct conf *now)
{
	struct err e = { 0 };

	if (r->ended) {
		if (prepare_end(&r->child, r->status, &e) == ERR_OK)
			return take(r, next, needs);
		(void)err_add(&e, "%s", r->flags->file);
		return refuse(r, &e);
	}
	if (!r->asked || r->next != NULL)
		return RELOAD_NONE;
	r->asked = false;
	if (r->flags->file == NULL)
		return RELOAD_SAME;
	return begin(r, now, &e) == ERR_OK ? RELOAD_NONE : refuse(r, &e);
}

bool
reload_reaped(struct reload *r, pid_t pid, int status)
{
	if (r->child.pid != pid)
		return false;
	r->child.pid = 0;
	r->status = status;
	r->ended = true;
	return true;
}

/* ---- for people ---- */

enum err_code
reload_check(const struct conf_flags *flags, struct err *e)
{
	AUTO(conf, c) = NULL;

	TRY(read_file(&c, flags, e));
	if (prepare_try(c, e) != ERR_OK)
		return err_add(e, "%s", flags->file);
	return ERR_OK;
}
