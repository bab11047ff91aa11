#include "policies/watch.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/gitlib.h"
#include "policies/repo_private.h"

enum { LINK_MAX_BYTES = 64 * 1024 };

struct watch {
	char *url;
	char *branch;
	int64_t interval_ms;
	uint32_t random;
	bool asked;
	unsigned int failures; /* in a row */
	int64_t due_mono_ms;   /* 0: at once */
	/* What a local repository's refs looked like. */
	bool local, seen;
	char *git;    /* its .git folder, or NULL while it is not there */
	char *common; /* where branches live: differs in a linked work tree */
	uint64_t look;
};

struct watch *
watch_new(const char *url, const char *branch, int64_t interval_ms,
    uint32_t jitter_seed)
{
	struct watch *w = mem_zalloc(sizeof(*w));

	w->url = mem_strdup(url);
	w->branch = mem_strdup(branch != NULL ? branch : "");
	w->interval_ms = interval_ms;
	w->random = jitter_seed != 0 ? jitter_seed : 1;
	w->local = fetch_is_local(url);
	return w;
}

void
watch_settle(struct watch *w, const char *branch)
{
	if (strcmp(w->branch, branch) == 0)
		return;
	mem_free(w->branch);
	w->branch = mem_strdup(branch);
}

void
watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	mem_free(w->url);
	mem_free(w->branch);
	mem_free(w->git);
	mem_free(w->common);
	mem_free(w);
}

/* -- when ----------------------------------------------------------------- */

int64_t
watch_due_ms(const struct watch *w, int64_t mono_ms)
{
	if (w->asked || w->due_mono_ms <= mono_ms)
		return 0;
	return w->due_mono_ms - mono_ms;
}

void
watch_ask(struct watch *w)
{
	w->asked = true;
}

/* xorshift32: spreads servers that started together; no secret in it. */
static uint32_t
next_random(struct watch *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 17;
	w->random ^= w->random << 5;
	return w->random;
}

/* Nine to eleven tenths. */
static int64_t
jittered(struct watch *w, int64_t ms)
{
	int64_t spread = ms / 5;

	if (spread <= 0)
		return ms;
	return ms - ms / 10 +
	    (int64_t)(next_random(w) % (uint64_t)(spread + 1));
}

static bool
is_failure(enum fetch_outcome o)
{
	switch (o) {
	case FETCH_OK:
	case FETCH_UNCHANGED:
	/* The host answered: no reason to spare it. */
	case FETCH_BRANCH_MISSING:
	case FETCH_EMPTY:
		return false;
	case FETCH_DENIED:
	case FETCH_UNREACHABLE:
	case FETCH_TIMED_OUT:
	case FETCH_TOO_LARGE:
	case FETCH_FAILED:
		return true;
	}
	return true;
}

/* One second, and twice as much with each further failure. */
static int64_t
back_off(const struct watch *w)
{
	int64_t wait = WATCH_BACKOFF_MIN_MS;

	for (unsigned int i = 1; i < w->failures; i++) {
		wait *= 2;
		if (wait >= WATCH_BACKOFF_MAX_MS)
			return WATCH_BACKOFF_MAX_MS;
	}
	return wait;
}

void
watch_done(struct watch *w, enum fetch_outcome o, int64_t mono_ms)
{
	int64_t wait = w->interval_ms;

	w->asked = false;
	if (is_failure(o)) {
		if (w->failures < 32)
			w->failures++;
		wait = back_off(w);
	} else {
		w->failures = 0;
	}
	w->due_mono_ms = mono_ms + jittered(w, wait);
	if (w->due_mono_ms > mono_ms + WATCH_BACKOFF_MAX_MS && is_failure(o))
		w->due_mono_ms = mono_ms + WATCH_BACKOFF_MAX_MS;
}

/* -- a local repository's refs -------------------------------------------- */

/* The one line of a small file of Git's, or NULL. */
static char *
small_line(const char *path)
{
	AUTO_BUF b = { 0 };

	buf_init(&b, LINK_MAX_BYTES);
	if (file_read(&b, path, NULL) != ERR_OK)
		return NULL;
	return mem_strndup(b.data, strcspn(b.data, "\r\n"));
}

