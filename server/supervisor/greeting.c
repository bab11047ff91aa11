#include "server/supervisor/greeting.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"

enum { GREETING_ADDRESS_MAX = 4096 };

/* 0.0.0.0 and [::] are where one listens, not where one goes. */
static char *
local_url(const struct conf *c, const char *address)
{
	const char *scheme = c->tls.key != NULL ? "https" : "http";
	const char *port = strrchr(address, ':');

	if (strncmp(address, "0.0.0.0:", 8) == 0 ||
	    strncmp(address, "[::]:", 5) == 0)
		return mem_printf("%s://127.0.0.1%s", scheme, port);
	return mem_printf("%s://%s", scheme, address);
}

/* Commands on this machine look here. Most starts find it as it has to be, and
 * no start fails for it: engines do not need it. */
void
greeting_put_address(const struct conf *c, const char *address)
{
	AUTO_STR url = local_url(c, address);
	AUTO_STR path = file_path(c->data_dir, "address");
	AUTO_STR line = mem_printf("%s\n%s%s", url,
	    c->url != NULL ? c->url : "", c->url != NULL ? "\n" : "");
	AUTO_BUF before = { 0 };
	struct err e = { 0 };

	buf_init(&before, GREETING_ADDRESS_MAX);
	if (file_read(&before, path, NULL) == ERR_OK &&
	    strcmp(before.data, line) == 0)
		return;
	if (file_replace(path, line, strlen(line), 0644, &e) != ERR_OK)
		log_error("address.failed", "error=\"%s\"", e.text);
}

enum err_code
greeting_print(const struct conf *c, const char *address, struct err *e)
{
	AUTO_STR url = local_url(c, address);
	AUTO_STR admin = file_path(c->data_dir, "admin-token");
	AUTO_STR engine = file_path(c->data_dir, "engine-token");
	char *token = NULL;

	greeting_put_address(c, address);
	TRY(file_read_secret(&token, engine, e));
	(void)printf("edict " EDICT_VERSION " serves %s\n\n"
		     "  data folder   %s\n"
		     "  admin token   in %s\n"
		     "  engine token  %s\n\n"
		     "What next, on this machine:\n"
		     "  edict status --data-dir %s\n"
		     "  edict engine-config CLUSTER --data-dir %s > opa.yaml\n"
		     "  opa run --server -c opa.yaml\n\n",
	    url, c->data_dir, admin, token, c->data_dir, c->data_dir);
	mem_free_secret(token, strlen(token));
	if (fflush(stdout) != 0)
		return err_errno(e, "stdout");
	return ERR_OK;
}
