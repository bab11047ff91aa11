/* How long polls and fetches take beside git's, on the same machine and the same
 * repository, and what becomes of a mirror that is fetched into often. Started
 * by bench/fetch, which makes the repository and the HTTP host. Ours is timed as
 * a server does it: a confined child for each fetch, then the checks and the
 * move into the mirror, each object and folder synced. */

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "policies/fetch.h"
#include "policies/join.h"
#include "policies/repo.h"

enum {
	ROUNDS_MAX = 99,
	FETCHES = 300, /* into the mirror that is joined */
	TIMEOUT_MS = 120000,
	ARGS_MAX = 12
};

static const char *scratch;
static int folders;
static double starter_cpu_ms;

static void
check(enum err_code code, const struct err *e)
{
	if (code == ERR_OK)
		return;
	(void)fprintf(stderr, "bench: %s\n", e->text);
	exit(1);
}

/* What passed, and what of it was this process and all its children, which
 * says more on a machine that others use too. The host's is in neither's. */
struct spent {
	double wall_ms;
	double cpu_ms;
};

static double
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double
cpu_of(int who)
{
	struct rusage u;

	(void)getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
	    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static struct spent
spent_now(void)
{
	return (struct spent){ .wall_ms = now_ms(),
		.cpu_ms = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN) +
		    starter_cpu_ms };
}

static struct spent
spent_since(struct spent began)
{
	struct spent now = spent_now();

	return (struct spent){ .wall_ms = now.wall_ms - began.wall_ms,
		.cpu_ms = now.cpu_ms - began.cpu_ms };
}

static char *
in_scratch(const char *name)
{
	return file_path(scratch, name);
}

/* -- git ------------------------------------------------------------------ */

/* Runs it without output; its time. */
static struct spent
git(const char *const *args)
{
	const char *argv[ARGS_MAX + 2] = { "git" };
	static posix_spawn_file_actions_t quiet;
	static bool ready;
	struct spent began;
	int status;
	pid_t pid;

	if (!ready) {
		(void)posix_spawn_file_actions_init(&quiet);
		(void)posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO,
		    "/dev/null", O_WRONLY, 0);
		ready = true;
	}
	began = spent_now();
	for (size_t i = 0; i < ARGS_MAX && args[i] != NULL; i++)
		argv[i + 1] = args[i];
	if (posix_spawnp(&pid, "git", &quiet, NULL,
		(char *const *)(uintptr_t)argv, environ) != 0 ||
	    waitpid(pid, &status, 0) != pid || status != 0) {
		(void)fprintf(stderr, "bench: git %s failed\n", args[0]);
		exit(1);
	}
	return spent_since(began);
}
#define GIT(...) git((const char *const[]){ __VA_ARGS__, NULL })

static void
copy_folder(const char *from, const char *to)
{
	AUTO_STR command = mem_printf("cp -a '%s' '%s'", from, to);

	if (system(command) != 0)
		exit(1);
}

/* The host's branch is so many commits before the last. */
static void
move_branch(int back)
{
	AUTO_STR dir = in_scratch("src.git");
	AUTO_STR rev = mem_printf("all~%d", back);

	(void)GIT("--git-dir", dir, "update-ref", "refs/heads/main", rev);
}

/* -- ours ----------------------------------------------------------------- */

/* A server's children are forked by its supervisor, which is small, and not by
 * whoever reads trees. Here, too: a process that does nothing else. */

struct order {
	char mirror[PATH_MAX];
	char url[PATH_MAX];
	char incoming[PATH_MAX];
	char known[41];
};

struct answer {
	struct fetch_result result;
	double cpu_ms; /* of the starter and its children up to now */
};

static int starter = -1;

