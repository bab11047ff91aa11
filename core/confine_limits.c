#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/confine_parts.h"
#include "core/file.h"
#include "core/mem.h"

uint64_t
confine_count_tasks(uid_t uid)
{
	struct file_names names;
	uint64_t tasks = 0;
	struct err ignored;

	if (file_list(&names, "/proc", 1 << 22, &ignored) != ERR_OK)
		return 0;
	for (size_t i = 0; i < names.count; i++) {
		AUTO_STR path = NULL;
		AUTO_BUF text = { 0 };
		const char *uids;
		const char *threads;

		if (names.names[i][0] < '1' || names.names[i][0] > '9')
			continue;
		path = mem_printf("/proc/%s/status", names.names[i]);
		buf_init(&text, 64 * 1024);
		if (file_read(&text, path, &ignored) != ERR_OK)
			continue; /* it has just ended */
		uids = strstr(text.data, "\nUid:");
		threads = strstr(text.data, "\nThreads:");
		if (uids != NULL && threads != NULL &&
		    strtoul(uids + 5, NULL, 10) == uid)
			tasks += strtoul(threads + 9, NULL, 10);
	}
	file_names_clear(&names);
	return tasks;
}

static enum err_code
limit(int resource, const char *name, uint64_t soft, uint64_t hard,
    struct err *e)
{
	struct rlimit now;
	struct rlimit wanted = { .rlim_cur = soft, .rlim_max = hard };

	if (getrlimit((__rlimit_resource_t)resource, &now) != 0)
		return err_errno(e, "confinement: %s", name);
	if (wanted.rlim_max > now.rlim_max)
		wanted.rlim_max = now.rlim_max;
	if (wanted.rlim_cur > wanted.rlim_max)
		wanted.rlim_cur = wanted.rlim_max;
	if (setrlimit((__rlimit_resource_t)resource, &wanted) != 0)
		return err_errno(e, "confinement: %s", name);
	return ERR_OK;
}

static enum err_code
limit_writing(const struct confine_rules *r, struct err *e)
{
	uint64_t max = r->no_file_growth ? 0 : r->file_size_max;

	if (!r->no_file_growth && max == 0)
		return ERR_OK;
	/* So that a write fails and can be reported. */
	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return err_errno(e, "confinement: SIGXFSZ");
	return limit(RLIMIT_FSIZE, "RLIMIT_FSIZE", max, max, e);
}

enum err_code
confine_limits(const struct confine_rules *r, uint64_t tasks, struct err *e)
{
	TRY(limit(RLIMIT_CORE, "RLIMIT_CORE", 0, 0, e));
	TRY(limit_writing(r, e));
	if (r->cpu_seconds > 0)
		TRY(limit(RLIMIT_CPU, "RLIMIT_CPU", r->cpu_seconds,
		    r->cpu_seconds + 1, e));
	if (r->files_max > 0)
		TRY(limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", r->files_max,
		    r->files_max, e));
	if (r->threads_extra > 0)
		TRY(limit(RLIMIT_NPROC, "RLIMIT_NPROC",
		    tasks + r->threads_extra, tasks + r->threads_extra, e));
#ifdef EDICT_SANITIZED
	/* The shadow memory of this process is larger than any limit; a
	 * program that is executed starts afresh. */
	if ((r->calls & CONFINE_EXEC) == 0)
		return ERR_OK;
#endif
	if (r->data_max > 0)
		TRY(limit(RLIMIT_DATA, "RLIMIT_DATA", r->data_max, r->data_max,
		    e));
	return ERR_OK;
}
