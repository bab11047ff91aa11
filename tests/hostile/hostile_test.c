/* Hostile repositories: each is refused with the path at fault, or what is
 * hostile in it is left out, in bounded memory and time. They are made by git
 * and perl as the test runs; nothing large is stored. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "hostile.h"
#include "tests/unit/policies/git_fixture.h"

/* For the program as it is shipped; a sanitizer takes several times as much. */
#ifdef EDICT_SANITIZED
enum { FACTOR = 4 };
#else
enum { FACTOR = 1 };
#endif
enum {
	MEMORY_MAX_KIB = FACTOR * (192 << 10),
	/* A size that is told by an object's header: nothing is unpacked. */
	HEADER_MAX_KIB = FACTOR * (32 << 10),
	CPU_MAX_S = FACTOR * 10,
	OUTPUT_MAX = 64 << 10
};

static const char prelude[] =
    "cd r\n"
    "blob() { printf \"$1\" | git hash-object -w --stdin; }\n"
    "tree() { perl -e 'while (@ARGV) { my ($m, $n, $s) = splice(@ARGV, 0, 3);"
    " print \"$m $n\\0\" . pack(\"H*\", $s) }' -- \"$@\" |"
    " git hash-object -t tree --literally -w --stdin; }\n"
    "repeat() { perl -e 'print $ARGV[1] x $ARGV[0]' \"$@\"; }\n"
    "zeros() { truncate -s $1 zeros && git -c core.bigFileThreshold=1m "
    "hash-object -w zeros && rm zeros; }\n"
    "bomb() { perl -MCompress::Zlib -MDigest::SHA=sha1 -e '"
    "sub number { my ($c, $n, $o) = (@_, \"\"); while ($n) {"
    " $o .= chr($c | 128); $c = $n & 127; $n >>= 7 } $o . chr($c) }"
    "sub head { my ($t, $n) = @_; number($t << 4 | $n & 15, $n >> 4) }"
    "sub size { my $n = shift; number($n & 127, $n >> 7) }"
    "my $z = \"\\0\" x (8 << 20); my $id = sha1(\"blob \" . length($z) ."
    " \"\\0$z\"); my $d = size(8 << 20) . size(512 << 20) ."
    " \"\\xc0\\x80\" x 64;"
    "my $p = pack(\"a4NN\", \"PACK\", 2, 2) . head(3, 8 << 20) ."
    " compress($z) . head(7, length $d) . $id . compress($d);"
    "binmode STDOUT; print $p . sha1($p)' >bomb.pack &&"
    " git index-pack --stdin <bomb.pack >bomb.id &&"
    " git show-index <.git/objects/pack/pack-$(cut -f2 bomb.id).idx |"
    " grep -v $(head -c 8388608 /dev/zero | git hash-object --stdin) |"
    " cut -d' ' -f2; }\n"
    "deep() { x=$2; for i in $(seq $1); do x=$(tree 40000 d $x); done; "
    "echo $x; }\n"
    "laughs() { echo 'a0: &a0 [x, x, x, x, x, x, x, x, x]'; "
    "for i in 1 2 3 4 5 6 7 8 9; do j=$((i - 1)); "
    "echo \"a$i: &a$i [*a$j, *a$j, *a$j, *a$j, *a$j, *a$j, *a$j, *a$j]\"; "
    "done; }\n"
    "P=$(blob 'package a\\np := 1\\n')\n"
    "D=$(blob '{\"k\":1}')\n";

struct outcome {
	int status;
	long memory_kib;
	struct buf text;
};

static void
become_edict(const char *commit, const char *repo, const char *out, int to)
{
	const struct rlimit cpu = { CPU_MAX_S, CPU_MAX_S };
	const char *program = getenv("EDICT_PROGRAM");

	if (setrlimit(RLIMIT_CPU, &cpu) == 0 && dup2(to, 1) >= 0 &&
	    dup2(to, 2) >= 0 && program != NULL)
		execl(program, program, "build", repo, "--rev", commit, "-o",
		    out, (char *)NULL);
	_exit(127);
}

static void
run(struct outcome *o, const char *commit)
{
	const char *repo = fixture_path("r"), *out = fixture_path("out.tar.gz");
	struct rusage used;
	struct err e;
	int pipes[2];
	pid_t pid;

	*o = (struct outcome){ 0 };
	buf_init(&o->text, OUTPUT_MAX);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		become_edict(commit, repo, out, pipes[1]);
	close(pipes[1]);
	if (file_read_fd(&o->text, pipes[0], "edict", &e) != ERR_OK)
		fail_msg("%s", e.text);
	close(pipes[0]);
	assert_int_equal(wait4(pid, &o->status, 0, &used), pid);
	o->memory_kib = used.ru_maxrss;
}

static bool
is_by_header(const struct hostile *h)
{
	return h->holds != NULL && strcmp(h->holds, BY_HEADER) == 0;
}

static const char *
judge(const struct hostile *h, const struct outcome *o)
{
	if (!WIFEXITED(o->status))
		return "it was ended by a signal";
	if (o->memory_kib > (is_by_header(h) ? HEADER_MAX_KIB : MEMORY_MAX_KIB))
		return "it took too much memory";
	if (h->says == NULL)
		return WEXITSTATUS(o->status) == 0 ? NULL : "it was refused";
	if (WEXITSTATUS(o->status) != 1)
		return "it was not refused";
	if (strstr(o->text.data, h->says) == NULL)
		return "the message says something else";
	return NULL;
}

static const char *
judge_files(const struct hostile *h)
{
	const char *list =
	    sh_line("tar tzf out.tar.gz | tr '\\n' ' ' | sed 's/ $//'; echo");

	return strcmp(list, h->holds) == 0 ? NULL : "it holds other files";
}

/* What took the most: a bound that nobody comes near shows nothing. */
static long peak_kib;
static const char *peak_name;

static bool
check(const struct hostile *h)
{
	const char *commit =
	    sh_line("%s tree=$(%s)\ngit commit-tree -m x $tree", prelude,
		h->script);
	struct outcome o;
	const char *fault;

	run(&o, commit);
	fault = judge(h, &o);
	if (o.memory_kib > peak_kib) {
		peak_kib = o.memory_kib;
		peak_name = h->name;
	}
	if (fault == NULL && h->says == NULL)
		fault = judge_files(h);
	if (fault != NULL)
		printf("%s: %s (%ld KiB): %s\n", h->name, fault, o.memory_kib,
		    o.text.data);
	buf_clear(&o.text);
	return fault == NULL;
}

static void
nothing_hostile_gets_through(void **state)
{
	size_t wrong = 0;

	(void)state;
	(void)fixture_start();
	sh("git init -q r");
	for (size_t i = 0; i < hostile_case_count; i++)
		wrong += !check(&hostile_cases[i]);
	fixture_end();
	printf("%zu hostile repositories, %ld KiB at most (%s)\n",
	    hostile_case_count, peak_kib, peak_name);
	assert_int_equal(wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_hostile_gets_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
