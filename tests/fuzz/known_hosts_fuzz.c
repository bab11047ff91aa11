/* A known_hosts file, asked for a host on its usual port and on another. Only
 * a file that holds the key may know it. */

#include "policies/known_hosts.h"
#include "tests/fuzz/fuzz.h"

/* Of a length, and of bytes, that base64 can write in one way only. */
static const char key[] = "ssh-ed25519 key bytes!!!";
static const char key_text[] = "c3NoLWVkMjU1MTkga2V5IGJ5dGVzISEh";

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int ports[] = { 22, 2222 };
	const char *text = (const char *)data;

	for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
		enum known_hosts_answer a = known_hosts_check(text, size,
		    "git.example.org", ports[i], key, sizeof key - 1);

		if (a == KNOWN_HOSTS_MATCH || a == KNOWN_HOSTS_REVOKED)
			assert(memmem(text, size, key_text,
				   sizeof key_text - 1) != NULL);
		else
			assert(a == KNOWN_HOSTS_UNKNOWN ||
			    a == KNOWN_HOSTS_MISMATCH);
	}
	return 0;
}
