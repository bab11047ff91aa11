#include "policies/fetch_url.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/utf8.h"
#include "policies/fetch.h"

static const struct {
	const char *scheme;
	enum fetch_kind kind;
	int port;
} schemes[] = {
	{ "https://", FETCH_HTTPS, 443 },
	{ "http://", FETCH_HTTP, 80 },
	{ "ssh://", FETCH_SSH, 22 },
};

/* user@host:path, as scp writes it: a colon before the first slash. */
static const char *
scp_colon(const char *url)
{
	size_t to = strcspn(url, "/:");

	return url[to] == ':' && to > 0 ? url + to : NULL;
}

bool
fetch_is_local(const char *url)
{
	if (strncmp(url, "file://", 7) == 0)
		return true;
	return strstr(url, "://") == NULL && scp_colon(url) == NULL;
}

const char *
fetch_local_path(const char *url)
{
	if (strncmp(url, "file://localhost/", 17) == 0)
		return url + 16;
	return strncmp(url, "file://", 7) == 0 ? url + 7 : url;
}

static enum err_code
copy_part(char out[FETCH_HOST_MAX], const char *from, size_t len,
    const char *what, struct err *e)
{
	if (len >= FETCH_HOST_MAX)
		return err_set(e, ERR_LIMIT, "url: its %s is too long", what);
	memcpy(out, from, len);
	out[len] = '\0';
	return ERR_OK;
}

static enum err_code
read_user(struct fetch_url *out, const char *from, size_t len, struct err *e)
{
	if (memchr(from, ':', len) != NULL)
		return err_set(e, ERR_INVALID,
		    "url: it holds a password, which would end up in logs; "
		    "write the password to a file with mode 0600 and name that "
		    "as credentials.password_file");
	return copy_part(out->user, from, len, "user", e);
}

static enum err_code
read_port(struct fetch_url *out, const char *from, size_t len, struct err *e)
{
	char digits[8];
	long port;

	if (len == 0)
		return ERR_OK;
	if (len >= sizeof(digits) || strspn(from, "0123456789") < len)
		return err_set(e, ERR_INVALID, "url: its port is no number");
	memcpy(digits, from, len);
	digits[len] = '\0';
	port = strtol(digits, NULL, 10);
	if (port < 1 || port > 65535)
		return err_set(e, ERR_INVALID,
		    "url: port %ld; a port is 1 to 65535", port);
	out->port = (int)port;
	return ERR_OK;
}

/* [user@]host[:port] */
static enum err_code
read_authority(struct fetch_url *out, const char *from, size_t len,
    struct err *e)
{
	const char *end = from + len;
	const char *at = memrchr(from, '@', len);
	const char *host = at != NULL ? at + 1 : from;
	const char *host_end;

	if (at != NULL)
		TRY(read_user(out, from, (size_t)(at - from), e));
	if (host < end && *host == '[') {
		host++;
		host_end = memchr(host, ']', (size_t)(end - host));
		if (host_end == NULL)
			return err_set(e, ERR_INVALID,
			    "url: no ] after its address");
		from = host_end + 1;
	} else {
		host_end = memchr(host, ':', (size_t)(end - host));
		if (host_end == NULL)
			host_end = end;
		from = host_end;
	}
	TRY(copy_part(out->host, host, (size_t)(host_end - host), "host", e));
	if (out->host[0] == '\0' || out->host[0] == '-')
		return err_set(e, ERR_INVALID, "url: it names no host");
	if (from == end)
		return ERR_OK;
	if (*from != ':')
		return err_set(e, ERR_INVALID,
		    "url: text between host and path");
	return read_port(out, from + 1, (size_t)(end - from) - 1, e);
}

static bool
is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static enum err_code
read_scp(struct fetch_url *out, const char *url, struct err *e)
{
	const char *colon = scp_colon(url);

	out->kind = FETCH_SSH;
	out->port = 22;
	if (strchr(url, '[') != NULL)
		return err_set(e, ERR_INVALID,
		    "url: write it as ssh://user@host:port/path");
	return read_authority(out, url, (size_t)(colon - url), e);
}

static enum err_code
check_bytes(const char *url, struct err *e)
{
	const unsigned char *p = (const unsigned char *)url;
	const unsigned char *end = p + strlen(url);

	if (p == end)
		return err_set(e, ERR_INVALID, "url: it is empty");
	if (end - p > FETCH_URL_MAX)
		return err_set(e, ERR_LIMIT, "url: longer than %d bytes",
		    (int)FETCH_URL_MAX);
	while (p < end)
		if (utf8_is_control(utf8_next(&p, end)))
			return err_set(e, ERR_INVALID,
			    "url: a control character, or not UTF-8");
	return ERR_OK;
}

enum err_code
fetch_url_read(struct fetch_url *out, const char *url, struct err *e)
{
	memset(out, 0, sizeof(*out));
	TRY(check_bytes(url, e));
	if (fetch_is_local(url)) {
		if (strncmp(url, "file://", 7) == 0 &&
		    fetch_local_path(url)[0] != '/')
			return err_set(e, ERR_INVALID,
			    "url: a file:// url goes on with an absolute path: "
			    "file:///srv/policies.git");
		out->kind = FETCH_LOCAL;
		return ERR_OK;
	}
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t len = strlen(schemes[i].scheme);

		if (strncasecmp(url, schemes[i].scheme, len) != 0)
			continue;
		out->kind = schemes[i].kind;
		out->port = schemes[i].port;
		TRY(read_authority(out, url + len, strcspn(url + len, "/?#"),
		    e));
		if (out->kind == FETCH_HTTP && !is_loopback(out->host))
			return err_set(e, ERR_INVALID,
			    "url: http:// is for this machine alone, anybody "
			    "on the way could change policies; use https:// or "
			    "ssh://");
		return ERR_OK;
	}
	if (strstr(url, "://") == NULL)
		return read_scp(out, url, e);
	return err_set(e, ERR_INVALID,
	    "url: give a path, file://, https://, ssh:// or user@host:path");
}
