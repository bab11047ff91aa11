/* How long bundles take, beside other tools on the same machine and the same
 * repository. Started by bench/build; the other way in, `bench_build cold`, is
 * one build in a process of its own, so that its memory can be told. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bundler/bundle.h"
#include "core/file.h"
#include "core/mem.h"
#include "policies/repo.h"
#include "signing/jws.h"
#include "signing/key.h"

enum {
	PER_FOLDER = 20,
	POLICY_SIZE = 2048,
	DATA_KEYS = 100,
	STEPS = 40, /* commits that change one file */
	ROUNDS_MAX = 99,
	OPA_ROUNDS = 1, /* it takes a hundred times as long */
	ARGS_MAX = 12
};

static void
check(enum err_code code, const struct err *e)
{
	if (code == ERR_OK)
		return;
	(void)fprintf(stderr, "bench: %s\n", e->text);
	exit(1);
}

static double
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* -- the repository ------------------------------------------------------- */

static uint32_t seed = 20261123;

static uint32_t
dice(uint32_t sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % sides;
}

static const char *
word(void)
{
	static const char *const words[] = { "allow", "deny", "user", "role",
		"input", "request", "resource", "action", "owner", "team",
		"service", "region", "limit", "quota", "group", "member",
		"admin", "token", "method", "path", "host", "tenant", "cluster",
		"namespace", "image", "label", "port", "scope", "policy",
		"rule", "match", "level", "audit", "trace" };

	return words[dice(sizeof words / sizeof words[0])];
}

static void
put_file(FILE *git, const char *path, const struct buf *text)
{
	(void)fprintf(git, "M 100644 inline %s\ndata %zu\n", path, text->len);
	(void)fwrite(text->data, 1, text->len, git);
	(void)fputc('\n', git);
}

static void
put_policy(FILE *git, size_t i)
{
	size_t team = i / 1000, service = i / PER_FOLDER;
	AUTO_STR path =
	    mem_printf("policies/t%zu/s%zu/f%zu.rego", team, service, i);
	AUTO_BUF b = { 0 };

	buf_init(&b, POLICY_SIZE * 2);
	buf_printf(&b,
	    "# Rules of service %zu\npackage policies.t%zu.s%zu.f%zu\n\n"
	    "import data.policies.t%zu.s%zu.limits\n\n"
	    "default allow := false\n\n",
	    i, team, service, i, team, service);
	for (size_t k = 0; b.len < POLICY_SIZE - 60; k++) {
		const char *noun = word(), *field = word();

		buf_printf(&b,
		    "%s_%s_%zu if {\n\tinput.%s.%s == \"%s-%06x\"\n"
		    "\tinput.%s.%s > %u\n}\n\n",
		    noun, field, k, word(), noun, field, dice(1 << 24), word(),
		    field, dice(10000));
	}
	put_file(git, path, &b);
}

static void
put_data(FILE *git, size_t i)
{
	AUTO_STR path = mem_printf("policies/t%zu/s%zu/data.json", i / 1000,
	    i / PER_FOLDER);
	AUTO_BUF b = { 0 };

	buf_init(&b, 1 << 16);
	buf_add_str(&b, "{\"limits\": {");
	for (unsigned int k = 0; k < DATA_KEYS; k++)
		buf_printf(&b, "%s\"%s%u\": %u", k > 0 ? ", " : "", word(), k,
		    dice(1000000));
	buf_add_str(&b, "}}\n");
	put_file(git, path, &b);
}

static void
start_commit(FILE *git, unsigned int n)
{
	(void)fprintf(git,
	    "commit refs/heads/main\ncommitter A <a@example.org> %u +0000\n"
	    "data 1\nx\n",
	    1700000000 + n);
}

static void
shell(char *command)
{
	if (system(command) != 0) {
		(void)fprintf(stderr, "bench: failed: %s\n", command);
		exit(1);
	}
	mem_free(command);
}

