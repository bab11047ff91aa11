#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/confine_parts.h"
#include "core/mem.h"

/* seccomp filters as the kernel takes them. libseccomp works longer on one than
 * all the rest of a short child takes, so each is kept, and a process that is
 * forked later finds it. The only thing in it that differs from process to
 * process is the own number, which is put in where a mark stands. */

enum { KEPT_MAX = 16, CODE_MAX = BPF_MAXINSNS };

struct kept {
	unsigned int calls;
	int abi;
	unsigned short len; /* 0: the slot is free */
	struct sock_filter *code;
};

static struct kept kept[KEPT_MAX];
static size_t kept_next;

static struct kept *
find(unsigned int calls, int abi)
{
	for (size_t i = 0; i < KEPT_MAX; i++)
		if (kept[i].len > 0 && kept[i].calls == calls &&
		    kept[i].abi == abi)
			return &kept[i];
	return NULL;
}

/* Only where a comparison with the mark is: then the number decides what the
 * mark would have. */
static bool
is_marked(const struct sock_filter *f)
{
	return f->k == CONFINE_PID_MARK &&
	    f->code == (BPF_JMP | BPF_JEQ | BPF_K);
}

static bool
has_marks(const struct sock_filter *code, size_t len)
{
	size_t marks = 0;

	for (size_t i = 0; i < len; i++)
		marks += is_marked(&code[i]);
	return marks > 0;
}

/* libseccomp writes to descriptors alone; what a pipe holds is more than the
 * longest filter. */
static enum err_code
export_code(struct sock_filter *code, size_t *len, scmp_filter_ctx ctx,
    struct err *e)
{
	int ends[2];
	ssize_t n;
	int result;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return err_errno(e, "confinement: seccomp");
	result = seccomp_export_bpf(ctx, ends[1]);
	n = read(ends[0], code, CODE_MAX * sizeof *code);
	close(ends[0]);
	close(ends[1]);
	if (result != 0 || n <= 0) {
		errno = result != 0 ? -result : EIO;
		return err_errno(e, "confinement: seccomp");
	}
	*len = (size_t)n / sizeof *code;
	if ((size_t)n % sizeof *code != 0 || *len == CODE_MAX ||
	    !has_marks(code, *len))
		return err_set(e, ERR_UNSUPPORTED,
		    "confinement: libseccomp made a filter of another form");
	return ERR_OK;
}

static enum err_code
make(struct kept *out, unsigned int calls, int abi, struct err *e)
{
	scmp_filter_ctx ctx = NULL;
	struct sock_filter *code;
	enum err_code result;
	size_t len = 0;

	TRY(confine_filter_build(&ctx, calls, abi, e));
	code = mem_array(CODE_MAX, sizeof *code);
	result = export_code(code, &len, ctx, e);
	seccomp_release(ctx);
	if (result == ERR_OK) {
		mem_free(out->code);
		*out = (struct kept){ .calls = calls,
			.abi = abi,
			.len = (unsigned short)len,
			.code = mem_array(len, sizeof *code) };
		memcpy(out->code, code, len * sizeof *code);
	}
	mem_free(code);
	return result;
}

static enum err_code
find_or_make(struct kept **out, unsigned int calls, int abi, struct err *e)
{
	*out = find(calls, abi);
	if (*out != NULL)
		return ERR_OK;
	*out = &kept[kept_next];
	TRY(make(*out, calls, abi, e));
	kept_next = (kept_next + 1) % KEPT_MAX;
	return ERR_OK;
}

enum err_code
confine_seccomp(const struct confine_rules *r, int abi, struct err *e)
{
	struct sock_fprog program = { 0 };
	uint32_t self = (uint32_t)getpid();
	struct kept *k;
	long result;

	TRY(find_or_make(&k, r->calls, abi, e));
	program.len = k->len;
	program.filter = mem_array(k->len, sizeof *k->code);
	memcpy(program.filter, k->code, k->len * sizeof *k->code);
	for (size_t i = 0; i < k->len; i++)
		if (is_marked(&program.filter[i]))
			program.filter[i].k = self;
	result = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
	mem_free(program.filter);
	return result == 0 ? ERR_OK : err_errno(e, "confinement: seccomp");
}

void
confine_prepare(const struct confine_rules *r)
{
	struct err ignored;
	struct kept *k;

	if (confine_has_seccomp() &&
	    find_or_make(&k, r->calls, confine_landlock_abi(), &ignored) !=
		ERR_OK)
		return; /* confine_self says why */
}
