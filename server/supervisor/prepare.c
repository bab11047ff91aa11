#include "server/supervisor/prepare.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clusters/payload.h"
#include "clusters/reserve.h"
#include "clusters/store_key.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "server/conf/conf_change.h"
#include "server/supervisor/prepare_check.h"
#include "signing/key.h"

enum err_code
prepare_lock(const struct conf *c, int *fd, struct err *e)
{
	AUTO_STR path = file_path(c->data_dir, "lock");
	char owner[32] = { 0 };
	int n;

	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*fd < 0)
		return err_errno(e, "%s", path);
	if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
		if (read(*fd, owner, sizeof owner - 1) < 0)
			owner[0] = '\0';
		owner[strcspn(owner, "\n")] = '\0';
		return err_set(e, ERR_CONFLICT,
		    "%s: another edict (process %s) is serving this folder; "
		    "stop it, or choose another --data-dir",
		    c->data_dir, owner);
	}
	n = snprintf(owner, sizeof owner, "%d\n", (int)getpid());
	/* In the place of the one before: that takes no room on the disk. */
	if (pwrite(*fd, owner, (size_t)n, 0) != n || ftruncate(*fd, n) != 0)
		return err_errno(e, "%s", path);
	return ERR_OK;
}

static enum err_code
make_folders(const struct conf *c, struct err *e)
{
	static const char *const names[] = { "keys", "store", "repos",
		"contents", "artifacts", "work", "jwks" };
	const struct conf_repository *r = c->repositories.items;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		AUTO_STR path = file_path(c->data_dir, names[i]);

		TRY(file_make_dirs(path, e));
	}
	for (size_t i = 0; i < c->repositories.count; i++) {
		AUTO_STR path =
		    mem_printf("%s/repos/%s/incoming", c->data_dir, r[i].name);

		TRY(file_make_dirs(path, e));
	}
	return ERR_OK;
}

static enum err_code
import_key(const char *dir, const struct conf_key *k, struct err *e)
{
	AUTO(key, key) = NULL;
	AUTO_BUF text = { 0 };
	enum key_algorithm algorithm;
	enum err_code code;

	buf_init(&text, KEY_FILE_MAX);
	TRY(key_algorithm_parse(&algorithm, k->algorithm, e));
	TRY(file_check_secret(k->private_key_file, e));
	TRY(file_read(&text, k->private_key_file, e));
	code = key_read_private(&key, k->id, algorithm, k->private_key_file,
	    text.data, text.len, e);
	explicit_bzero(text.data, text.len);
	if (code != ERR_OK)
		return code;
	return key_ring_add(dir, key, KEY_BUNDLE, e);
}

/* A public key alone is what a backup without private ones brought back: engines
 * know another key by that name. */
static bool
is_taken(const struct key_ring *ring, const char *dir, const char *id)
{
	AUTO_STR public_key = mem_printf("%s/%s.pub", dir, id);

	return key_ring_find(ring, id) != NULL || access(public_key, F_OK) == 0;
}

/* Named by the month, as people name keys that they rotate. */
static enum err_code
make_key(const char *dir, const struct key_ring *ring, enum key_kind kind,
    const char *prefix, enum key_algorithm algorithm, struct err *e)
{
	AUTO(key, key) = NULL;
	char stamp[CLOCK_TEXT_SIZE];

	clock_text(stamp, clock_now_ms());
	stamp[7] = '\0';
	AUTO_STR id = mem_printf("%s%s", prefix, stamp);
	for (int n = 2; is_taken(ring, dir, id); n++) {
		mem_free(id);
		id = mem_printf("%s%s-%d", prefix, stamp, n);
	}
	TRY(key_generate(&key, id, algorithm, e));
	TRY(key_ring_add(dir, key, kind, e));
	log_info("key.made", "id=%s algorithm=%s kind=%s", id,
	    key_algorithm_name(algorithm), key_kind_name(kind));
	return ERR_OK;
}

/* Keys that nobody brings along. Discovery bundles are signed so that the same
 * one has the same bytes again; for the audit's head it does not matter. */
static enum err_code
make_own_keys(const char *dir, const struct key_ring *ring, struct err *e)
{
	if (key_ring_newest(ring, KEY_DISCOVERY) == NULL)
		TRY(make_key(dir, ring, KEY_DISCOVERY, "discovery-", KEY_RS256,
		    e));
	if (key_ring_newest(ring, KEY_AUDIT) == NULL)
		TRY(make_key(dir, ring, KEY_AUDIT, "audit-", KEY_ES256, e));
	return ERR_OK;
}

static enum err_code
import_keys(const struct conf *c, const char *dir, const struct key_ring *ring,
    struct err *e)
{
	const struct conf_key *k = c->signing.keys.items;

	for (size_t i = 0; i < c->signing.keys.count; i++)
		if (key_ring_find(ring, k[i].id) == NULL)
			TRY(import_key(dir, &k[i], e));
	return ERR_OK;
}

