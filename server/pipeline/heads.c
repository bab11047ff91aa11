#include "server/pipeline/heads.h"

#include "clusters/ledger.h"
#include "clusters/store_audit.h"
#include "clusters/store_head.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "signing/head.h"
#include "signing/keeper.h"

#define HEADS_DAY_MS (INT64_C(24) * 3600 * 1000)

/* A last one from times to come was signed under a wrong clock. */
static bool
is_due(const struct store_head_need *need, int64_t now_ms)
{
	return need->asked || need->last_ms > now_ms ||
	    now_ms - need->last_ms >= HEADS_DAY_MS;
}

static enum err_code
sign(struct desk *d, const struct chain_head *at, struct err *e)
{
	AUTO_BUF jws = { 0 };
	AUTO_STR key = NULL;
	int64_t now_ms = clock_now_ms();

	buf_init(&jws, HEAD_JWS_MAX);
	TRY(keeper_sign_head(d->keeper, &jws, &key, at->seq, at->hash, now_ms,
	    e));
	return desk_tell(d, LEDGER_HEAD,
	    json_pack("{s:I, s:s, s:I, s:s, s:s}", "seq", (json_int_t)at->seq,
		"hash", at->hash, "at_ms", (json_int_t)now_ms, "key", key,
		"jws", jws.data),
	    NULL, e);
}

static enum err_code
look(struct desk *d, struct store **kept, struct err *e)
{
	struct store_head_need need;
	struct chain_head end;

	if (*kept == NULL)
		TRY(store_open_read(kept, d->conf->data_dir, e));
	TRY(store_head_need(*kept, &need, e));
	if (!is_due(&need, clock_now_ms()))
		return ERR_OK;
	TRY(store_audit_head(*kept, &end, e));
	return end.seq == 0 ? ERR_OK : sign(d, &end, e);
}

/* After a failure not at once, whatever happens meanwhile. */
static void
rest(struct desk *d, uint64_t *seen, bool failed)
{
	int64_t until = clock_mono_ms() + HEADS_RETRY_MS;
	int64_t left;

	if (!failed) {
		desk_wait(d, seen, HEADS_LOOK_MS);
		return;
	}
	while (!atomic_load(&d->stopping) &&
	    (left = until - clock_mono_ms()) > 0)
		desk_wait(d, seen, left);
}

void
heads_run(struct desk *d)
{
	struct store *s = NULL;
	uint64_t seen = 0;

	while (!atomic_load(&d->stopping)) {
		struct err e = { 0 };
		bool failed = look(d, &s, &e) != ERR_OK;

		if (failed && !atomic_load(&d->stopping)) {
			log_warn("audit.unsigned", "error=\"%s\"", e.text);
			store_free(STEAL(s));
		}
		rest(d, &seen, failed);
	}
	store_free(s);
}
