#ifndef SERVER_API_ENGINES_API_H
#define SERVER_API_ENGINES_API_H

/* /v1/clusters/{cluster}/engines, and what /v1/clusters shows of engines. */

#include <jansson.h>

#include "core/err.h"

struct request;
struct store;

void engines_api_list(struct request *r);

/* Adds to a cluster, as clusters/view.h has it, how its engines are: "engines"
 * of the cluster and of each assignment, "running" of each assignment. */
enum err_code engines_api_add(struct request *r, struct store *s,
    json_t *clusters, struct err *e) MUST_CHECK;
/* Adds "decisions", as its engines' logs have them. */
void engines_api_add_decisions(struct request *r, json_t *cluster);

#endif
