/* How long bundles take, beside other tools on the same machine and the same
 * repository. Started by bench/build. Other ways in: `bench_build cold` is one
 * build in a process of its own, so that its memory can be told; `bench_build
 * make` only makes a repository. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/repository.h"
#include "bench/series.h"
#include "bundler/bundle.h"
#include "core/file.h"
#include "core/mem.h"
#include "policies/repo.h"
#include "signing/jws.h"
#include "signing/key.h"

enum {
	STEPS = 40, /* commits that change one file */
	ROUNDS_MAX = STEPS,
	OPA_ROUNDS = 1,         /* it takes a hundred times as long */
	OPA_FILES_OFTEN = 1000, /* up to here it takes part in each round */
	LIMIT_MAX_S = 24 * 3600
};

static void
check(enum err_code code, const struct err *e)
{
	if (code == ERR_OK)
		return;
	(void)fprintf(stderr, "bench: %s\n", e->text);
	exit(1);
}

/* ---- one build ---- */

struct built {
	struct buf content, signed_bytes;
	size_t files;
	int64_t unpacked;
};

static void
built_clear(struct built *b)
{
	buf_clear(&b->content);
	buf_clear(&b->signed_bytes);
}

/* From the commit's id to signed bytes in memory. */
static void
build(struct built *out, struct repo *r, const char *commit,
    const struct key *k, const struct bundle_means *means)
{
	AUTO(tree, t) = NULL;
	AUTO(definition, d) = NULL;
	AUTO(bundle, b) = NULL;
	struct jws_file *list;
	AUTO_BUF jws = { 0 };
	struct err e = { 0 };

	*out = (struct built){ 0 };
	buf_init(&out->content, (size_t)BUNDLE_SIZE_MAX);
	buf_init(&out->signed_bytes, (size_t)BUNDLE_SIZE_MAX);
	buf_init(&jws, JWS_SIZE_MAX);
	check(repo_tree(r, commit, &t, &e), &e);
	check(definition_read(&d, t, &e), &e);
	check(bundle_plan_with(&b, t, d->bundles.items, means, &e), &e);
	check(bundle_pack_with(&out->content, b, means, &e), &e);
	list = bundle_jws_files(b);
	check(jws_sign(&jws, k, b->name, list, b->count, &e), &e);
	mem_free(list);
	check(bundle_sign_pack_with(&out->signed_bytes, out->content.data,
		  out->content.len, jws.data, jws.len, means, &e),
	    &e);
	out->files = b->count;
	out->unpacked = b->unpacked;
}

static struct key *
read_key(const char *file)
{
	struct key *k = NULL;
	struct err e = { 0 };
	AUTO_BUF text = { 0 };

	buf_init(&text, KEY_FILE_MAX);
	check(file_read(&text, file, &e), &e);
	check(key_read_private(&k, "bench", KEY_RS256, file, text.data,
		  text.len, &e),
	    &e);
	return k;
}

static void
write_key(const char *file)
{
	AUTO(key, k) = NULL;
	struct err e = { 0 };
	AUTO_BUF text = { 0 };

	buf_init(&text, KEY_FILE_MAX);
	check(key_generate(&k, "bench", KEY_RS256, &e), &e);
	key_write_private(&text, k);
	check(file_replace(file, text.data, text.len, 0600, &e), &e);
}

/* cold THREADS REPOSITORY KEY OUT: says its own peak memory. */
static int
cold(char **argv)
{
	const struct bundle_means means = {
		.threads = (unsigned int)strtoul(argv[0], NULL, 10)
	};
	AUTO(repo, r) = NULL;
	AUTO(key, k) = read_key(argv[2]);
	char commit[TREE_ID_SIZE];
	struct err e = { 0 };
	struct built b;
	int fd = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	check(repo_discover(&r, argv[1], &e), &e);
	check(repo_resolve(r, "HEAD", commit, &e), &e);
	build(&b, r, commit, k, &means);
	check(file_write_all(fd, b.signed_bytes.data, b.signed_bytes.len, &e),
	    &e);
	(void)close(fd);
	(void)printf("%.1f\n", series_peak_mb());
	built_clear(&b);
	return 0;
}

/* ---- commits of one file, with what is known from the one before ---- */

/* A process of its own that builds the next commit whenever it is sent a byte,
 * and answers with this. */
struct step {
	struct series_sample sample;
	size_t files, content_len, signed_len;
	int64_t unpacked;
};

static void
same_bytes(const struct built *warm, struct repo *r, const char *commit,
    const struct key *k)
{
	static const struct bundle_means alone = { .threads = 1 };
	struct built b;

	build(&b, r, commit, k, &alone);
	if (b.signed_bytes.len != warm->signed_bytes.len ||
	    memcmp(b.signed_bytes.data, warm->signed_bytes.data,
		b.signed_bytes.len) != 0) {
		(void)fprintf(stderr,
		    "bench: %s: other bytes with a cache than without\n",
		    commit);
		exit(1);
	}
	built_clear(&b);
}

