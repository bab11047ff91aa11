/* The bytes: the same everywhere, readable by others, verified by the engine.
 * Run as `unit_pack digest` it prints the digests of one bundle and ends. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bundler/bundle.h"
#include "bundler/pack.h"
#include "core/mem.h"
#include "fixture.h"
#include "signing/digest.h"

#define LONG_NAME                                                    \
	"a-folder-with-a-long-name/another-folder-with-a-long-name/" \
	"and-one-more-so-that-a-header-has-to-be-split/policy.rego"
#define LONGER_NAME                                                            \
	"one-segment-that-is-longer-than-a-hundred-bytes-and-so-does-not-fit-" \
	"into-the-name-field-of-a-header-at-all-whatever.rego"

static const char *const files[] = {
	"+first/a.rego",
	"package first\nallow := true\n",
	"a/x.rego",
	"package a.x\nallow if data.roles.admin == input.user\n",
	"roles/data.json",
	"{\"admin\":\"alice\",\"limit\":1.10}",
	"z/\xc3\xa4\xe2\x82\xac.rego",
	"package z\np := 1\n",
	LONG_NAME,
	"package long\n",
	LONGER_NAME,
	"package longer\n",
	"empty/data.json",
	"{}",
	NULL,
};

static void
pack(struct buf *out, const struct bundle *b)
{
	struct err e;

	buf_init(out, PACK_SIZE_MAX);
	if (bundle_pack(out, b, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static struct bundle *
sample(void)
{
	AUTO(tree, t) = fixture_commit(files);

	return fixture_bundle(t, &fixture_all);
}

static int
print_digests(void)
{
	AUTO(bundle, b) = NULL;
	char hex[DIGEST_HEX_SIZE];
	AUTO_BUF bytes = { 0 };

	(void)setlocale(LC_ALL, "");
	b = sample();
	pack(&bytes, b);
	digest_hex(hex, bytes.data, bytes.len);
	(void)printf("%s %s\n", b->content, hex);
	return 0;
}

/* Other processes, time zones, locales, umasks, folders. */
static void
same_bytes_everywhere(void **state)
{
	static const char *const places[] = {
		"cd / && umask 077 && TZ=Pacific/Chatham LC_ALL=C",
		"cd /tmp && umask 0 && TZ=America/St_Johns LC_ALL=C.UTF-8",
		"TZ=UTC LC_ALL=POSIX LANG=de_DE.UTF-8",
	};
	char self[4096];
	ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
	AUTO_STR first = NULL;
	struct buf out = { 0 };

	(void)state;
	assert_true(len > 0);
	self[len] = '\0';
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		assert_int_equal(fixture_run(&out, "%s %s digest", places[i],
				     self),
		    0);
		assert_int_equal(out.len, 2 * 64 + 2);
		if (first == NULL)
			first = mem_strdup(out.data);
		assert_string_equal(out.data, first);
	}
	buf_clear(&out);
}

/* Worked out with sha256sum from the text in bundle.h; it may only change
 * together with BUNDLE_FORMAT. */
static void
same_content_as_ever(void **state)
{
	static const char *const small[] = { "a.rego", "package a\n",
		"data.json", "{\"b\": 1.0}", NULL };
	AUTO(tree, t) = fixture_tree(small);
	AUTO(bundle, b) = fixture_bundle(t, &fixture_all);

	(void)state;
	assert_string_equal(b->content,
	    "3f124e15af61dc0fac0363862f7a1d0045e1c24de621f19d71f88c014e2a92c9");
}

static void
has_a_plain_header(void **state)
{
	AUTO(bundle, b) = sample();
	struct buf out = { 0 };
	char *folder = fixture_folder();
	AUTO_BUF bytes = { 0 };

	(void)state;
	pack(&bytes, b);
	/* RFC 1952: no flags, no time, no system. */
	assert_memory_equal(bytes.data, "\x1f\x8b\x08\x00\x00\x00\x00\x00", 8);
	assert_int_equal((unsigned char)bytes.data[9], 255);
	fixture_write(folder, "b.tar.gz", bytes.data, bytes.len);
	assert_int_equal(
	    fixture_run(&out,
		"cd %s && tar --numeric-owner --full-time -tvzf b.tar.gz | "
		"grep -v '^-rw-r--r-- 0/0 .* 1970-01-01 00:00:00 ' | wc -l",
		folder),
	    0);
	assert_string_equal(out.data, "0\n");
	assert_int_equal(
	    fixture_run(&out,
		"cd %s && LC_ALL=C.UTF-8 tar tzf b.tar.gz | head -3", folder),
	    0);
	assert_string_equal(out.data,
	    ".manifest\n+first/a.rego\n" LONG_NAME "\n");
	assert_int_equal(fixture_run(&out, "cd %s && tar xzOf b.tar.gz %s",
			     folder, LONGER_NAME),
	    0);
	assert_string_equal(out.data, "package longer\n");
	buf_clear(&out);
	fixture_folder_end(folder);
}

struct signed_bundle {
	struct key *key;
	struct bundle *b;
	struct buf content;
	struct buf bytes;
	char *folder; /* with signed.tar.gz and key.pem */
};

