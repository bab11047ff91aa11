#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

#include "core/mem.h"
#include "server/supervisor/call_private.h"

enum { MAC_SIZE = 32 };

static void
add_mac(struct buf *out, const char *secret, const void *text, size_t len)
{
	unsigned char mac[MAC_SIZE];
	size_t size = 0;
	void *ok = EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, secret,
	    strlen(secret), text, len, mac, sizeof mac, &size);

	assert(ok != NULL && size == sizeof mac);
	buf_add_str(out, ",v1=");
	for (size_t i = 0; i < sizeof mac; i++)
		buf_printf(out, "%02x", mac[i]);
}

char *
call_signature(const char *const *secrets, size_t count, int64_t time_s,
    const void *body, size_t len)
{
	AUTO_BUF text = { 0 };
	AUTO_BUF out = { 0 };

	buf_init(&text, CALL_BODY_MAX + 32);
	buf_printf(&text, "%lld.", (long long)time_s);
	buf_add(&text, body, len);
	assert(!text.overflow);
	buf_init(&out, 1024);
	buf_printf(&out, "t=%lld", (long long)time_s);
	for (size_t i = 0; i < count; i++)
		add_mac(&out, secrets[i], text.data, text.len);
	return buf_steal(&out, NULL);
}
