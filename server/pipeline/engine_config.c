#include "server/pipeline/engine_config.h"

#include <string.h>

#include "bundler/discovery.h"
#include "core/canon.h"

const struct engine_proxy engine_proxies[] = {
	{ "nginx", 45, 60,
	    "nginx ends what is silent for 60 s "
	    "(proxy_read_timeout)" },
	{ "envoy", 10, 15,
	    "Envoy ends a request after 15 s, unless its route "
	    "has a timeout of its own" },
	{ "alb", 45, 60, "a load balancer ends what is idle for 60 s" },
	{ 0 },
};

/* JSON strings are YAML strings. */
static void
quoted(struct buf *out, const char *text)
{
	canon_write_string(out, text, strlen(text));
}

/* Each line further to the right. */
static void
indented(struct buf *out, const char *indent, const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		buf_add_str(out, indent);
		buf_add(out, text, len);
		buf_add_char(out, '\n');
		text += len + (text[len] == '\n');
	}
}

static void
write_token(struct buf *out, const struct engine_config *c)
{
	if (c->kind == ENGINE_FOR_KUBERNETES) {
		buf_add_str(out,
		    "    credentials:\n      bearer:\n        token_path: "
		    "\"" ENGINE_TOKEN_PATH "\"\n");
	} else if (c->token != NULL) {
		buf_add_str(out,
		    "    credentials:\n      bearer:\n        token: ");
		quoted(out, c->token);
		buf_add_char(out, '\n');
	}
}

static void
write_service(struct buf *out, const struct engine_config *c)
{
	buf_add_str(out, "services:\n  " ENGINE_SERVICE ":\n    url: ");
	quoted(out, c->url);
	buf_add_str(out,
	    "\n    headers:\n"
	    "      # Names this engine; HOSTNAME comes from its environment.\n"
	    "      X-Edict-Engine: \"${HOSTNAME}\"\n");
	write_token(out, c);
}

static void
write_key(struct buf *out, const struct engine_key *k)
{
	buf_add_str(out, "  ");
	quoted(out, k->id);
	buf_printf(out, ":\n    algorithm: %s\n    key: ", k->algorithm);
	if (k->public_pem == NULL) {
		buf_add_str(out, "\"<the shared secret>\"\n");
		return;
	}
	buf_add_str(out, "|\n");
	indented(out, "      ", k->public_pem);
}

static void
write_bundle(struct buf *out, const struct engine_config *c,
    const struct engine_bundle *b)
{
	buf_printf(out,
	    "  %s:\n"
	    "    service: " ENGINE_SERVICE "\n"
	    "    resource: clusters/%s/bundles/%s\n",
	    b->name, c->cluster, b->name);
	if (c->persist_dir != NULL)
		buf_add_str(out, "    persist: true\n");
	buf_printf(out,
	    "    polling:\n"
	    "      min_delay_seconds: 5\n"
	    "      max_delay_seconds: 15\n");
	/* Engines refuse a 0 here. */
	if (c->wait_seconds > 0)
		buf_printf(out, "      long_polling_timeout_seconds: %d\n",
		    c->wait_seconds);
	buf_add_str(out,
	    "    signing:\n"
	    "      # Without keyid an engine would accept unsigned bundles.\n"
	    "      keyid: ");
	quoted(out, b->key_id);
	buf_printf(out, "\n      scope: %s\n", b->name);
}

static void
write_bundles(struct buf *out, const struct engine_config *c)
{
	if (c->proxy != NULL && c->wait_seconds > 0)
		buf_printf(out, "# Long polls end after %d s: %s.\n",
		    c->wait_seconds, c->proxy->why);
	buf_add_str(out, "bundles:\n");
	for (size_t i = 0; i < c->bundle_count; i++)
		write_bundle(out, c, &c->bundles[i]);
}

/* Polled plainly: see server/http/loop_answer.c. */
static void
write_discovery(struct buf *out, const struct engine_config *c)
{
	buf_add_str(out,
	    "# Bundles, their keys and polling come from the server.\n");
	if (c->proxy != NULL)
		buf_printf(out,
		    "# In server.yaml discovery.wait has to be %d s or less: "
		    "%s.\n",
		    c->proxy->wait_seconds, c->proxy->why);
	buf_printf(out,
	    "discovery:\n"
	    "  service: " ENGINE_SERVICE "\n"
	    "  resource: clusters/%s/discovery\n"
	    "  decision: " DISCOVERY_DECISION "\n",
	    c->cluster);
	if (c->persist_dir != NULL)
		buf_add_str(out, "  persist: true\n");
	buf_add_str(out,
	    "  polling:\n"
	    "    min_delay_seconds: 20\n"
	    "    max_delay_seconds: 40\n"
	    "  signing:\n"
	    "    keyid: ");
	quoted(out, c->discovery_key);
	buf_printf(out, "\n    scope: " DISCOVERY_NAME "/%s\n", c->cluster);
}