static void
sign(struct signed_bundle *s)
{
	struct jws_file *list;
	AUTO_BUF jws, pem;
	struct err e;

	buf_init(&jws, JWS_SIZE_MAX);
	buf_init(&pem, KEY_FILE_MAX);
	buf_init(&s->bytes, PACK_SIZE_MAX);
	s->b = sample();
	pack(&s->content, s->b);
	s->folder = fixture_folder();
	/* ES: an RSA key takes a second to make, and a run is one of many. */
	if (key_generate(&s->key, "k1", KEY_ES256, &e) != ERR_OK)
		fail_msg("%s", e.text);
	list = bundle_jws_files(s->b);
	if (jws_sign(&jws, s->key, "main", list, s->b->count, &e) != ERR_OK ||
	    bundle_sign_pack(&s->bytes, s->content.data, s->content.len,
		jws.data, jws.len, &e) != ERR_OK)
		fail_msg("%s", e.text);
	mem_free(list);
	key_write_public(&pem, s->key);
	fixture_write(s->folder, "key.pem", pem.data, pem.len);
	fixture_write(s->folder, "signed.tar.gz", s->bytes.data, s->bytes.len);
}

static void
unsign(struct signed_bundle *s)
{
	key_free(s->key);
	bundle_free(s->b);
	buf_clear(&s->content);
	buf_clear(&s->bytes);
	fixture_folder_end(s->folder);
}

static int
engine_verifies(const struct signed_bundle *s, const char *file,
    const char *scope, struct buf *out)
{
	return fixture_run(out,
	    "cd %s && %s build -b %s --verification-key key.pem "
	    "--signing-alg ES256 --verification-key-id k1 --scope '%s' "
	    "-o /dev/null",
	    s->folder, fixture_opa(), file, scope);
}

static void
engine_takes_what_is_signed(void **state)
{
	struct signed_bundle s = { 0 };
	struct buf out = { 0 };

	(void)state;
	sign(&s);
	if (engine_verifies(&s, "signed.tar.gz", "main", &out) != 0)
		fail_msg("%s", out.data);
	assert_int_not_equal(engine_verifies(&s, "signed.tar.gz", "other",
				 &out),
	    0);
	/* Unsigned, and with one byte more than was signed. */
	fixture_write(s.folder, "bare.tar.gz", s.content.data, s.content.len);
	assert_int_not_equal(engine_verifies(&s, "bare.tar.gz", "main", &out),
	    0);
	assert_int_equal(
	    fixture_run(&out,
		"cd %s && mkdir x && tar xzf signed.tar.gz -C x && echo '# x' "
		">>x/a/x.rego && cd x && tar czf ../bad.tar.gz .manifest "
		".signatures.json *",
		s.folder),
	    0);
	assert_int_not_equal(engine_verifies(&s, "bad.tar.gz", "main", &out),
	    0);
	assert_non_null(strstr(out.data, "digest mismatch"));
	if (fixture_run(&out,
		"cd %s && echo '{\"user\":\"alice\"}' >in && %s eval -f raw -i in "
		"-b signed.tar.gz '[data.a.x.allow, data.z.p, data.roles.limit]'",
		s.folder, fixture_opa()) != 0)
		fail_msg("%s", out.data);
	assert_string_equal(out.data, "[true,1,1.10]\n");
	assert_int_equal(fixture_run(&out,
			     "cd %s && tar tzf signed.tar.gz | "
			     "head -2",
			     s.folder),
	    0);
	assert_string_equal(out.data, ".signatures.json\n.manifest\n");
	buf_clear(&out);
	unsign(&s);
}

static void
reads_what_it_wrote(void **state)
{
	struct signed_bundle s = { 0 };
	struct bundle_archive a = { 0 };
	struct err e;

	(void)state;
	sign(&s);
	if (bundle_read(&a, "signed.tar.gz", s.bytes.data, s.bytes.len, &e) !=
	    ERR_OK)
		fail_msg("%s", e.text);
	assert_int_equal(a.count, s.b->count);
	for (size_t i = 0; i < a.count; i++) {
		assert_string_equal(a.files[i].path, s.b->files[i].path);
		assert_string_equal(a.files[i].hash, s.b->files[i].hash);
	}
	assert_string_equal(a.revision, s.b->revision);
	assert_int_equal(a.root_count, s.b->root_count);
	for (size_t i = 0; i < a.root_count; i++)
		assert_string_equal(a.roots[i], s.b->roots[i]);
	if (bundle_verify(&a, s.key, "main", &e) != ERR_OK)
		fail_msg("%s", e.text);
	assert_int_equal(bundle_verify(&a, s.key, "other", &e), ERR_CRYPTO);
	a.files[1].hash[0] ^= 1;
	assert_int_equal(bundle_verify(&a, s.key, "main", &e), ERR_CRYPTO);
	assert_non_null(strstr(e.text, "is not what was signed"));
	a.files[1].hash[0] ^= 1;
	a.count--;
	assert_int_equal(bundle_verify(&a, s.key, "main", &e), ERR_CRYPTO);
	assert_non_null(strstr(e.text, "was signed but is not"));
	a.count++;
	bundle_archive_clear(&a);
	if (bundle_read(&a, "content", s.content.data, s.content.len, &e) !=
	    ERR_OK)
		fail_msg("%s", e.text);
	assert_int_equal(bundle_verify(&a, s.key, "main", &e), ERR_CRYPTO);
	assert_non_null(strstr(e.text, "not signed"));
	bundle_archive_clear(&a);
	unsign(&s);
}

static void
keeps_to_the_limit_of_its_buffer(void **state)
{
	AUTO(bundle, b) = sample();
	struct err e;
	AUTO_BUF small = { 0 };

	(void)state;
	buf_init(&small, 100);
	assert_int_equal(bundle_pack(&small, b, &e), ERR_LIMIT);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_bytes_everywhere),
		cmocka_unit_test(same_content_as_ever),
		cmocka_unit_test(has_a_plain_header),
		cmocka_unit_test(engine_takes_what_is_signed),
		cmocka_unit_test(reads_what_it_wrote),
		cmocka_unit_test(keeps_to_the_limit_of_its_buffer),
	};

	if (argc == 2 && strcmp(argv[1], "digest") == 0)
		return print_digests();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
