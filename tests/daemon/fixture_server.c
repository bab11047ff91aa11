#include "tests/daemon/fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "tests/daemon/scene.h"

static const char *
data_path(const char *name)
{
	return daemon_path(daemon_printf("%s/%s",
	    scene.options.data != NULL ? scene.options.data : "data", name));
}

const char *
daemon_log(void)
{
	const char *text = scene_read(daemon_path("server.log"));

	return text != NULL ? text : "";
}

static void
read_secrets(void)
{
	const char *path[] = { data_path("address"), data_path("admin-token"),
		data_path("engine-token") };
	char **out[] = { &scene.url, &scene.admin, &scene.engine };

	for (size_t i = 0; i < 3; i++) {
		mem_free(*out[i]);
		*out[i] = mem_strdup(daemon_read(path[i]));
		(void)scene_trim(*out[i]);
	}
	scene.port = (int)strtol(strrchr(scene.url, ':') + 1, NULL, 10);
}

static bool
is_up(void *arg)
{
	struct waiting w = { .pid = scene.server };

	(void)arg;
	if (scene_has_ended(&w)) {
		scene.server = 0;
		fail_msg("the server ended, wait status %d", w.status);
	}
	if (access(data_path("address"), R_OK) != 0)
		return false;
	read_secrets();
	return daemon_get("/healthz", NULL, NULL).status == 200;
}

static void
launch_server(void)
{
	const struct daemon_options *o = &scene.options;
	AUTO_STR listen = mem_printf("127.0.0.1:%d", scene.port);
	const char *argv[] = { EDICT_PROGRAM, "serve",
		o->config != NULL ? "-c" : "--repo",
		o->config != NULL     ? daemon_path("server.yaml")
		    : o->repo != NULL ? o->repo
				      : daemon_path("remote.git"),
		"--data-dir", daemon_path(o->data != NULL ? o->data : "data"),
		"--opa", o->opa != NULL ? o->opa : engine_opa(), "--listen",
		listen, NULL };

	if (o->config != NULL)
		daemon_write("server.yaml", o->config);
	(void)unlink(data_path("address"));
	scene.server =
	    scene_launch_with((const int[]){ o->sockets[0], o->sockets[1], 0 },
		argv, daemon_path("server.log"), o->env, o->umask);
	daemon_wait("the server answers", is_up, NULL, DAEMON_DEADLINE_MS);
}

void
daemon_start(const struct daemon_options *o)
{
	assert_int_equal(scene.server, 0);
	scene.options = o != NULL ? *o : (struct daemon_options){ 0 };
	scene.port = 0;
	launch_server();
}

void
daemon_stop(void)
{
	int status = scene_end_process(scene.server, SIGTERM);

	scene.server = 0;
	if (status != 0)
		fail_msg("the server ended with wait status %d (-1: it had to "
			 "be killed)",
		    status);
}

void
daemon_crash(void)
{
	assert_int_not_equal(scene_end_process(scene.server, SIGKILL), -1);
	scene.server = 0;
}

void
daemon_restart(void)
{
	if (scene.server != 0)
		daemon_stop();
	launch_server();
}

pid_t
daemon_pid(void)
{
	return scene.server;
}

const char *
daemon_url(void)
{
	return scene.url;
}

const char *
daemon_admin(void)
{
	return scene.admin;
}

const char *
daemon_engine(void)
{
	return scene.engine;
}