static void
write_envoy(struct buf *out, const struct engine_config *c)
{
	buf_add_str(out,
	    "plugins:\n"
	    "  # For OPA's image with -envoy in its tag; plain OPA knows no\n"
	    "  # such plugin. Envoy's ext_authz filter asks here.\n"
	    "  envoy_ext_authz_grpc:\n"
	    "    addr: \":9191\"\n"
	    "    path: ");
	quoted(out, c->decision);
	buf_add_char(out, '\n');
}

static void
write_plain(struct buf *out, const struct engine_config *c)
{
	write_service(out, c);
	buf_add_str(out, "keys:\n");
	for (size_t i = 0; i < c->key_count; i++)
		write_key(out, &c->keys[i]);
	if (c->persist_dir != NULL) {
		buf_add_str(out,
		    "# Bundles survive a restart here; it has to be writable.\n"
		    "persistence_directory: ");
		quoted(out, c->persist_dir);
		buf_add_char(out, '\n');
	}
	if (c->kind == ENGINE_FOR_ENVOY)
		write_envoy(out, c);
	if (c->discovery_key != NULL)
		write_discovery(out, c);
	else
		write_bundles(out, c);
}

static const char kubernetes_head[] =
    "# The token: kubectl create secret generic opa-edict \\\n"
    "#   --from-file=token=FILE\n"
    "apiVersion: v1\n"
    "kind: ConfigMap\n"
    "metadata:\n"
    "  name: opa-config\n"
    "data:\n"
    "  opa.yaml: |\n";

static const char kubernetes_deployment[] =
    "---\n"
    "apiVersion: apps/v1\n"
    "kind: Deployment\n"
    "metadata:\n"
    "  name: opa\n"
    "spec:\n"
    "  replicas: 2\n"
    "  selector:\n"
    "    matchLabels: {app: opa}\n"
    "  template:\n"
    "    metadata:\n"
    "      labels: {app: opa}\n"
    "    spec:\n"
    "      securityContext:\n"
    "        runAsNonRoot: true\n"
    "        runAsUser: 1000\n"
    "        fsGroup: 1000\n"
    "      containers:\n"
    "        - name: opa\n"
    "          image: openpolicyagent/opa:1.19.1-static\n"
    "          args:\n"
    "            - run\n"
    "            - --server\n"
    "            - --config-file=/etc/opa/opa.yaml\n"
    "            - --addr=0.0.0.0:8181\n"
    "            - --diagnostic-addr=0.0.0.0:8282\n"
    "          env:\n"
    "            # Who it is, in `edict status`.\n"
    "            - name: HOSTNAME\n"
    "              valueFrom:\n"
    "                fieldRef: {fieldPath: metadata.name}\n"
    "          ports:\n"
    "            - {name: http, containerPort: 8181}\n"
    "          # Ready once every bundle is active. Alive without them: to\n"
    "          # start it again brings none.\n"
    "          readinessProbe:\n"
    "            httpGet: {path: \"/health?bundles\", port: 8282}\n"
    "            periodSeconds: 5\n"
    "          livenessProbe:\n"
    "            httpGet: {path: /health, port: 8282}\n"
    "          volumeMounts:\n"
    "            - {name: config, mountPath: /etc/opa, readOnly: true}\n"
    "            - name: token\n"
    "              mountPath: /var/run/secrets/edict\n"
    "              readOnly: true\n"
    "            - {name: bundles, mountPath: " ENGINE_PERSIST_PATH "}\n"
    "      volumes:\n"
    "        - name: config\n"
    "          configMap: {name: opa-config}\n"
    "        - name: token\n"
    "          secret: {secretName: opa-edict}\n"
    "        - name: bundles\n"
    "          emptyDir: {}\n";

void
engine_config_write(struct buf *out, const struct engine_config *c)
{
	AUTO_BUF plain = { 0 };

	if (c->kind != ENGINE_FOR_KUBERNETES) {
		write_plain(out, c);
		return;
	}
	buf_init(&plain, out->max);
	write_plain(&plain, c);
	buf_add_str(out, kubernetes_head);
	indented(out, "    ", plain.data);
	buf_add_str(out, kubernetes_deployment);
}