static void
answer(int to, const struct step *s)
{
	if (write(to, s, sizeof *s) != (ssize_t)sizeof *s)
		exit(1);
}

static void
build_step(int to, struct repo *r, unsigned int n, const struct key *k,
    const struct bundle_means *means)
{
	AUTO_STR rev = mem_printf("HEAD~%u", n);
	double wall_ms = series_now_ms(), cpu_ms = series_cpu_ms();
	char commit[TREE_ID_SIZE];
	struct built b;
	struct err e = { 0 };

	check(repo_resolve(r, rev, commit, &e), &e);
	build(&b, r, commit, k, means);
	const struct step s = { .sample = { series_now_ms() - wall_ms,
				    series_cpu_ms() - cpu_ms,
				    series_peak_mb() },
		.files = b.files,
		.content_len = b.content.len,
		.signed_len = b.signed_bytes.len,
		.unpacked = b.unpacked };
	if (n == 0)
		same_bytes(&b, r, commit, k);
	answer(to, &s);
	built_clear(&b);
}

static void
warm(int fd, const char *dir, const char *key_file)
{
	AUTO(repo, r) = NULL;
	AUTO(key, k) = read_key(key_file);
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	const struct bundle_means means = { .threads = 2, .cache = cache };
	unsigned int n = STEPS;
	struct err e = { 0 };
	char c;

	check(repo_discover(&r, dir, &e), &e);
	while (read(fd, &c, 1) == 1 && n <= STEPS)
		build_step(fd, r, n--, k, &means);
}

static int
start_warm(pid_t *pid, const char *dir, const char *key_file)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0 ||
	    (*pid = fork()) < 0)
		abort();
	if (*pid == 0) {
		(void)close(fds[0]);
		warm(fds[1], dir, key_file);
		exit(0);
	}
	(void)close(fds[1]);
	return fds[0];
}

static void
next_step(int fd, struct step *s)
{
	if (write(fd, "", 1) != 1 ||
	    recv(fd, s, sizeof *s, MSG_WAITALL) != (ssize_t)sizeof *s)
		exit(1); /* it has said why */
}

/* ---- all of them in turn ---- */

struct scene {
	char *repository, *key, *out, *git_out, *opa_out;
	struct series git, one, two, opa, step;
	struct step last;
};

static struct series
series_of(const char *name, size_t rounds, const char *const *args)
{
	struct series s = { .name = name, .rounds = rounds };

	for (size_t i = 0; args[i] != NULL; i++)
		s.args[i] = args[i];
	return s;
}
#define SERIES(name, rounds, ...) \
	series_of(name, rounds, (const char *const[]){ __VA_ARGS__, NULL })

static void
scene_init(struct scene *s, const char *dir, size_t files, size_t rounds,
    const char *opa)
{
	static const char self[] = "/proc/self/exe";

	*s = (struct scene){ .repository = mem_printf("%s/repository", dir),
		.key = mem_printf("%s/key", dir),
		.out = mem_printf("%s/bundle.tar.gz", dir),
		.git_out = mem_printf("%s/git.tar.gz", dir),
		.opa_out = mem_printf("%s/opa.tar.gz", dir) };
	s->git = SERIES("git archive", rounds, "git", "archive",
	    "--format=tar.gz", "-o", s->git_out, "HEAD");
	s->one = SERIES("cold, signed, 1 thread", rounds, self, "cold", "1",
	    s->repository, s->key, s->out);
	s->two = SERIES("cold, signed, 2 threads", rounds, self, "cold", "2",
	    s->repository, s->key, s->out);
	s->opa = SERIES("opa build", rounds, opa, "build", "-b", ".", "-o",
	    s->opa_out);
	if (files > OPA_FILES_OFTEN)
		s->opa.rounds = OPA_ROUNDS;
	if (*opa == '\0')
		s->opa.rounds = 0;
	s->step = (struct series){ .name = "one-file commit, signed" };
}

static void
scene_clear(struct scene *s)
{
	mem_free(s->repository);
	mem_free(s->key);
	mem_free(s->out);
	mem_free(s->git_out);
	mem_free(s->opa_out);
}

static void
take_turns(struct scene *s, size_t rounds)
{
	struct series *const turns[] = { &s->git, &s->one, &s->two, &s->opa };
	pid_t pid;
	int fd = start_warm(&pid, s->repository, s->key);

	next_step(fd, &s->last); /* from nothing: does not count */
	for (size_t i = 0; i < rounds; i++) {
		for (size_t k = 0; k < sizeof turns / sizeof *turns; k++) {
			if (i < turns[k]->rounds)
				series_run(turns[k], s->repository);
		}
		for (size_t n = STEPS * i / rounds;
		     n < STEPS * (i + 1) / rounds; n++) {
			next_step(fd, &s->last);
			series_add(&s->step, &s->last.sample);
		}
	}
	(void)close(fd);
	(void)waitpid(pid, NULL, 0);
}