static void
serve(int fd)
{
	static struct order o;

	while (recv(fd, &o, sizeof o, 0) == (ssize_t)sizeof o) {
		AUTO_STR git_dir = mem_printf("%s/git", o.mirror);
		const struct fetch_source source = { .name = "p",
			.url = o.url,
			.branch = "main" };
		AUTO(fetch_child, c) = NULL;
		struct child_result r;
		struct answer a;
		struct err e = { 0 };

		check(fetch_child_new(&c, &source, git_dir, o.incoming, o.known,
			  &e),
		    &e);
		check(child_run(&r, fetch_child_spec(c), TIMEOUT_MS,
			  FETCH_RESULT_MAX, &e),
		    &e);
		fetch_result_read(&a.result, &r);
		child_result_clear(&r);
		a.cpu_ms = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN);
		(void)send(fd, &a, sizeof a, 0);
	}
}

static void
start_starter(void)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0 ||
	    (pid = fork()) < 0) {
		perror("bench");
		exit(1);
	}
	if (pid == 0) {
		close(ends[0]);
		serve(ends[1]);
		_exit(0);
	}
	close(ends[1]);
	(void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	starter = ends[0];
}

static struct fetch_result
fetch(const char *mirror, const char *url, const char *known,
    const char *incoming)
{
	static struct order o;
	struct answer a;
	struct err e = { 0 };

	check(file_make_dirs(incoming, &e), &e);
	(void)snprintf(o.mirror, sizeof o.mirror, "%s", mirror);
	(void)snprintf(o.url, sizeof o.url, "%s", url);
	(void)snprintf(o.incoming, sizeof o.incoming, "%s", incoming);
	(void)snprintf(o.known, sizeof o.known, "%s", known);
	if (send(starter, &o, sizeof o, 0) != (ssize_t)sizeof o ||
	    recv(starter, &a, sizeof a, 0) != (ssize_t)sizeof a) {
		(void)fprintf(stderr, "bench: no fetch was started\n");
		exit(1);
	}
	starter_cpu_ms = a.cpu_ms;
	if (a.result.outcome != FETCH_OK &&
	    a.result.outcome != FETCH_UNCHANGED) {
		(void)fprintf(stderr, "bench: %s: %s\n",
		    fetch_outcome_name(a.result.outcome), a.result.message);
		exit(1);
	}
	return a.result;
}

/* As in a server, a folder that stayed empty is for the next fetch. */
static struct spent
our_fetch(struct repo *r, const char *mirror, const char *url, char known[41])
{
	static int folder;
	struct spent began = spent_now();
	AUTO_STR incoming = mem_printf("%s/incoming/fetch-%d", mirror, folder);
	struct fetch_result result = fetch(mirror, url, known, incoming);
	struct err e = { 0 };

	if (result.outcome == FETCH_OK) {
		check(repo_take_in(r, incoming, result.tip, &e), &e);
		check(repo_set_ref(r, "tip", result.tip, &e), &e);
		check(file_remove_tree(incoming, &e), &e);
		folder++;
	}
	memcpy(known, result.tip, 41);
	return spent_since(began);
}

static struct repo *
open_mirror(const char *mirror)
{
	AUTO_STR dir = mem_printf("%s/git", mirror);
	struct repo *r = NULL;
	struct err e = { 0 };

	check(repo_open(&r, dir, true, &e), &e);
	return r;
}

/* -- figures -------------------------------------------------------------- */

struct row {
	const char *name;
	double ours[ROUNDS_MAX], gits[ROUNDS_MAX];
	double our_cpu[ROUNDS_MAX], git_cpu[ROUNDS_MAX];
	int rounds;
};

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof *v, compare);
	return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void
add(struct row *row, struct spent ours, struct spent gits)
{
	row->ours[row->rounds] = ours.wall_ms;
	row->gits[row->rounds] = gits.wall_ms;
	row->our_cpu[row->rounds] = ours.cpu_ms;
	row->git_cpu[row->rounds++] = gits.cpu_ms;
}

/* The ratio is that of the medians; when the machine is busy, that of the
 * shortest is nearer to what a quiet one shows. */