static void
make_repository(const char *dir, size_t files)
{
	AUTO_STR command = mem_printf("git -C '%s' fast-import --quiet", dir);
	FILE *git;

	shell(mem_printf("git init -q -b main '%s'", dir));
	git = popen(command, "w");
	if (git == NULL)
		abort();
	start_commit(git, 0);
	for (size_t i = 0; i < files; i++) {
		put_policy(git, i);
		if (i % PER_FOLDER == 0)
			put_data(git, i);
	}
	for (unsigned int n = 1; n <= STEPS; n++) {
		start_commit(git, n);
		put_policy(git, dice((uint32_t)files));
	}
	if (pclose(git) != 0)
		exit(1);
	shell(mem_printf("git -C '%s' repack -adq", dir));
	shell(mem_printf("git -C '%s' reset -q --hard", dir));
}

/* -- one build ------------------------------------------------------------ */

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
	check(bundle_sign_pack(&out->signed_bytes, out->content.data,
		  out->content.len, jws.data, jws.len, &e),
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

/* cold THREADS REPOSITORY KEY OUT: prints what only this process knows. */
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
	built_clear(&b);
	return 0;
}

/* -- taking turns --------------------------------------------------------- */

struct series {
	const char *name;
	const char *args[ARGS_MAX];
	size_t rounds;
	double wall[ROUNDS_MAX], cpu[ROUNDS_MAX];
	long peak_kib;
	size_t count;
};

static double
seconds(const struct timeval *t)
{
	return (double)t->tv_sec * 1e3 + (double)t->tv_usec / 1e3;
}

static void
run(struct series *s, const char *dir)
{
	double start = now_ms();
	struct rusage use;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		char *args[ARGS_MAX] = { 0 };

		for (size_t i = 0; s->args[i] != NULL; i++)
			args[i] = mem_strdup(s->args[i]);
		if (chdir(dir) == 0)
			(void)execvp(args[0], args);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &use) != pid || status != 0) {
		(void)fprintf(stderr, "bench: %s failed\n", s->name);
		exit(1);
	}
	s->wall[s->count] = now_ms() - start;
	s->cpu[s->count++] = seconds(&use.ru_utime) + seconds(&use.ru_stime);
	if (use.ru_maxrss > s->peak_kib)
		s->peak_kib = use.ru_maxrss;
}

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *list, size_t count)
{
	qsort(list, count, sizeof *list, compare_doubles);
	return list[count / 2];
}

static void
print_series(struct series *s, double git_wall, double git_cpu)
{
	double wall, cpu;

	if (s->count == 0)
		return;
	wall = median(s->wall, s->count);
	cpu = median(s->cpu, s->count);
	(void)printf("%-26s %8.0f  %8.0f-%-8.0f %6.2f  %8.0f %6.2f  %7ld\n",
	    s->name, wall, s->wall[0], s->wall[s->count - 1], wall / git_wall,
	    cpu, cpu / git_cpu, s->peak_kib / 1024);
}

static int64_t
size_of(const char *file)
{
	struct stat st;

	return stat(file, &st) == 0 ? (int64_t)st.st_size : 0;
}

/* -- commits of one file, with what is known from the one before ---------- */

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
warm(struct built *last, const char *dir, const char *key_file,
    struct series *s)
{
	AUTO(repo, r) = NULL;
	AUTO(key, k) = read_key(key_file);
	AUTO(bundle_cache, cache) = bundle_cache_new(BUNDLE_CACHE_MAX);
	const struct bundle_means means = { .threads = 2, .cache = cache };
	struct err e = { 0 };

	check(repo_discover(&r, dir, &e), &e);
	for (int n = STEPS; n >= 0; n--) {
		AUTO_STR rev = mem_printf("HEAD~%d", n);
		char commit[TREE_ID_SIZE];
		double start;
		clock_t cpu;

		check(repo_resolve(r, rev, commit, &e), &e);
		built_clear(last);
		start = now_ms();
		cpu = clock();
		build(last, r, commit, k, &means);
		if (n < STEPS) {
			s->wall[s->count] = now_ms() - start;
			s->cpu[s->count++] = (double)(clock() - cpu) * 1e3 /
			    (double)CLOCKS_PER_SEC;
		}
		if (n % 10 == 0)
			same_bytes(last, r, commit, k);
	}
}

