#include "server/keys_api.h"

#include <string.h>

#include "server/reply.h"

void
keys_api_list(struct request *r)
{
	const char *keys = r->service->keys;

	reply_text(r, 200, "application/json", keys, strlen(keys));
}