static void
print_part(const char *name, double *ours, double *gits, int n)
{
	double our = median(ours, n);
	double theirs = median(gits, n);

	(void)printf("%-34s %8.1f (%.1f-%.1f) %8.1f (%.1f-%.1f)   %.2f, "
		     "shortest %.2f\n",
	    name, our, ours[0], ours[n - 1], theirs, gits[0], gits[n - 1],
	    our / theirs, ours[0] / gits[0]);
}

static void
print(struct row *r)
{
	print_part(r->name, r->ours, r->gits, r->rounds);
	print_part("  of it processor time", r->our_cpu, r->git_cpu, r->rounds);
	(void)fflush(stdout);
}

/* -- what is measured ----------------------------------------------------- */

static void
polls(const char *name, const char *url, int rounds)
{
	AUTO_STR mirror = mem_printf("%s/poll-%d", scratch, ++folders);
	struct repo *r = open_mirror(mirror);
	struct row row = { .name = name };
	char known[41] = "";

	(void)our_fetch(r, mirror, url, known);
	for (int i = 0; i < rounds; i++) {
		struct spent ours = our_fetch(r, mirror, url, known);

		add(&row, ours, GIT("ls-remote", url, "refs/heads/main"));
	}
	repo_free(r);
	print(&row);
}

static void
one_commit(const char *url, int rounds)
{
	AUTO_STR mirror = in_scratch("one");
	AUTO_STR theirs = in_scratch("one.git");
	struct repo *r = open_mirror(mirror);
	struct row row = { .name = "fetch of one commit, HTTP" };
	char known[41] = "";

	(void)GIT("init", "-q", "--bare", theirs);
	(void)GIT("--git-dir", theirs, "config", "gc.auto", "0");
	move_branch(rounds);
	(void)our_fetch(r, mirror, url, known);
	(void)GIT("--git-dir", theirs, "fetch", "-q", url,
	    "+refs/heads/main:refs/heads/main");
	for (int i = 0; i < rounds; i++) {
		struct spent ours;

		move_branch(rounds - 1 - i);
		ours = our_fetch(r, mirror, url, known);
		add(&row, ours,
		    GIT("--git-dir", theirs, "fetch", "-q", url,
			"+refs/heads/main:refs/heads/main"));
	}
	repo_free(r);
	print(&row);
}

static void
history(const char *url, int rounds)
{
	struct row row = { .name = "fetch of 1,000 commits, HTTP" };
	AUTO_STR dir = in_scratch("src.git");

	(void)GIT("--git-dir", dir, "update-ref", "refs/heads/main",
	    "refs/heads/thousand");
	for (int i = 0; i < rounds; i++) {
		AUTO_STR mirror = mem_printf("%s/long-%d", scratch, i);
		AUTO_STR theirs = mem_printf("%s/long-%d.git", scratch, i);
		struct repo *r = open_mirror(mirror);
		char known[41] = "";
		struct spent ours;

		(void)GIT("init", "-q", "--bare", theirs);
		ours = our_fetch(r, mirror, url, known);
		add(&row, ours,
		    GIT("--git-dir", theirs, "fetch", "-q", url,
			"+refs/heads/main:refs/heads/main"));
		repo_free(r);
	}
	print(&row);
}

/* -- joining -------------------------------------------------------------- */

static void
print_mirror(const char *what, const char *dir)
{
	AUTO_STR packs = mem_printf("%s/objects/pack", dir);
	struct file_names list = { 0 };
	struct err e = { 0 };
	int64_t bytes = 0;
	size_t count = 0;

	check(file_list(&list, packs, 100000, &e), &e);
	for (size_t i = 0; i < list.count; i++) {
		AUTO_STR path = file_path(packs, list.names[i]);
		struct stat st;

		if (stat(path, &st) == 0)
			bytes += st.st_size;
		count += strstr(list.names[i], ".pack") != NULL;
	}
	file_names_clear(&list);
	(void)printf("%-34s %8zu packs %12lld bytes\n", what, count,
	    (long long)bytes);
}