static void
print_sizes(const struct built *b, int64_t git_size, int64_t opa_size,
    long peak_kib)
{
	double unpacked = (double)b->unpacked;

	(void)
	    printf("\nfiles %zu, unpacked %.1f MB\n"
		   "size without signatures  %zu bytes, %.3f of git archive "
		   "(%lld), opa build %lld\n"
		   "signatures               %zu bytes\n"
		   "peak memory              %.2f times the unpacked bundle\n",
		b->files, unpacked / 1e6, b->content.len,
		(double)b->content.len / (double)git_size, (long long)git_size,
		(long long)opa_size, b->signed_bytes.len - b->content.len,
		(double)peak_kib * 1024 / unpacked);
}

static int
measure(const char *dir, size_t files, size_t rounds, const char *opa)
{
	AUTO_STR repository = mem_printf("%s/repository", dir);
	AUTO_STR key = mem_printf("%s/key", dir);
	AUTO_STR out = mem_printf("%s/bundle.tar.gz", dir);
	AUTO_STR git_out = mem_printf("%s/git.tar.gz", dir);
	AUTO_STR opa_out = mem_printf("%s/opa.tar.gz", dir);
	struct series git = { "git archive",
		{ "git", "archive", "--format=tar.gz", "-o", git_out, "HEAD" },
		rounds, { 0 }, { 0 }, 0, 0 };
	struct series one = { "cold, signed, 1 thread",
		{ "/proc/self/exe", "cold", "1", repository, key, out }, rounds,
		{ 0 }, { 0 }, 0, 0 };
	struct series two = { "cold, signed, 2 threads",
		{ "/proc/self/exe", "cold", "2", repository, key, out }, rounds,
		{ 0 }, { 0 }, 0, 0 };
	struct series engine = { "opa build",
		{ opa, "build", "-b", ".", "-o", opa_out }, OPA_ROUNDS, { 0 },
		{ 0 }, 0, 0 };
	struct series step = { .name = "one-file commit, signed" };
	struct series *const turns[] = { &git, &one, &two, &engine };
	struct built last = { 0 };
	double git_wall, git_cpu;

	if (*opa == '\0')
		engine.rounds = 0;
	make_repository(repository, files);
	write_key(key);
	for (size_t i = 0; i < rounds; i++) {
		for (size_t k = 0; k < sizeof turns / sizeof turns[0]; k++) {
			if (i < turns[k]->rounds)
				run(turns[k], repository);
		}
	}
	warm(&last, repository, key, &step);
	git_wall = median(git.wall, git.count);
	git_cpu = median(git.cpu, git.count);
	(void)printf("%zu policies, %zu rounds, ms\n"
		     "%-26s %8s  %17s %6s  %8s %6s  %7s\n",
	    files, rounds, "", "median", "spread", "/git", "cpu", "/git",
	    "peak MB");
	for (size_t k = 0; k < sizeof turns / sizeof turns[0]; k++)
		print_series(turns[k], git_wall, git_cpu);
	print_series(&step, git_wall, git_cpu);
	print_sizes(&last, size_of(git_out), size_of(opa_out),
	    two.peak_kib > one.peak_kib ? two.peak_kib : one.peak_kib);
	built_clear(&last);
	return 0;
}

int
main(int argc, char **argv)
{
	size_t files, rounds;

	if (argc == 6 && strcmp(argv[1], "cold") == 0)
		return cold(&argv[2]);
	if (argc != 5) {
		(void)fprintf(stderr, "started by bench/build\n");
		return 2;
	}
	files = strtoul(argv[2], NULL, 10);
	rounds = strtoul(argv[3], NULL, 10);
	if (files < 1 || files > 1000000 || rounds < 1 || rounds > ROUNDS_MAX) {
		(void)fprintf(stderr,
		    "bench: 1 to 1000000 files, 1 to %d rounds\n", ROUNDS_MAX);
		return 2;
	}
	return measure(argv[1], files, rounds, argv[4]);
}