static char *
below(const char *dir, const char *path)
{
	return path[0] == '/' ? mem_strdup(path) : file_path(dir, path);
}

static char *
git_folder(const char *root)
{
	AUTO_STR dot_git = file_path(root, ".git");
	AUTO_STR line = NULL;
	struct stat st;

	if (stat(dot_git, &st) != 0)
		return mem_strdup(root);
	if (S_ISDIR(st.st_mode))
		return STEAL(dot_git);
	line = small_line(dot_git);
	if (line == NULL || strncmp(line, "gitdir: ", 8) != 0)
		return mem_strdup(root);
	return below(root, line + 8);
}

static void
find_folders(struct watch *w)
{
	AUTO_STR file = NULL;
	AUTO_STR line = NULL;

	w->git = git_folder(fetch_local_path(w->url));
	file = file_path(w->git, "commondir");
	line = small_line(file);
	w->common = line != NULL ? below(w->git, line) : mem_strdup(w->git);
}

static void
mix(uint64_t *look, uint64_t value)
{
	*look = (*look ^ value) * UINT64_C(0x100000001b3);
}

/* Git replaces ref files by renaming, so inode and time tell; a missing file
 * is a state too. */
static void
mix_stat(uint64_t *look, const char *dir, const char *name)
{
	AUTO_STR path = file_path(dir, name);
	struct stat st;

	if (stat(path, &st) != 0) {
		mix(look, (uint64_t)errno);
		return;
	}
	mix(look, (uint64_t)st.st_ino);
	mix(look, (uint64_t)st.st_size);
	mix(look, (uint64_t)st.st_mtim.tv_sec);
	mix(look, (uint64_t)st.st_mtim.tv_nsec);
}

/* The branch that is followed when none is named: HEAD's. */
static char *
followed_ref(const struct watch *w)
{
	AUTO_STR file = NULL;
	AUTO_STR line = NULL;

	if (w->branch[0] != '\0')
		return mem_printf("refs/heads/%s", w->branch);
	file = file_path(w->git, "HEAD");
	line = small_line(file);
	if (line == NULL || strncmp(line, "ref: refs/", 10) != 0)
		return mem_strdup("HEAD");
	return mem_strdup(line + 5);
}

bool
watch_local_changed(struct watch *w)
{
	AUTO_STR ref = NULL;
	uint64_t look = UINT64_C(0xcbf29ce484222325);
	bool changed;

	if (!w->local)
		return false;
	mem_free(STEAL(w->git));
	mem_free(STEAL(w->common));
	find_folders(w);
	ref = followed_ref(w);
	mix_stat(&look, w->git, "HEAD");
	mix_stat(&look, w->common, "packed-refs");
	mix_stat(&look, w->common, ref);
	/* The first look only takes note: a first fetch is due anyway. */
	changed = w->seen && look != w->look;
	w->seen = true;
	w->look = look;
	return changed;
}

/* -- what a tip means ----------------------------------------------------- */

static enum err_code
related(struct repo *r, const char *a, const char *b, bool *out, struct err *e)
{
	git_oid x, y, base;
	int rc;

	TRY(gitlib_oid(&x, a, e));
	TRY(gitlib_oid(&y, b, e));
	rc = git_merge_base(&base, r->git, &x, &y);
	if (rc != 0 && rc != GIT_ENOTFOUND)
		return gitlib_err(e, rc, "history of %.12s and %.12s", a, b);
	*out = rc == 0;
	return ERR_OK;
}

enum err_code
watch_classify(struct repo *r, const char *followed, const char *tip,
    enum watch_step *out, struct err *e)
{
	bool yes;

	if (strcmp(followed, tip) == 0) {
		*out = WATCH_SAME;
		return ERR_OK;
	}
	if (followed[0] == '\0') {
		*out = WATCH_FOLLOW;
		return ERR_OK;
	}
	TRY(repo_descends(r, followed, tip, &yes, e));
	if (yes) {
		*out = WATCH_FOLLOW;
		return ERR_OK;
	}
	TRY(related(r, followed, tip, &yes, e));
	*out = yes ? WATCH_REWRITTEN : WATCH_UNRELATED;
	return ERR_OK;
}