/* The time, or -1 when nothing was to be joined. */
static double
join(struct repo *r, const char *mirror)
{
	AUTO_STR dir = mem_printf("%s/git", mirror);
	AUTO_STR incoming = mem_printf("%s/incoming/%d", mirror, ++folders);
	AUTO(join_child, c) = NULL;
	double began = now_ms();
	struct child_result ended;
	struct err e = { 0 };
	struct join j;

	check(join_plan(&j, dir, &e), &e);
	if (join_is_empty(&j))
		return -1;
	check(file_make_dirs(incoming, &e), &e);
	check(join_write(&j, incoming, &e), &e);
	check(join_child_new(&c, dir, incoming, &e), &e);
	check(child_run(&ended, join_child_spec(c), TIMEOUT_MS, JOIN_RESULT_MAX,
		  &e),
	    &e);
	check(join_result(&ended, &e), &e);
	child_result_clear(&ended);
	check(join_verify(&j, dir, incoming, NULL, &e), &e);
	check(repo_join(r, &j, incoming, &e), &e);
	check(file_remove_tree(incoming, &e), &e);
	join_clear(&j);
	return now_ms() - began;
}

/* The same fetches twice: once joined whenever it is due, as a server does, and
 * once left alone, to be joined at once and by git. */
static void
many_fetches(const char *url)
{
	AUTO_STR often = in_scratch("often");
	AUTO_STR alone = in_scratch("alone");
	AUTO_STR dir = mem_printf("%s/git", alone);
	AUTO_STR joined = mem_printf("%s/git", often);
	AUTO_STR repacked = in_scratch("repacked");
	struct repo *a = open_mirror(often);
	struct repo *b = open_mirror(alone);
	char known_a[41] = "";
	char known_b[41] = "";
	double spent = 0, longest = 0, once, by_git;
	int joins = 0;

	for (int i = FETCHES; i > 0; i--) {
		double ms;

		move_branch(i);
		(void)our_fetch(a, often, url, known_a);
		(void)our_fetch(b, alone, url, known_b);
		ms = join(a, often);
		if (ms < 0)
			continue;
		joins++;
		spent += ms;
		longest = ms > longest ? ms : longest;
	}
	print_mirror("after 300 fetches, left alone", dir);
	print_mirror("after 300 fetches, joined when due", joined);
	(void)printf("%-34s %8d joins, %.0f ms, the longest %.0f ms\n",
	    "what that took", joins, spent, longest);
	copy_folder(dir, repacked);
	by_git = GIT("--git-dir", repacked, "repack", "-adq").wall_ms;
	print_mirror("all at once by git repack -ad", repacked);
	once = join(b, alone);
	for (double ms = 0; ms >= 0; once += ms < 0 ? 0 : ms)
		ms = join(b, alone);
	print_mirror("all at once by a join", dir);
	(void)printf("%-34s %8.0f ms, git repack -ad %.0f ms\n",
	    "time for all at once", once, by_git);
	repo_free(a);
	repo_free(b);
}

static void
measure(const char *url, int rounds, const char *part)
{
	bool all = strcmp(part, "all") == 0;
	AUTO_STR path = in_scratch("src.git");

	if (all || strcmp(part, "polls") == 0) {
		polls("unchanged poll, path", path, rounds);
		polls("unchanged poll, HTTP", url, rounds);
	}
	if (all || strcmp(part, "one") == 0)
		one_commit(url, rounds);
	if (all || strcmp(part, "long") == 0)
		history(url, rounds);
	if (all || strcmp(part, "joins") == 0)
		many_fetches(url);
}

int
main(int argc, char **argv)
{
	int rounds = argc == 5 ? (int)strtol(argv[3], NULL, 10) : 0;

	if (rounds < 1 || rounds > ROUNDS_MAX) {
		(void)fprintf(stderr,
		    "usage: bench_fetch SCRATCH URL ROUNDS "
		    "all|polls|one|long|joins\n");
		return 2;
	}
	scratch = argv[1];
	start_starter();
	(void)printf("%-34s %8s (spread) %10s (spread)   ratio\n",
	    "milliseconds, median", "ours", "git");
	measure(argv[2], rounds, argv[4]);
	return 0;
}
