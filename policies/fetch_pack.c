#include "policies/fetch_pack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <git2/refdb.h>
#include <git2/sys/odb_backend.h>
#include <git2/sys/repository.h>

#include "core/file.h"
#include "core/mem.h"

enum {
	EMPTY_PACK = 32, /* a head and a checksum */
	WRITE_STEP = 256 * 1024
};

#define PACKS "objects/pack"
#define REF_KNOWN "refs/heads/known"

static const char pack_name[] =
    "pack-0000000000000000000000000000000000000000.pack";

static struct {
	git_odb_backend backend;
	git_odb_writepack writer;
	char *path;
	FILE *file;
	int64_t bytes_max;
	int64_t *bytes;
} self;

static int
fail(int number)
{
	AUTO_STR text = mem_printf("%s: %s", self.path, strerror(number));

	git_error_set_str(GIT_ERROR_OS, text);
	return -1;
}

static int
append(git_odb_writepack *w, const void *data, size_t size,
    git_indexer_progress *stats)
{
	(void)w;
	(void)stats;
	*self.bytes += (int64_t)size;
	if (*self.bytes > self.bytes_max)
		return fail(EFBIG);
	return fwrite(data, 1, size, self.file) == size ? 0 : fail(errno);
}

static int
close_file(void)
{
	FILE *file = STEAL(self.file);

	return file == NULL || fclose(file) == 0 ? 0 : fail(errno);
}

static int
commit(git_odb_writepack *w, git_indexer_progress *stats)
{
	int rc = close_file();

	(void)w;
	(void)stats;
	if (rc == 0 && *self.bytes <= EMPTY_PACK)
		rc = unlink(self.path) == 0 ? 0 : fail(errno);
	return rc;
}

static void
writer_free(git_odb_writepack *w)
{
	(void)w;
	(void)close_file();
}

static int
write_pack(git_odb_writepack **out, git_odb_backend *backend, git_odb *odb,
    git_indexer_progress_cb progress, void *arg)
{
	(void)odb;
	(void)progress;
	(void)arg;
	*self.bytes = 0;
	self.file = fopen(self.path, "wxe");
	if (self.file == NULL)
		return fail(errno);
	(void)setvbuf(self.file, NULL, _IOFBF, WRITE_STEP);
	self.writer = (git_odb_writepack){ .backend = backend,
		.append = append,
		.commit = commit,
		.free = writer_free };
	*out = &self.writer;
	return 0;
}

static void
backend_free(git_odb_backend *backend)
{
	(void)backend;
	mem_free(STEAL(self.path));
}

static int
open_odb(git_odb **out, const char *known)
{
	int rc = git_odb_init_backend(&self.backend, GIT_ODB_BACKEND_VERSION);

	self.backend.writepack = write_pack;
	self.backend.free = backend_free;
	if (rc == 0)
		rc = git_odb_new(out);
	if (rc == 0)
		rc = git_odb_add_backend(*out, &self.backend, 1);
	if (rc == 0)
		rc = git_odb_add_disk_alternate(*out, known);
	return rc;
}

enum err_code
fetch_pack_open(git_repository **out, const char *mirror, const char *incoming,
    int64_t bytes_max, int64_t *bytes, struct err *e)
{
	AUTO_STR known = file_path(mirror, "objects");
	GITLIB_AUTO(odb, odb);
	int rc;

	self.path = mem_printf("%s/" PACKS "/%s", incoming, pack_name);
	self.bytes_max = bytes_max;
	self.bytes = bytes;
	rc = open_odb(&odb, known);
	if (rc == 0)
		rc = git_repository_wrap_odb(out, odb);
	return rc == 0 ? ERR_OK : gitlib_err(e, rc, "%s", known);
}

/* -- a folder for it ------------------------------------------------------ */

static enum err_code
write_line(const char *dir, const char *name, const char *line, struct err *e)
{
	AUTO_STR path = file_path(dir, name);
	FILE *file = fopen(path, "wxe");
	bool failed;

	if (file == NULL)
		return err_errno(e, "%s", path);
	failed = fprintf(file, "%s\n", line) < 0;
	failed |= fclose(file) != 0;
	return failed ? err_errno(e, "%s", path) : ERR_OK;
}

static bool
is_there(git_repository *git, const char *hex)
{
	GITLIB_AUTO(odb, odb);
	git_oid id;

	return git_repository_odb(&odb, git) == 0 &&
	    git_oid_fromstr(&id, hex) == 0 && git_odb_exists(odb, &id);
}

/* As little as libgit2 takes for a repository, and nothing of it synced: it is
 * gone after the fetch. */
static enum err_code
make_folder(git_repository *git, const char *incoming, const char *known,
    struct err *e)
{
	AUTO_STR packs = file_path(incoming, PACKS);
	AUTO_STR refs = file_path(incoming, "refs/heads");

	TRY(file_make_dirs(packs, e));
	TRY(file_make_dirs(refs, e));
	TRY(write_line(incoming, "HEAD", "ref: " REF_KNOWN, e));
	if (known[0] != '\0' && is_there(git, known))
		return write_line(incoming, REF_KNOWN, known, e);
	return ERR_OK;
}

enum err_code
fetch_pack_begin(git_repository *git, const char *incoming, const char *known,
    struct err *e)
{
	git_repository *files = NULL; /* used until the process ends */
	git_refdb *refs = NULL;
	int rc;

	TRY(make_folder(git, incoming, known, e));
	rc = git_repository_open_ext(&files, incoming,
	    GIT_REPOSITORY_OPEN_NO_SEARCH | GIT_REPOSITORY_OPEN_BARE |
		GIT_REPOSITORY_OPEN_NO_DOTGIT,
	    NULL);
	if (rc == 0)
		rc = git_repository_refdb(&refs, files);
	if (rc == 0)
		rc = git_repository_set_refdb(git, refs);
	git_refdb_free(refs);
	return rc == 0 ? ERR_OK : gitlib_err(e, rc, "%s", incoming);
}
