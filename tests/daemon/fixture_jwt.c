#include "tests/daemon/fixture.h"

static const char tools[] =
    "b64() { basenc --base64url -w0 | tr -d '=\\n'; }\n"
    "key() { jose jwk gen -i \"{\\\"alg\\\":\\\"$2\\\",\\\"kid\\\":\\\"$1\\\"}\""
    " -o $1.jwk; jose jwk pub -i $1.jwk -o $1.pub; }\n"
    "keyset() { sep=; { printf '{\"keys\":['; for k; do printf \"$sep\"; cat "
    "$k.pub; sep=,; done; printf ']}'; } >keys.new; mv keys.new keys.json; }\n"
    "claims() { now=$(date +%s); jq -cn --argjson n $now '{iss:\"https:"
    "//k8s.example.org\",aud:[\"other\",\"edict\"],exp:($n+600),nbf:($n-5),"
    "iat:($n-5),sub:\"system:serviceaccount:eu:opa\",\"kubernetes.io\":{"
    "namespace:\"eu\",pod:{name:\"opa-7f9c\"}}} | '\"${1:-.}\"; }\n"
    "sign() { printf %s \"$3\" | jose jws sig -I - -k $1.jwk -s \"{"
    "\\\"protected\\\":{\\\"alg\\\":\\\"$2\\\",\\\"kid\\\":\\\"${4:-$1}\\\"}}\""
    " -c; }\n";

const char *
daemon_jose(const char *commands)
{
	return daemon_sh("%s%s", tools, commands);
}

const char *
daemon_jwt(const char *key, const char *algorithm, const char *change)
{
	return daemon_jose(daemon_printf("sign %s %s \"$(claims '%s')\"", key,
	    algorithm, change));
}
