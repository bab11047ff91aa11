#include "tool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "core/file.h"
#include "core/mem.h"

int
tool_setup(void **state)
{
	const char *base = getenv("TMPDIR");
	char *path =
	    mem_printf("%s/edict-signing-XXXXXX", base != NULL ? base : "/tmp");

	if (mkdtemp(path) == NULL)
		return -1;
	*state = path;
	return 0;
}

int
tool_teardown(void **state)
{
	struct err e;

	if (file_remove_tree(*state, &e) != ERR_OK) {
		print_error("%s\n", e.text);
		return -1;
	}
	mem_free(*state);
	return 0;
}

void
tool_write(const char *dir, const char *name, const void *data, size_t len)
{
	AUTO_STR path = file_path(dir, name);
	char *slash = strrchr(path, '/');
	struct err e;

	*slash = '\0';
	if (file_make_dirs(path, &e) != ERR_OK)
		fail_msg("%s", e.text);
	*slash = '/';
	if (file_replace(path, data, len, 0600, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

void
tool_read(struct buf *out, const char *path)
{
	struct err e;

	if (file_read(out, path, &e) != ERR_OK)
		fail_msg("%s", e.text);
}

static _Noreturn void
become(const char *const *argv, int output)
{
	if (freopen("/dev/null", "r", stdin) != NULL &&
	    dup2(output, STDOUT_FILENO) >= 0 &&
	    dup2(output, STDERR_FILENO) >= 0)
		execvp(argv[0], (char *const *)(uintptr_t)argv);
	fprintf(stderr, "%s: cannot run; is it installed?\n", argv[0]);
	_exit(127);
}

int
tool_run(struct buf *out, const char *const *argv)
{
	struct err e;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		become(argv, fds[1]);
	}
	close(fds[1]);
	if (file_read_fd(out, fds[0], argv[0], &e) != ERR_OK)
		fail_msg("%s", e.text);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 127)
		fail_msg("%s", out->data);
	return WEXITSTATUS(status);
}

const char *
tool_opa(void)
{
	const char *path = getenv("EDICT_OPA");

	return path != NULL && path[0] != '\0' ? path : "build/tools/opa";
}

struct key *
tool_key(const char *id, enum key_algorithm a)
{
	static char pem[KEY_FILE_MAX];
	static size_t len;
	struct key *k = NULL;
	struct err e;

	if (len == 0) {
		AUTO_BUF text = { 0 };

		buf_init(&text, sizeof pem);
		if (key_generate(&k, "rsa", KEY_RS256, &e) != ERR_OK)
			fail_msg("%s", e.text);
		key_write_private(&text, k);
		key_free(k);
		memcpy(pem, text.data, text.len);
		len = text.len;
	}
	if (a < KEY_ES256) {
		if (key_read_private(&k, id, a, id, pem, len, &e) != ERR_OK)
			fail_msg("%s", e.text);
	} else if (key_generate(&k, id, a, &e) != ERR_OK) {
		fail_msg("%s", e.text);
	}
	return k;
}

void
tool_verification_key(struct buf *out, const struct key *k)
{
	if (key_is_symmetric(k))
		key_write_private(out, k);
	else
		key_write_public(out, k);
}

void
tool_base64url(struct buf *out, const void *data, size_t len)
{
	size_t start = out->len;
	char *to = buf_reserve(out, len / 3 * 4 + 8);
	int made;

	assert_non_null(to);
	made = EVP_EncodeBlock((unsigned char *)to, data, (int)len);
	buf_commit(out, (size_t)made);
	while (out->len > start && out->data[out->len - 1] == '=')
		out->len--;
	out->data[out->len] = '\0';
	for (size_t i = start; i < out->len; i++) {
		if (out->data[i] == '+')
			out->data[i] = '-';
		if (out->data[i] == '/')
			out->data[i] = '_';
	}
}

/* Adds ,"name":"number"; width 0: as short as it is. */
static void
add_number(struct buf *out, const EVP_PKEY *pair, const char *name,
    const char *param, size_t width)
{
	unsigned char bytes[1024];
	BIGNUM *n = NULL;
	int len;

	assert_int_equal(EVP_PKEY_get_bn_param(pair, param, &n), 1);
	len = width > 0 ? (int)width : BN_num_bytes(n);
	assert_true(len <= (int)sizeof bytes);
	assert_int_equal(BN_bn2binpad(n, bytes, len), len);
	BN_clear_free(n);
	buf_printf(out, ",\"%s\":\"", name);
	tool_base64url(out, bytes, (size_t)len);
	buf_add_char(out, '"');
}

static void
add_rsa(struct buf *out, const EVP_PKEY *pair)
{
	static const struct {
		const char *name, *param;
	} numbers[] = {
		{ "n", OSSL_PKEY_PARAM_RSA_N },
		{ "e", OSSL_PKEY_PARAM_RSA_E },
		{ "d", OSSL_PKEY_PARAM_RSA_D },
		{ "p", OSSL_PKEY_PARAM_RSA_FACTOR1 },
		{ "q", OSSL_PKEY_PARAM_RSA_FACTOR2 },
		{ "dp", OSSL_PKEY_PARAM_RSA_EXPONENT1 },
		{ "dq", OSSL_PKEY_PARAM_RSA_EXPONENT2 },
		{ "qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1 },
	};

	buf_add_str(out, ",\"kty\":\"RSA\"");
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		add_number(out, pair, numbers[i].name, numbers[i].param, 0);
}

static void
add_ec(struct buf *out, const EVP_PKEY *pair)
{
	int bits = EVP_PKEY_get_bits(pair);
	size_t width = (size_t)(bits + 7) / 8;

	buf_printf(out, ",\"kty\":\"EC\",\"crv\":\"P-%d\"", bits);
	add_number(out, pair, "x", OSSL_PKEY_PARAM_EC_PUB_X, width);
	add_number(out, pair, "y", OSSL_PKEY_PARAM_EC_PUB_Y, width);
	add_number(out, pair, "d", OSSL_PKEY_PARAM_PRIV_KEY, width);
}

void
tool_jwk(struct buf *out, const struct key *k)
{
	AUTO_BUF text = { 0 };
	EVP_PKEY *pair;
	BIO *from;

	buf_init(&text, KEY_FILE_MAX);
	key_write_private(&text, k);
	buf_printf(out, "{\"alg\":\"%s\",\"kid\":\"%s\"",
	    key_algorithm_name(key_algorithm_of(k)), key_id(k));
	if (key_is_symmetric(k)) {
		buf_add_str(out, ",\"kty\":\"oct\",\"k\":\"");
		tool_base64url(out, text.data, text.len);
		buf_add_str(out, "\"}");
		return;
	}
	from = BIO_new_mem_buf(text.data, (int)text.len);
	pair = PEM_read_bio_PrivateKey(from, NULL, NULL, NULL);
	assert_non_null(pair);
	if (EVP_PKEY_is_a(pair, "RSA"))
		add_rsa(out, pair);
	else
		add_ec(out, pair);
	buf_add_char(out, '}');
	EVP_PKEY_free(pair);
	(void)BIO_free(from);
}
