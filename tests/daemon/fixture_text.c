#include "tests/daemon/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/file.h"
#include "core/mem.h"
#include "tests/daemon/scene.h"

char *
scene_contents(struct buf *b, size_t *len)
{
	char *text = buf_steal(b, len);

	buf_clear(b);
	return text;
}

void *
scene_keep(void *text)
{
	scene.texts =
	    mem_grow(scene.texts, scene.text_count + 1, sizeof *scene.texts);
	scene.texts[scene.text_count++] = text;
	return text;
}

const char *
daemon_printf(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = mem_vprintf(fmt, ap);
	va_end(ap);
	return scene_keep(text);
}

const char *
daemon_path(const char *name)
{
	return *name == '/' ? name : scene_keep(file_path(scene.dir, name));
}

const char *
scene_read(const char *path)
{
	struct buf b;
	size_t len;

	buf_init(&b, BODY_MAX);
	if (file_read(&b, path, NULL) != ERR_OK) {
		buf_clear(&b);
		return NULL;
	}
	return scene_keep(scene_contents(&b, &len));
}

const char *
daemon_read(const char *name)
{
	const char *text = scene_read(daemon_path(name));

	if (text == NULL)
		fail_msg("cannot read %s", name);
	return text;
}

void
daemon_save(const char *name, const void *data, size_t len)
{
	const char *path = daemon_path(name);
	AUTO_STR folder =
	    mem_strndup(path, (size_t)(strrchr(path, '/') - path));
	FILE *f;
	struct err e;

	if (file_make_dirs(folder, &e) != ERR_OK)
		fail_msg("%s", e.text);
	f = fopen(path, "we");
	if (f == NULL || fwrite(data, 1, len, f) != len || fclose(f) != 0)
		fail_msg("cannot write %s: %s", path, strerror(errno));
}

void
daemon_write(const char *name, const char *text)
{
	daemon_save(name, text, strlen(text));
}

const char *
scene_trim(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	return text;
}

const char *
scene_setting(const char *name, const char *fallback)
{
	const char *value = getenv(name);

	return value != NULL && *value != '\0' ? value : fallback;
}

const char *
engine_opa(void)
{
	const char *opa = scene_setting("EDICT_OPA", NULL);

	if (opa == NULL)
		fail_msg("EDICT_OPA has to name the opa program");
	return opa;
}

static struct shell run_shell(const char *fmt, va_list ap) PRINTF_LIKE(1, 0);

static struct shell
run_shell(const char *fmt, va_list ap)
{
	AUTO_STR script = mem_vprintf(fmt, ap);
	AUTO_STR whole = mem_printf(
	    "cd '%s' || exit 99\n"
	    "export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null "
	    "HOME=\"$PWD\" LC_ALL=C.UTF-8\n"
	    "export GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=ada@example.org\n"
	    "export GIT_COMMITTER_NAME=Bob "
	    "GIT_COMMITTER_EMAIL=bob@example.org\n"
	    "export GIT_AUTHOR_DATE='1767225600 +0100' "
	    "GIT_COMMITTER_DATE='1767225660 +0100'\n"
	    "export EDICT_OPA='%s' EDICT_DATA_DIR='%s'\n"
	    "edict() { '%s' \"$@\"; }\n"
	    "{\n%s\n} 2>&1 </dev/null",
	    scene.dir, engine_opa(),
	    daemon_path(scene.options.data != NULL ? scene.options.data
						   : "data"),
	    EDICT_PROGRAM, script);
	FILE *out = popen(whole, "re");
	struct buf b;
	char step[4096];
	size_t n;
	size_t len;
	int status;

	assert_non_null(out);
	buf_init(&b, BODY_MAX);
	while ((n = fread(step, 1, sizeof step, out)) > 0)
		buf_add(&b, step, n);
	status = pclose(out);
	return (struct shell){
		.status = WIFEXITED(status) ? WEXITSTATUS(status)
					    : 128 + WTERMSIG(status),
		.text = scene_trim(scene_keep(scene_contents(&b, &len))),
	};
}

struct shell
daemon_try(const char *fmt, ...)
{
	struct shell s;
	va_list ap;

	va_start(ap, fmt);
	s = run_shell(fmt, ap);
	va_end(ap);
	return s;
}

const char *
daemon_sh(const char *fmt, ...)
{
	struct shell s;
	va_list ap;

	va_start(ap, fmt);
	s = run_shell(fmt, ap);
	va_end(ap);
	if (s.status != 0)
		fail_msg("status %d of: %s\n%s", s.status, fmt, s.text);
	return s.text;
}

static const char *
commit_and_push(const char *message)
{
	daemon_write("message", message);
	return daemon_sh("cd work && git add -A && "
			 "git commit -q --allow-empty -F ../message && "
			 "git push -q origin HEAD:main && git rev-parse HEAD");
}

const char *
daemon_commit_files(const char *message, const struct daemon_file *files)
{
	for (; files->path != NULL; files++) {
		const char *path = daemon_printf("work/%s", files->path);

		if (files->text != NULL)
			daemon_write(path, files->text);
		else
			daemon_sh("rm -r '%s'", path);
	}
	return commit_and_push(message);
}

static const char *
commit_level(int n, int tested)
{
	return daemon_commit(daemon_printf("Level %d", n),
	    { "authz/authz.rego",
		daemon_printf("package authz\n\nlevel := %d\n\n"
			      "default allow := false\n\n"
			      "allow if input.level <= level\n",
		    n) },
	    { LEVEL_TEST,
		daemon_printf("package authz_test\n\nimport data.authz\n\n"
			      "test_level if authz.level == %d\n\n"
			      "test_allow if authz.allow with input as "
			      "{\"level\": 0}\n",
		    tested) });
}

const char *
daemon_level(int n)
{
	return commit_level(n, n);
}

const char *
daemon_bad_level(int n)
{
	return commit_level(n, n + 1);
}
