#include "server/supervisor/reload.h"

#include "core/log.h"
#include "server/supervisor/prepare.h"

static enum err_code
read_and_try(struct conf **out, const struct conf_flags *flags, struct err *e)
{
	struct conf_flags trial = *flags;
	struct conf *c;

	trial.trial = true;
	TRY(conf_read(&c, &trial, e));
	if (prepare_try(c, e) != ERR_OK) {
		conf_free(c);
		return err_add(e, "%s", flags->file);
	}
	*out = c;
	return ERR_OK;
}

enum err_code
reload_check(const struct conf_flags *flags, struct err *e)
{
	struct conf *c;

	TRY(read_and_try(&c, flags, e));
	conf_free(c);
	return ERR_OK;
}

/* What is applied gets folders and keys first; c is then as the server will
 * have it. */
static enum err_code
get_ready(struct conf **out, struct conf_change *change, const struct conf *now,
    const struct conf_flags *flags, struct err *e)
{
	struct conf *c;

	TRY(read_and_try(&c, flags, e));
	conf_change_find(change, now, c);
	conf_change_keep(now, c);
	if (change->applied.len == 0) {
		conf_free(c);
		return ERR_OK;
	}
	if (prepare_again(c, e) != ERR_OK) {
		conf_free(c);
		return err_add(e, "%s", flags->file);
	}
	*out = c;
	return ERR_OK;
}

bool
reload_read(struct conf **next, unsigned int *needs, const struct conf *now,
    const struct conf_flags *flags, struct conf_state *state)
{
	struct conf_change change = { 0 };
	struct err e = { 0 };

	*next = NULL;
	if (flags->file == NULL)
		return false;
	if (get_ready(next, &change, now, flags, &e) != ERR_OK) {
		conf_change_clear(&change);
		conf_state_refused(state, e.text);
		log_error("reload.refused", "error=\"%s\": all stays as it is",
		    e.text);
		return false;
	}
	*needs = change.needs;
	conf_state_loaded(state, change.fixed.data);
	if (change.fixed.len > 0)
		log_warn("reload.needs_restart",
		    "settings=\"%s\": they stay as they are until the server "
		    "is started again",
		    change.fixed.data);
	log_info(*next != NULL ? "reload.applied" : "reload.unchanged",
	    "settings=\"%s\"", change.applied.data);
	conf_change_clear(&change);
	return *next != NULL;
}
