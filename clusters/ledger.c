#include "clusters/ledger.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "clusters/ledger_message.h"
#include "clusters/reserve.h"
#include "clusters/store_set.h"
#include "core/clock.h"
#include "core/confine.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/signals.h"
#include "signing/digest.h"

struct ledger_row {
	uint32_t kind;
	ledger_fn *run;
	bool vital; /* is written down even when the disk is full */
};

static const struct ledger_row pipeline_rows[] = {
	{ LEDGER_REPOSITORY, ledger_repository, true },
	{ LEDGER_COMMITS, ledger_commits, false },
	{ LEDGER_VERDICT, ledger_verdict, false },
	{ LEDGER_PUBLISH, ledger_publish, false },
	{ LEDGER_OPERATION, ledger_operation, true },
	{ LEDGER_COLLECT, ledger_collect, true },
	{ LEDGER_DISCOVERY, ledger_discovery, false },
	{ LEDGER_KEYS, ledger_keys, true },
	{ LEDGER_VARIANT, ledger_variant, true },
	{ LEDGER_HEAD, ledger_head, true },
	{ LEDGER_TARGETS, ledger_targets, false },
	{ LEDGER_DELIVERY, ledger_delivery, false },
	{ LEDGER_ALARMS, ledger_alarms, false },
	{ LEDGER_SETS, ledger_sets, false },
	{ LEDGER_SET, ledger_set, true },
	{ 0 },
};
static const struct ledger_row http_rows[] = {
	{ LEDGER_ACTION, ledger_action, true },
	{ LEDGER_ENGINES, ledger_engines, false },
	{ LEDGER_HTTP_ALARMS, ledger_http_alarms, false },
	{ LEDGER_ACKED, ledger_acked, true },
	{ 0 },
};

/* The same numbers as lists for channel_receive. */
static const uint32_t pipeline_kinds[] = { LEDGER_REPOSITORY, LEDGER_COMMITS,
	LEDGER_VERDICT, LEDGER_PUBLISH, LEDGER_OPERATION, LEDGER_COLLECT,
	LEDGER_DISCOVERY, LEDGER_KEYS, LEDGER_VARIANT, LEDGER_HEAD,
	LEDGER_TARGETS, LEDGER_DELIVERY, LEDGER_ALARMS, LEDGER_SETS, LEDGER_SET,
	0 };
static const uint32_t http_kinds[] = { LEDGER_ACTION, LEDGER_ENGINES,
	LEDGER_HTTP_ALARMS, LEDGER_ACKED, 0 };

struct peer {
	struct channel *channel;
	const struct ledger_row *rows;
	const uint32_t *kinds;
};

/* Messages of each peer that are still read at the end; how often to look for
 * room for the reserve. */
enum { LEDGER_LAST_MAX = 64, LEDGER_ROOM_MS = 1000, LEDGER_TICK_MS = 500 };

/* The pipeline, and all of http: with the same rights each. */
enum { PEER_PIPELINE, PEER_HTTP, PEERS_MAX = PEER_HTTP + LEDGER_HTTP_MAX };

struct ledger {
	struct ledger_context context;
	struct peer peers[PEERS_MAX];
	size_t peer_count;
	int signals;
	bool poor;    /* the reserve is missing */
	bool waiting; /* something changes with time alone */
	int64_t tick_ms;
};

/* Two kinds of one number would not compile. */
static inline void __attribute__((unused)) kinds_differ(unsigned int kind)
{
	switch (kind) {
	case LEDGER_REPOSITORY:
	case LEDGER_COMMITS:
	case LEDGER_VERDICT:
	case LEDGER_PUBLISH:
	case LEDGER_OPERATION:
	case LEDGER_COLLECT:
	case LEDGER_DISCOVERY:
	case LEDGER_HEAD:
	case LEDGER_KEYS:
	case LEDGER_VARIANT:
	case LEDGER_TARGETS:
	case LEDGER_DELIVERY:
	case LEDGER_ALARMS:
	case LEDGER_SETS:
	case LEDGER_SET:
	case LEDGER_ACTION:
	case LEDGER_ENGINES:
	case LEDGER_ACKED:
	case LEDGER_HTTP_ALARMS:
	case LEDGER_CHANGED:
		break;
	}
}

/* One transaction per message: all of it or nothing. */
static enum err_code
attempt(struct ledger *l, const struct ledger_row *row, const json_t *payload,
    json_t **reply, struct err *e)
{
	enum err_code code;

	TRY(store_begin(l->context.store, e));
	code = row->run(&l->context, payload, reply, e);
	if (code == ERR_OK)
		code = store_commit(l->context.store, e);
	else
		store_rollback(l->context.store);
	if (code == ERR_OK)
		return ERR_OK;
	json_decref(*reply);
	*reply = NULL;
	return code;
}

