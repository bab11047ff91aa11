#include "server/http/request.h"

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

static const struct sockaddr *
address_of(const struct request *r)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(r->connection,
		MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	return info != NULL ? info->client_addr : NULL;
}

size_t
request_address_bytes(unsigned char out[REQUEST_ADDRESS_MAX],
    const struct sockaddr *sa)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (sa != NULL && sa->sa_family == AF_INET) {
		memcpy(&v4, sa, sizeof v4);
		memcpy(out, &v4.sin_addr, sizeof v4.sin_addr);
		return sizeof v4.sin_addr;
	}
	if (sa == NULL || sa->sa_family != AF_INET6)
		return 0;
	memcpy(&v6, sa, sizeof v6);
	memcpy(out, &v6.sin6_addr, sizeof v6.sin6_addr);
	return sizeof v6.sin6_addr;
}

size_t
request_address(unsigned char out[REQUEST_ADDRESS_MAX], const struct request *r)
{
	return request_address_bytes(out, address_of(r));
}

void
request_peer(char out[REQUEST_PEER_SIZE], const struct request *r)
{
	unsigned char bytes[REQUEST_ADDRESS_MAX];
	size_t len = request_address(bytes, r);

	if (len == 0)
		(void)snprintf(out, REQUEST_PEER_SIZE, "unknown");
	else
		(void)inet_ntop(len == sizeof bytes ? AF_INET6 : AF_INET, bytes,
		    out, REQUEST_PEER_SIZE);
}