/* ---- what came of it ---- */

static int64_t
size_of(const char *file)
{
	struct stat st;

	return stat(file, &st) == 0 ? (int64_t)st.st_size : 0;
}

static void
print_sizes(const struct scene *s)
{
	(void)printf("\nfiles %zu, unpacked %.1f MB\n"
		     "without signatures        %zu bytes (git archive %lld)\n"
		     ".signatures.json adds     %zu bytes\n",
	    s->last.files, (double)s->last.unpacked / 1e6, s->last.content_len,
	    (long long)size_of(s->git_out),
	    s->last.signed_len - s->last.content_len);
}

/* A part of, or times as much as, another: by the clock, and by processor time,
 * which tells more where others use the machine. */
static void
print_ratio(const char *what, const struct series *x, const struct series *y,
    const char *wanted)
{
	(void)printf("%-40s %8.3f  %9.3f   %s\n", what,
	    series_wall_ms(x) / series_wall_ms(y),
	    series_cpu_median_ms(x) / series_cpu_median_ms(y), wanted);
}

static void
print_figure(const char *what, double here, const char *wanted)
{
	(void)printf("%-40s %8.3f  %9s   %s\n", what, here, "", wanted);
}

static void
print_opa(const struct scene *s)
{
	static const char wanted[] = "20 at least";

	if (s->opa.late)
		print_figure("opa build / cold, 2 threads: more than",
		    s->opa.limit_s * 1e3 / series_wall_ms(&s->two), wanted);
	else if (s->opa.count > 0)
		print_ratio("opa build / cold, 2 threads", &s->opa, &s->two,
		    wanted);
}

static void
print_ratios(const struct scene *s)
{
	double unpacked = (double)s->last.unpacked / 1e6;

	(void)printf("\n%-40s %8s  %9s   %s\n", "", "here", "processor",
	    "wanted");
	print_ratio("cold, 1 thread / git archive", &s->one, &s->git,
	    "0.75 at most, at 10,000 files");
	print_ratio("cold, 2 threads / git archive", &s->two, &s->git,
	    "0.5 at most, at 10,000 files");
	print_opa(s);
	print_ratio("git archive / one-file commit", &s->git, &s->step,
	    "30 at least");
	print_ratio("cold, 2 threads / one-file commit", &s->two, &s->step,
	    "-");
	print_figure("one-file commit, ms", series_wall_ms(&s->step),
	    "25 at most, at 10,000 files");
	print_figure("peak memory, 1 thread / unpacked",
	    series_peak_max_mb(&s->one) / unpacked, "4 at most");
	print_figure("peak memory, 2 threads / unpacked",
	    series_peak_max_mb(&s->two) / unpacked, "4 at most");
	print_figure("size without signatures / git archive",
	    (double)s->last.content_len / (double)size_of(s->git_out),
	    "1.05 at most");
}

static void
print(const struct scene *s, size_t files, size_t rounds)
{
	const struct series *const rows[] = { &s->git, &s->one, &s->two,
		&s->step, &s->opa };

	(void)printf("\n==== %zu policies, %zu rounds ====\n\n", files, rounds);
	series_head();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		series_print(rows[i], &s->git);
	print_sizes(s);
	print_ratios(s);
	(void)fflush(stdout);
}

/* ---- the ways in ---- */

static size_t
number(const char *text, const char *what, size_t max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || n < 1 || n > max) {
		(void)fprintf(stderr, "bench: %s: 1 to %zu %s\n", text, max,
		    what);
		exit(2);
	}
	return n;
}

/* measure DIR FILES ROUNDS OPA LIMIT */
static int
measure(char **argv)
{
	size_t files = number(argv[1], "policies", REPOSITORY_FILES_MAX),
	       rounds = number(argv[2], "rounds", ROUNDS_MAX);
	static struct scene s;

	scene_init(&s, argv[0], files, rounds, argv[3]);
	s.opa.limit_s = (unsigned int)number(argv[4], "seconds", LIMIT_MAX_S);
	repository_make(s.repository, files, STEPS, false);
	write_key(s.key);
	take_turns(&s, rounds);
	print(&s, files, rounds);
	scene_clear(&s);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "cold") == 0)
		return cold(&argv[2]);
	if (argc == 7 && strcmp(argv[1], "measure") == 0)
		return measure(&argv[2]);
	if (argc == 4 && strcmp(argv[1], "make") == 0) {
		repository_make(argv[2],
		    number(argv[3], "policies", REPOSITORY_FILES_MAX), 0, true);
		return 0;
	}
	(void)fprintf(stderr, "started by bench/build and bench/push\n");
	return 2;
}
