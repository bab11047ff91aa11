#include "server/api/health_api.h"

#include "server/http/reply.h"

void
health_api_alive(struct request *r)
{
	static const char text[] = "ok\n";

	reply_text(r, 200, "text/plain; charset=utf-8", text, sizeof text - 1);
}

void
health_api_ready(struct request *r)
{
	json_t *reasons = service_reasons(r->service);
	json_t *warnings = service_warnings(r->service);
	bool ready = json_array_size(reasons) == 0;

	r->soon = true;
	reply_json(r, ready ? 200 : 503,
	    json_pack("{s:b, s:o, s:o}", "ready", ready, "reasons", reasons,
		"warnings", warnings));
}