/* After a failure: was it for want of room, and is there some now? */
static bool
make_room(struct ledger *l, enum err_code code)
{
	const char *folder = l->context.folder;

	if ((code != ERR_IO && code != ERR_UNAVAILABLE) ||
	    !reserve_is_full(folder) || !reserve_give_up(folder))
		return false;
	l->poor = true;
	log_warn("reserve.given_up",
	    "the disk is full; assignments and audit go on, commits wait");
	return true;
}

static enum err_code
carry_out(struct ledger *l, const struct ledger_row *row, const json_t *payload,
    json_t **reply, struct err *e)
{
	enum err_code code;

	if (!row->vital)
		TRY(reserve_check(l->context.folder, RESERVE_COMMITS, e));
	code = attempt(l, row, payload, reply, e);
	if (code != ERR_OK && row->vital && make_room(l, code))
		code = attempt(l, row, payload, reply, e);
	if (code == ERR_IO && reserve_is_full(l->context.folder))
		return err_set(e, ERR_UNAVAILABLE,
		    "the disk is full to the last byte: nothing can be written "
		    "down until there is room for data_dir");
	return code;
}

/* Who has no room will look by itself. */
static void
tell_changed(struct ledger *l)
{
	for (size_t i = 0; i < l->peer_count; i++)
		if (channel_send(l->peers[i].channel, LEDGER_CHANGED, 0, 0,
			NULL, NULL, 0, 0, NULL) != ERR_OK)
			log_debug("ledger.changed", "peer=%zu missed it", i);
}

static void
answer(struct peer *p, const struct message *m, const json_t *reply,
    enum err_code code, const struct err *why)
{
	struct err e;
	enum err_code sent;

	if (code == ERR_OK)
		sent = channel_reply(p->channel, m, reply, &e);
	else
		sent = channel_reply_error(p->channel, m, why, &e);
	if (sent != ERR_OK)
		log_warn("ledger.reply", "kind=%u error=%s", m->kind, e.text);
}

static const struct ledger_row *
find_row(const struct peer *p, uint32_t kind)
{
	for (const struct ledger_row *row = p->rows; row->kind != 0; row++)
		if (row->kind == kind)
			return row;
	return NULL;
}

/* Changes nothing that others act upon, or is only tried. */
static bool
is_quiet(const struct ledger_row *row)
{
	return row->run == ledger_engines || row->run == ledger_delivery ||
	    row->run == ledger_sets;
}

static void
handle(struct ledger *l, struct peer *p, const struct message *m)
{
	const struct ledger_row *row = find_row(p, m->kind);
	int64_t before = store_changes(l->context.store);
	struct err why = { 0 };
	json_t *reply = NULL;
	enum err_code code;

	if (row == NULL)
		return; /* a reply: nothing is ever asked from here */
	code = carry_out(l, row, m->payload, &reply, &why);
	if (code == ERR_OK && !is_quiet(row) &&
	    store_changes(l->context.store) != before)
		tell_changed(l);
	if (code != ERR_OK && row->run != ledger_engines)
		log_warn("ledger.refused", "kind=%u code=%s reason=%s", m->kind,
		    err_name(code), why.text);
	answer(p, m, reply, code, &why);
	json_decref(reply);
}

/* False: the pair is closed, the server is gone. */
static bool
serve_one(struct ledger *l, struct peer *p)
{
	struct message m = { 0 };
	struct err e = { 0 };
	enum err_code code = channel_receive(p->channel, &m, p->kinds, 0, &e);

	if (code == ERR_OK) {
		handle(l, p, &m);
		message_clear(&m);
	}
	return code != ERR_UNAVAILABLE;
}

/* What was sent before the end was told is done before the end. */
static void
finish(struct ledger *l)
{
	for (size_t i = 0; i < l->peer_count; i++) {
		struct pollfd p = {
			.fd = channel_fd(l->peers[i].channel),
			.events = POLLIN,
		};

		for (int n = 0; n < LEDGER_LAST_MAX && poll(&p, 1, 0) > 0; n++)
			if (!serve_one(l, &l->peers[i]))
				break;
	}
}

/* Who waits for room is told that there is some. */
static void
restore_reserve(struct ledger *l)
{
	if (reserve_make(l->context.folder)) {
		l->poor = false;
		log_info("reserve.made", "there is room on the disk");
		tell_changed(l);
	}
}

