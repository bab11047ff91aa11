#ifndef SERVER_HTTP_ROUTES_H
#define SERVER_HTTP_ROUTES_H

/* Every route there is, as a list that server/http/dispatch.c makes its table of, and
 * the tests theirs of who may do what: a route that is not in both does not
 * compile. X(id, method, pattern, right, handler, query, action); see
 * server/http/route.h. */

/* clang-format off */
#define ROUTES(X)                                                             \
	X(bundle, "GET", "/bundles/{bundle}", ENGINE,                         \
	    bundle_api_get, NULL, NULL)                                       \
	X(cluster_bundle, "GET", "/clusters/{cluster}/bundles/{bundle}",      \
	    ENGINE, bundle_api_get_of_cluster, NULL, NULL)                    \
	X(discovery, "GET", "/clusters/{cluster}/discovery", ENGINE,          \
	    discovery_api_get, NULL, NULL)                                    \
	X(status, "POST", "/status", ENGINE, status_api_status, NULL, NULL)   \
	X(status_part, "POST", "/status/{partition}", ENGINE,                 \
	    status_api_status, NULL, NULL)                                    \
	X(cluster_status, "POST", "/clusters/{cluster}/status", ENGINE,       \
	    status_api_status, NULL, NULL)                                    \
	X(cluster_status_part, "POST",                                        \
	    "/clusters/{cluster}/status/{partition}", ENGINE,                 \
	    status_api_status, NULL, NULL)                                    \
	X(logs, "POST", "/logs", ENGINE, status_api_logs, NULL, NULL)         \
	X(logs_part, "POST", "/logs/{partition}", ENGINE, status_api_logs,    \
	    NULL, NULL)                                                       \
	X(cluster_logs, "POST", "/clusters/{cluster}/logs", ENGINE,           \
	    status_api_logs, NULL, NULL)                                      \
	X(cluster_logs_part, "POST", "/clusters/{cluster}/logs/{partition}",  \
	    ENGINE, status_api_logs, NULL, NULL)                              \
	X(healthz, "GET", "/healthz", ANYONE, health_api_alive, NULL, NULL)   \
	X(readyz, "GET", "/readyz", ANYONE, health_api_ready, NULL, NULL)     \
	X(metrics, "GET", "/metrics", ANYONE, metrics_get, NULL, NULL)        \
	X(repositories, "GET", "/v1/repositories", VIEWER,                    \
	    repositories_api_list, "limit next", NULL)                        \
	X(repository, "GET", "/v1/repositories/{repo}", VIEWER,               \
	    repositories_api_get, NULL, NULL)                                 \
	X(fetch, "POST", "/v1/repositories/{repo}/fetch", WHOLE_RELEASER,     \
	    operations_api_ask, NULL, "fetch")                                \
	X(suspend, "POST", "/v1/repositories/{repo}/suspend",                 \
	    WHOLE_RELEASER, operations_api_ask, NULL, "suspend")              \
	X(unsuspend, "POST", "/v1/repositories/{repo}/unsuspend",             \
	    WHOLE_RELEASER, operations_api_ask, NULL, "unsuspend")            \
	X(accept, "POST", "/v1/repositories/{repo}/accept", ADMIN,            \
	    operations_api_ask, NULL, "accept")                               \
	X(commits, "GET", "/v1/commits", VIEWER, commits_api_list,            \
	    "repository limit next", NULL)                                    \
	X(commit, "GET", "/v1/commits/{rev}", VIEWER, commits_api_get, NULL,  \
	    NULL)                                                             \
	X(retest, "POST", "/v1/commits/{rev}/retest", WHOLE_RELEASER,         \
	    operations_api_ask, NULL, "retest")                               \
	X(bundles, "GET", "/v1/bundles", VIEWER, bundles_api_list,            \
	    "limit next", NULL)                                               \
	X(bundle_about, "GET", "/v1/bundles/{bundle}", VIEWER,                \
	    bundles_api_get, NULL, NULL)                                      \
	X(diff, "GET", "/v1/bundles/{bundle}/diff", VIEWER, diff_api_get,     \
	    "from to", NULL)                                                  \
	X(revisions, "GET", "/v1/bundles/{bundle}/revisions", VIEWER,         \
	    bundles_api_revisions, "limit next", NULL)                        \
	X(revision, "GET", "/v1/bundles/{bundle}/revisions/{rev}", VIEWER,    \
	    bundles_api_revision, NULL, NULL)                                 \
	X(artifact, "GET",                                                    \
	    "/v1/bundles/{bundle}/revisions/{rev}/bundle.tar.gz", VIEWER,     \
	    bundles_api_artifact, NULL, NULL)                                 \
	X(rollback, "POST", "/v1/bundles/{bundle}/rollback", RELEASER,        \
	    operations_api_ask, NULL, "rollback")                             \
	X(pin, "POST", "/v1/bundles/{bundle}/pin", RELEASER,                  \
	    operations_api_ask, NULL, "pin")                                  \
	X(resume, "POST", "/v1/bundles/{bundle}/resume", RELEASER,            \
	    operations_api_ask, NULL, "resume")                               \
	X(rollback_all, "POST", "/v1/rollback", RELEASER, operations_api_ask, \
	    NULL, "rollback")                                                 \
	X(pin_all, "POST", "/v1/pin", RELEASER, operations_api_ask, NULL,     \
	    "pin")                                                            \
	X(resume_all, "POST", "/v1/resume", RELEASER, operations_api_ask,     \
	    NULL, "resume")                                                   \
	X(operation, "GET", "/v1/operations/{id}", VIEWER,                    \
	    operations_api_get, NULL, NULL)                                   \
	X(clusters, "GET", "/v1/clusters", VIEWER, clusters_api_list,         \
	    "limit next selector", NULL)                                      \
	X(cluster, "GET", "/v1/clusters/{cluster}", VIEWER,                   \
	    clusters_api_get, NULL, NULL)                                     \
	X(cluster_remove, "DELETE", "/v1/clusters/{cluster}", RELEASER,       \
	    operations_api_ask, NULL, "cluster.remove")                       \
	X(cluster_bundle_remove, "DELETE",                                    \
	    "/v1/clusters/{cluster}/bundles/{bundle}", RELEASER,              \
	    operations_api_ask, NULL, "cluster.remove")                       \
	X(engines, "GET", "/v1/clusters/{cluster}/engines", VIEWER,           \
	    engines_api_list, "limit next state", NULL)                       \
	X(gc, "POST", "/v1/gc", ADMIN, operations_api_ask, NULL, "gc")        \
	X(audit, "GET", "/v1/audit", WHOLE_VIEWER, audit_api_list,            \
	    "limit next kind who subject since commit", NULL)                 \
	X(heads, "GET", "/v1/audit/heads", WHOLE_VIEWER, audit_api_heads,     \
	    "limit next", NULL)                                               \
	X(head_sign, "POST", "/v1/audit/heads", ADMIN, operations_api_ask,    \
	    NULL, "audit.sign")                                               \
	X(alarms, "GET", "/v1/alarms", WHOLE_VIEWER, events_api_alarms,       \
	    "limit next", NULL)                                               \
	X(configuration, "GET", "/v1/configuration", WHOLE_VIEWER,            \
	    configuration_api_get, NULL, NULL)                                \
	X(events, "GET", "/v1/events", WHOLE_VIEWER, events_api_stream,       \
	    "after", NULL)                                                    \
	X(targets, "GET", "/v1/events/targets", WHOLE_VIEWER,                 \
	    events_api_targets, "limit next", NULL)                           \
	X(keys, "GET", "/v1/keys", VIEWER, keys_api_list, NULL, NULL)         \
	X(key_use, "POST", "/v1/keys/{key}/use", ADMIN, operations_api_ask,   \
	    NULL, "key.use")                                                  \
	X(key_retire, "POST", "/v1/keys/{key}/retire", ADMIN,                 \
	    keys_api_retire, NULL, "key.retire")                              \
	X(tokens, "GET", "/v1/tokens", ADMIN, tokens_api_list, "limit next",  \
	    NULL)                                                             \
	X(token_create, "POST", "/v1/tokens", ADMIN, operations_api_ask,      \
	    NULL, "token.create")                                             \
	X(token_revoke, "DELETE", "/v1/tokens/{token}", ADMIN,                \
	    operations_api_ask, NULL, "token.revoke")
/* clang-format on */

#endif
