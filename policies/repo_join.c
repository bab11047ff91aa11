/* The last step of a join: one pack goes in, what it replaces goes out. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "policies/join_private.h"
#include "policies/objects.h"
#include "policies/repo_private.h"

static enum err_code
remove_file(const char *path, struct err *e)
{
	if (unlink(path) != 0 && errno != ENOENT)
		return err_errno(e, "%s: remove", path);
	return ERR_OK;
}

/* The index goes first: a pack without one is not seen, and removed at the next
 * start. */
static enum err_code
remove_pack(const char *packs, const char *id, struct err *e)
{
	AUTO_STR index = mem_printf("%s/pack-%s.idx", packs, id);
	AUTO_STR pack = mem_printf("%s/pack-%s.pack", packs, id);

	TRY(remove_file(index, e));
	return remove_file(pack, e);
}

static enum err_code
remove_old(const struct join *j, const char *objects, struct err *e)
{
	AUTO_STR packs = file_path(objects, "pack");

	for (size_t i = 0; i < j->pack_count; i++)
		if (strcmp(j->packs[i], j->made) != 0)
			TRY(remove_pack(packs, j->packs[i], e));
	for (size_t i = 0; i < j->loose_count; i++) {
		AUTO_STR path = mem_printf("%s/%.2s/%s", objects, j->loose[i],
		    j->loose[i] + 2);

		TRY(remove_file(path, e));
	}
	return file_sync_dir(packs, e);
}

/* A pack is named by what it holds, so there may be one of this name. That one
 * was not verified just now and gives way: its index first, since it need not fit
 * another pack with the same objects. */
static enum err_code
publish(const struct join *j, const char *objects, const char *incoming,
    struct err *e)
{
	AUTO_STR from = file_path(incoming, JOIN_VERIFIED);
	AUTO_STR packs = file_path(objects, "pack");
	AUTO_STR there = mem_printf("%s/pack-%s.idx", packs, j->made);

	TRY(remove_file(there, e));
	return objects_move_packs(from, packs, e);
}

enum err_code
repo_join(struct repo *r, const struct join *j, const char *incoming,
    struct err *e)
{
	AUTO_STR objects = file_path(r->dir, "objects");

	TRY(publish(j, objects, incoming, e));
	TRY(repo_reopen(r, e));
	TRY(remove_old(j, objects, e));
	/* Not before: opening once more is cheap, and lets go of files. */
	TRY(repo_reopen(r, e));
	log_info("repo.joined", "path=%s packs=%zu loose=%zu", r->dir,
	    j->pack_count, j->loose_count);
	return ERR_OK;
}