/* Roots that are waited for, and operations. */
static void
tick(struct ledger *l)
{
	static const struct ledger_row row = { 0, ledger_tick, true };
	int64_t before = store_changes(l->context.store);
	int64_t now = clock_mono_ms();
	struct err e = { 0 };
	json_t *reply = NULL;

	if (store_is_waiting(l->context.store, &l->waiting, &e) != ERR_OK ||
	    !l->waiting || now < l->tick_ms)
		return;
	l->tick_ms = now + LEDGER_TICK_MS;
	if (carry_out(l, &row, NULL, &reply, &e) != ERR_OK)
		log_warn("ledger.tick", "code=%s reason=%s", err_name(e.code),
		    e.text);
	else if (store_changes(l->context.store) != before)
		tell_changed(l);
}

static int
patience(const struct ledger *l)
{
	if (l->waiting)
		return LEDGER_TICK_MS;
	return l->poor ? LEDGER_ROOM_MS : -1;
}

static int
serve(struct ledger *l)
{
	struct pollfd ready[PEERS_MAX + 1];
	const size_t peers = l->peer_count;

	for (size_t i = 0; i < peers; i++)
		ready[i] = (struct pollfd){
			.fd = channel_fd(l->peers[i].channel),
			.events = POLLIN,
		};
	ready[peers] = (struct pollfd){ .fd = l->signals, .events = POLLIN };
	for (;;) {
		tick(l);
		if (poll(ready, peers + 1, patience(l)) < 0) {
			if (errno == EINTR)
				continue;
			log_error("ledger.failed", "poll: errno=%d", errno);
			return 1;
		}
		if (l->poor)
			restore_reserve(l);
		if (ready[peers].revents != 0) {
			finish(l);
			return 0;
		}
		for (size_t i = 0; i < peers; i++)
			if (ready[i].revents != 0 &&
			    !serve_one(l, &l->peers[i]))
				return 0;
	}
}

/* From here on: the folder of the database and the pairs, nothing else. */
static enum err_code
withdraw(const struct ledger_setup *setup, struct err *e)
{
	AUTO_STR dir = file_path(setup->data_dir, "store");
	struct confine_path paths[] = {
		{ dir, CONFINE_PATH_READ | CONFINE_PATH_WRITE, false },
	};
	struct confine_rules rules = {
		.calls = CONFINE_READ_FILES | CONFINE_WRITE_FILES |
		    CONFINE_LOCK_FILES | CONFINE_MESSAGES,
		.paths = paths,
		.path_count = sizeof paths / sizeof *paths,
		.best_effort = setup->best_effort,
	};
	char digest[DIGEST_HEX_SIZE];

	/* Libraries load what they need on first use: now is the last time. */
	digest_hex(digest, "", 0);
	return confine_self(&rules, e);
}

static enum err_code
start(struct ledger *l, const struct ledger_setup *setup, struct err *e)
{
	l->context.repositories_left = setup->repositories_max;
	l->context.engines_max = setup->engines_max;
	l->context.handover_ms = setup->handover_ms;
	l->context.keep = setup->keep;
	l->context.folder = setup->data_dir;
	TRY(signals_open(&l->signals, e));
	TRY(store_open(&l->context.store, setup->data_dir, e));
	l->poor = !reserve_make(setup->data_dir) &&
	    !reserve_is_there(setup->data_dir);
	log_info("ledger.started", "data_dir=%s reserve=%s", setup->data_dir,
	    l->poor ? "missing" : "there");
	return withdraw(setup, e);
}

static void
meet(struct ledger *l, const struct ledger_setup *setup)
{
	l->peers[PEER_PIPELINE] =
	    (struct peer){ channel_new(setup->pipeline_fd, "pipeline"),
		    pipeline_rows, pipeline_kinds };
	assert(setup->http_count <= LEDGER_HTTP_MAX);
	for (size_t i = 0; i < setup->http_count; i++)
		l->peers[PEER_HTTP + i] =
		    (struct peer){ channel_new(setup->http_fds[i], "http"),
			    http_rows, http_kinds };
	l->peer_count = PEER_HTTP + setup->http_count;
}

int
ledger_main(const struct ledger_setup *setup)
{
	struct ledger l = { .signals = -1 };
	struct err e = { 0 };
	int status = 1;

	meet(&l, setup);
	if (start(&l, setup, &e) == ERR_OK)
		status = serve(&l);
	else
		log_error("ledger.failed", "reason=%s", e.text);
	store_free(l.context.store);
	for (size_t i = 0; i < l.peer_count; i++)
		channel_free(l.peers[i].channel);
	if (l.signals >= 0)
		(void)close(l.signals);
	return status;
}
