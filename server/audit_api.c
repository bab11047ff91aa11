#include "server/audit_api.h"

#include "server/page.h"

void
audit_api_list(struct request *r)
{
	page_reply_list(r, view_audit);
}