/* Which key signs: the one that the configuration says; else the one before;
 * else, because a first start was cut short or somebody lost `current`, the
 * configuration's first or the newest. */
static enum err_code
choose_key(const struct conf *c, const char *dir, const struct key_ring *ring,
    struct err *e)
{
	const struct conf_key *k = c->signing.keys.items;
	const char *id = c->signing.use;

	if (id != NULL && key_ring_find(ring, id) == NULL)
		return err_set(e, ERR_NOT_FOUND,
		    "signing.use: there is no key %s, neither in signing.keys "
		    "nor in %s",
		    id, dir);
	if (id == NULL && ring->current != NULL)
		return ERR_OK;
	if (id == NULL)
		id = c->signing.keys.count > 0
		    ? k[0].id
		    : key_id(key_ring_newest(ring, KEY_BUNDLE)->key);
	if (ring->current == NULL)
		log_info("key.chosen", "id=%s", id);
	if (key_ring_use(dir, id, e) == ERR_OK)
		return ERR_OK;
	return c->signing.use != NULL ? err_add(e, "signing.use") : e->code;
}

/* What the keeper would refuse is found here, with a message, and not in a
 * process that restarts for ever. */
static enum err_code
prepare_keys(const struct conf *c, struct err *e)
{
	AUTO_STR dir = file_path(c->data_dir, "keys");
	struct key_ring ring = { 0 };
	enum err_code code;

	TRY(key_ring_read(&ring, dir, e));
	code = import_keys(c, dir, &ring, e);
	if (code == ERR_OK && c->signing.keys.count == 0 &&
	    key_ring_newest(&ring, KEY_BUNDLE) == NULL)
		code = make_key(dir, &ring, KEY_BUNDLE, "", KEY_RS256, e);
	if (code == ERR_OK)
		code = make_own_keys(dir, &ring, e);
	key_ring_clear(&ring);
	if (code != ERR_OK)
		return code;
	TRY(key_ring_read(&ring, dir, e));
	code = choose_key(c, dir, &ring, e);
	key_ring_clear(&ring);
	return code;
}

/* As the keeper will tell it (signing/keeper.h). */
static json_t *
describe_key(const struct ring_key *k)
{
	AUTO_BUF public = { 0 };

	buf_init(&public, KEY_FILE_MAX);
	key_write_public(&public, k->key);
	return json_pack("{s:s, s:s, s:s, s:s, s:s*}", "id", key_id(k->key),
	    "algorithm", key_algorithm_name(key_algorithm_of(k->key)), "kind",
	    key_kind_name(k->kind), "created_at", k->created_at, "public",
	    public.len > 0 ? public.data : NULL);
}

static enum err_code
note_keys(const struct conf *c, struct err *e)
{
	AUTO_STR dir = file_path(c->data_dir, "keys");
	AUTO_JSON keys = json_array();
	struct key_ring ring = { 0 };
	enum err_code code;

	TRY(key_ring_read(&ring, dir, e));
	for (size_t i = 0; i < ring.count; i++)
		(void)json_array_append_new(keys, describe_key(&ring.items[i]));
	code = store_note_keys(c->data_dir, keys,
	    ring.current != NULL ? key_id(ring.current) : NULL, e);
	key_ring_clear(&ring);
	return code;
}

static enum err_code
retire_one(const char *dir, const json_t *row, struct err *e)
{
	const char *id = payload_text(row, "id");
	enum err_code code;
	struct err why;

	if (payload_text(row, "retired_at") == NULL ||
	    !json_is_true(json_object_get(row, "present")))
		return ERR_OK;
	code = key_ring_retire(dir, id, &why);
	/* Taken away meanwhile: it signs nothing either. */
	return code == ERR_OK || code == ERR_NOT_FOUND
	    ? ERR_OK
	    : err_set(e, code, "%s", why.text);
}

/* What the database says of retired keys is written down beside them, for the
 * keeper; while it runs, the pipeline tells it. */
static enum err_code
retire_keys(const struct conf *c, struct err *e)
{
	AUTO_STR dir = file_path(c->data_dir, "keys");
	AUTO_JSON keys = NULL;
	struct store *opened = NULL;
	size_t i;
	json_t *row;

	TRY(store_open(&opened, c->data_dir, e));
	AUTO(store, s) = opened;
	TRY(store_view_keys(s, &keys, e));
	json_array_foreach(keys, i, row)
		TRY(retire_one(dir, row, e));
	return ERR_OK;
}

/* The process that reads it has nobody to tell that it is no secret. */
static enum err_code
check_tls_key(const struct conf *c, struct err *e)
{
	if (c->tls.key != NULL && file_check_secret(c->tls.key, e) != ERR_OK)
		return err_add(e, "tls.key");
	return ERR_OK;
}

/* A start writes a little, and a full disk must not keep it from serving. */
static void
make_room(const char *data_dir)
{
	if (reserve_is_full(data_dir) && reserve_give_up(data_dir))
		log_warn("reserve.given_up",
		    "the disk is full; assignments and audit go on, commits "
		    "wait");
}

