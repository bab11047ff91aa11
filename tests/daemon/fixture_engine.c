#include "tests/daemon/fixture.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/daemon/scene.h"

static const char *
engine_url(const struct engine *e)
{
	return daemon_printf("http://127.0.0.1:%d", e->port);
}

static bool
engine_is_up(void *arg)
{
	struct engine *e = arg;
	struct waiting w = { .pid = e->pid };

	if (scene_has_ended(&w)) {
		e->pid = 0;
		fail_msg("opa ended, wait status %d:\n%s", w.status,
		    daemon_read(e->log));
	}
	return scene_send(engine_url(e), &(struct request){ .path = "/health" })
		   .status == 200;
}

/* An engine that polls plainly waits up to 15 s by what engine-config says;
 * nobody wants to watch that. */
static const char *
write_config(const char *cluster, enum engine_mode mode, const char *other,
    const char *more, size_t number)
{
	const char *file = daemon_printf("opa-%zu.yaml", number);
	const char *rest = daemon_printf("opa-%zu.more", number);

	daemon_sh("edict engine-config %s %s --persist $PWD/opa-%zu.kept > %s "
		  "&& sed -i 's/\\(m.._delay_seconds\\): .*/\\1: 1/' %s",
	    cluster, mode == ENGINE_PLAIN ? "--wait 0" : "", number, file,
	    file);
	daemon_write(rest, more);
	daemon_sh("cat %s >> %s", rest, file);
	if (other != NULL)
		daemon_sh(
		    "sed -i 's|^services:|&\\n  other:\\n    url: %s|' %s",
		    other, file);
	return daemon_path(file);
}

struct engine *
engine_start(const char *cluster, enum engine_mode mode)
{
	return engine_start_as(daemon_printf("engine-of-a-test-%zu",
				   scene.engine_count),
	    cluster, mode, NULL, "");
}

struct engine *
engine_start_as(const char *name, const char *cluster, enum engine_mode mode,
    const char *other, const char *more)
{
	return engine_start_with(name,
	    write_config(cluster, mode, other, more, scene.engine_count));
}

struct engine *
engine_start_with(const char *name, const char *config)
{
	const char *const env[] = { daemon_printf("HOSTNAME=%s", name), NULL };
	struct engine *e = &scene.engines[scene.engine_count];

	assert_true(scene.engine_count < ENGINES_MAX);
	e->port = daemon_free_port();
	e->log = daemon_path(daemon_printf("opa-%zu.log", scene.engine_count));
	const char *argv[] = { engine_opa(), "run", "--server", "-c", config,
		"--addr", daemon_printf("127.0.0.1:%d", e->port),
		"--skip-version-check", NULL };

	e->pid = scene_launch(argv, e->log, env, 0);
	scene.engine_count++;
	daemon_wait("the engine answers", engine_is_up, e, DAEMON_DEADLINE_MS);
	return e;
}

bool
engine_is_ready(struct engine *e)
{
	return scene_send(engine_url(e),
		   &(struct request){ .path = "/health?bundles" })
		   .status == 200;
}

const char *
engine_log(struct engine *e)
{
	return daemon_read(e->log);
}

pid_t
engine_pid(const struct engine *e)
{
	return e->pid;
}

void
engine_stop(struct engine *e)
{
	(void)scene_end_process(e->pid, SIGTERM);
	e->pid = 0;
}

const char *
engine_ask(struct engine *e, const char *path, const char *input)
{
	struct answer a = scene_send(engine_url(e),
	    &(struct request){ .method = "POST",
		.path = daemon_printf("/v1/data/%s", path),
		.body = input != NULL ? daemon_printf("{\"input\":%s}", input)
				      : "{}" });
	const json_t *result;
	char *text;
	const char *out;

	if (a.status != 200)
		return daemon_printf("status %ld", a.status);
	result = json_object_get(scene_parse(&a, path), "result");
	if (result == NULL)
		return "undefined";
	text =
	    json_dumps(result, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	out = daemon_printf("%s", text);
	free(text);
	return out;
}

struct decision {
	struct engine *engine;
	const char *path, *input, *wanted, *last;
};

static bool
decides(void *arg)
{
	struct decision *d = arg;

	d->last = engine_ask(d->engine, d->path, d->input);
	return strcmp(d->last, d->wanted) == 0;
}

int64_t
engine_wait(struct engine *e, const char *path, const char *input,
    const char *decision, int64_t deadline_ms)
{
	struct decision d = { e, path, input, decision, NULL };
	int64_t begin = daemon_now_ms();

	if (!scene_holds_before(decides, &d, deadline_ms))
		fail_msg("after %" PRId64 " ms the engine still says %s to "
			 "%s, not %s:\n%s",
		    deadline_ms, d.last, path, decision, daemon_read(e->log));
	return daemon_now_ms() - begin;
}
