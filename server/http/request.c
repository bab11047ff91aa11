#include "server/http/request.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Looking a header up compares its name with all that came, and a poll's are
 * needed several times each: they are all read once. */
static const char *const known[REQUEST_KNOWN] = {
	[REQUEST_AUTHORIZATION] = "Authorization",
	[REQUEST_ENGINE] = "X-Edict-Engine",
	[REQUEST_ETAG] = "If-None-Match",
	[REQUEST_PREFER] = "Prefer",
	[REQUEST_AGENT] = "User-Agent",
	[REQUEST_LENGTH] = "Content-Length",
	[REQUEST_ENCODING] = "Transfer-Encoding",
};

/* The only one that a name of this length and with this first letter can be;
 * REQUEST_KNOWN: it is none of them. */
static enum request_known
candidate(char first, size_t len)
{
	switch (len) {
	case sizeof "Prefer" - 1:
		return REQUEST_PREFER;
	case sizeof "User-Agent" - 1:
		return REQUEST_AGENT;
	case sizeof "If-None-Match" - 1: /* and Authorization */
		return (first | 0x20) == 'i' ? REQUEST_ETAG
					     : REQUEST_AUTHORIZATION;
	case sizeof "X-Edict-Engine" - 1: /* and Content-Length */
		return (first | 0x20) == 'x' ? REQUEST_ENGINE : REQUEST_LENGTH;
	case sizeof "Transfer-Encoding" - 1:
		return REQUEST_ENCODING;
	default:
		return REQUEST_KNOWN;
	}
}

static enum request_known
find_known(const char *name, size_t len)
{
	enum request_known id = candidate(name[0], len);

	if (id == REQUEST_KNOWN || strncasecmp(known[id], name, len) != 0)
		return REQUEST_KNOWN;
	return id;
}

static enum MHD_Result
take_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t len,
    const char *value, size_t value_len)
{
	struct request *r = cls;
	enum request_known id = find_known(name, len);

	(void)kind;
	(void)value_len;
	if (id < REQUEST_KNOWN && r->known[id] == NULL)
		r->known[id] = value;
	return MHD_YES;
}

void
request_read_headers(struct request *r)
{
	(void)MHD_get_connection_values_n(r->connection, MHD_HEADER_KIND,
	    take_header, r);
}

const char *
request_header(const struct request *r, const char *name)
{
	enum request_known id = find_known(name, strlen(name));

	if (id < REQUEST_KNOWN)
		return r->known[id];
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
