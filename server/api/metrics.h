#ifndef SERVER_API_METRICS_H
#define SERVER_API_METRICS_H

/* GET /metrics: Prometheus' text format. Without an operator's credential it
 * names nothing. */

struct request;

void metrics_get(struct request *r);

#endif