/* What is only written down, on a disk without a byte left: the next start does
 * it, and this one serves. */
static enum err_code
without_room(const char *data_dir, enum err_code code, const struct err *e)
{
	if (code != ERR_IO || !reserve_is_full(data_dir))
		return code;
	log_error("disk.full", "error=\"%s\": not written down", e->text);
	return ERR_OK;
}

static enum err_code
prepare_all(const struct conf *c, struct err *e)
{
	TRY(prepare_check_sandbox(c, e));
	make_room(c->data_dir);
	TRY(check_tls_key(c, e));
	TRY(make_folders(c, e));
	TRY(prepare_keys(c, e));
	TRY(store_prepare(c->data_dir, e));
	TRY(retire_keys(c, e));
	return without_room(c->data_dir, note_keys(c, e), e);
}

/* While the server runs, the database is the ledger's alone; it hears of keys
 * from the pipeline. */
static enum err_code
prepare_more(const struct conf *c, struct err *e)
{
	TRY(make_folders(c, e));
	return prepare_keys(c, e);
}

/* ---- in a child ---- */

/* What it does; now and next are for another configuration. */
struct work {
	enum err_code (*run)(const struct work *w, struct err *e);
	const struct conf *now;
	struct conf *next;
	const struct conf *conf;
	bool more;
	unsigned int limit_s; /* killed if it takes longer; 0: never */
};

static enum err_code
run_all(const struct work *w, struct err *e)
{
	return prepare_all(w->conf, e);
}

static enum err_code
run_check(const struct work *w, struct err *e)
{
	return prepare_check(w->conf, e);
}

/* It is the child's own copy that becomes another. */
static enum err_code
run_next(const struct work *w, struct err *e)
{
	TRY(prepare_check(w->conf, e));
	conf_change_keep(w->now, w->next);
	if (!w->more)
		return ERR_OK;
	(void)alarm(w->limit_s);
	return prepare_more(w->conf, e);
}

/* It tells its error through the pipe: nothing means all is well. */
static void
child_main(const struct work *w, int fd, pid_t parent)
{
	struct err e = { 0 };
	enum err_code code;

	(void)prctl(PR_SET_NAME, "edict prepare");
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	(void)alarm(w->limit_s);
	log_init("prepare", (enum log_level)w->conf->log_level);
	code = w->run(w, &e);
	if (code != ERR_OK && write(fd, e.text, strlen(e.text)) < 0)
		_exit(2);
	_exit(code == ERR_OK ? 0 : 1);
}

static_assert((int)ERR_TEXT_MAX <= PIPE_BUF, "an error fits into the pipe");

static enum err_code
begin(struct prepare_child *out, const struct work *w, struct err *e)
{
	pid_t parent = getpid();
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return err_errno(e, "pipe");
	pid = fork();
	if (pid == 0)
		child_main(w, fds[1], parent);
	if (pid < 0)
		(void)err_errno(e, "fork");
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return e->code;
	}
	*out = (struct prepare_child){ .pid = pid, .fd = fds[0] };
	return ERR_OK;
}

enum err_code
prepare_end(struct prepare_child *p, int status, struct err *e)
{
	AUTO_BUF text = { 0 };
	enum err_code code;

	buf_init(&text, ERR_TEXT_MAX);
	code = file_read_fd(&text, p->fd, "prepare", e);
	close(p->fd);
	*p = (struct prepare_child){ .fd = -1 };
	if (code != ERR_OK)
		return code;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return err_set(e, ERR_TIMEOUT,
		    "reading the files took more than %d s",
		    (int)PREPARE_CHECK_S);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, ERR_IO, "%s",
		    text.len > 0 ? text.data : "setting up data_dir failed");
	return ERR_OK;
}

static int
reap(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static enum err_code
in_child(const struct work *w, struct err *e)
{
	struct prepare_child p;

	TRY(begin(&p, w, e));
	return prepare_end(&p, reap(p.pid), e);
}

enum err_code
prepare_data(const struct conf *c, struct err *e)
{
	return in_child(&(struct work){ .run = run_all, .conf = c }, e);
}

enum err_code
prepare_try(const struct conf *c, struct err *e)
{
	return in_child(&(struct work){ .run = run_check,
			    .conf = c,
			    .limit_s = PREPARE_CHECK_S },
	    e);
}

enum err_code
prepare_begin(struct prepare_child *out, const struct conf *now,
    struct conf *next, bool more, struct err *e)
{
	return begin(out,
	    &(struct work){ .run = run_next,
		.now = now,
		.next = next,
		.conf = next,
		.more = more,
		.limit_s = PREPARE_CHECK_S },
	    e);
}

void
prepare_stop(struct prepare_child *p)
{
	if (p->pid != 0) {
		(void)kill(p->pid, SIGKILL);
		(void)reap(p->pid);
	}
	if (p->fd >= 0)
		close(p->fd);
	*p = (struct prepare_child){ .fd = -1 };
}
