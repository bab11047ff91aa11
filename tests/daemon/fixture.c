#include "tests/daemon/fixture.h"

#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "tests/daemon/scene.h"

struct scene scene;

int
daemon_setup(void **state)
{
	static bool ready;

	(void)state;
	if (scene_setting("EDICT_OPA", NULL) == NULL) {
		print_error("EDICT_OPA has to name the opa program\n");
		return -1;
	}
	if (!ready && curl_global_init(CURL_GLOBAL_ALL) != 0)
		return -1;
	ready = true;
	scene = (struct scene){ .documents = json_array() };
	(void)snprintf(scene.dir, sizeof scene.dir, "%s/edict-daemon-XXXXXX",
	    scene_setting("TMPDIR", "/tmp"));
	if (mkdtemp(scene.dir) == NULL) {
		print_error("%s: %s\n", scene.dir, strerror(errno));
		return -1;
	}
	daemon_sh("git init -q --bare -b main remote.git && "
		  "git init -q -b main work && "
		  "git -C work remote add origin ../remote.git");
	return 0;
}

void
daemon_passed(void)
{
	scene.passed = true;
}

void
daemon_expect_deaths(const char *text)
{
	scene.deaths = text;
}

/* Sanitizers of processes that nobody waits for, and deaths that no test
 * caused (those kill with 9), are found in the log. */
static const char *
fault_in_log(const char *log)
{
	static const char *const faults[] = { "ERROR: AddressSanitizer",
		"ERROR: LeakSanitizer", "runtime error:", "Assertion `",
		"WARNING: ThreadSanitizer" };

	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		const char *at = strstr(log, faults[i]);

		if (at != NULL)
			return at;
	}
	for (const char *p = log; (p = strstr(p, "process.died")) != NULL;
	     p++) {
		AUTO_STR line = mem_strndup(p, strcspn(p, "\n"));

		if (strstr(line, "signal=9") == NULL &&
		    (scene.deaths == NULL ||
			strstr(line, scene.deaths) == NULL))
			return p;
	}
	return NULL;
}

static void
end_everything(void)
{
	for (size_t i = 0; i < scene.engine_count; i++)
		if (scene.engines[i].pid != 0)
			(void)scene_end_process(scene.engines[i].pid, SIGKILL);
	if (scene.server != 0 &&
	    scene_end_process(scene.server, SIGTERM) != 0) {
		print_error("the server did not end well\n");
		scene.passed = false;
	}
	scene.server = 0;
	for (size_t i = 0; i < scene.poll_count; i++) {
		struct poll *p = scene.polls[i];

		if (!p->joined)
			(void)pthread_join(p->thread, NULL);
		buf_clear(&p->body);
		buf_clear(&p->head);
		mem_free(p);
	}
}

static void
forget(void)
{
	for (size_t i = 0; i < scene.text_count; i++)
		mem_free(scene.texts[i]);
	mem_free(scene.texts);
	mem_free(scene.url);
	mem_free(scene.admin);
	mem_free(scene.engine);
	json_decref(scene.documents);
}

int
daemon_teardown(void **state)
{
	const char *log;
	const char *fault;
	bool passed;
	struct err e;

	(void)state;
	passed = scene.passed;
	end_everything();
	passed = passed && scene.passed;
	log = daemon_log();
	fault = fault_in_log(log);
	if (fault != NULL)
		(void)fprintf(stderr, "in the server's log:\n%.6000s\n", fault);
	else if (!passed)
		(void)fprintf(stderr, "the end of the server's log:\n%s\n",
		    strlen(log) > LOG_TAIL ? log + strlen(log) - LOG_TAIL
					   : log);
	if (file_remove_tree(scene.dir, &e) != ERR_OK) {
		print_error("%s\n", e.text);
		passed = false;
	}
	forget();
	return passed && fault == NULL ? 0 : -1;
}
