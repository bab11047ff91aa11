#include "server/request.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

const char *
request_header(const struct request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND,
	    name);
}

enum err_code
request_query(const struct request *r, const char *name, char *out, size_t size,
    struct err *e)
{
	const char *raw = MHD_lookup_connection_value(r->connection,
	    MHD_GET_ARGUMENT_KIND, name);

	if (raw == NULL)
		return ERR_NOT_FOUND;
	if (!route_decode(out, size, raw, strlen(raw)))
		return err_set(e, ERR_INVALID,
		    "%s: too long, or not properly encoded", name);
	return ERR_OK;
}

bool
request_is_head(const struct request *r)
{
	return strcmp(r->method, "HEAD") == 0;
}

void
request_peer(char out[REQUEST_PEER_SIZE], const struct request *r)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(r->connection,
		MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *sa = info != NULL ? info->client_addr : NULL;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	(void)snprintf(out, REQUEST_PEER_SIZE, "unknown");
	if (sa != NULL && sa->sa_family == AF_INET) {
		memcpy(&v4, sa, sizeof v4);
		(void)inet_ntop(AF_INET, &v4.sin_addr, out, REQUEST_PEER_SIZE);
	} else if (sa != NULL && sa->sa_family == AF_INET6) {
		memcpy(&v6, sa, sizeof v6);
		(void)inet_ntop(AF_INET6, &v6.sin6_addr, out,
		    REQUEST_PEER_SIZE);
	}
}
