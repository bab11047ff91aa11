/* A known_hosts file, asked for a host on its usual port and on another. Only
 * a file that holds the key, in the one way base64 has, may know it. */

#include "policies/known_hosts.h"
#include "tests/fuzz/fuzz.h"

/* Of a key as the protocol has it: a length, a type, and bytes. */
static const char key[] = "\0\0\0\x0bssh-ed25519\0\0\0\x04"
			  "KEY!";
static const char key_text[] = "AAAAC3NzaC1lZDI1NTE5AAAABEtFWSE=";

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
