#ifndef SERVER_API_EVENTS_API_H
#define SERVER_API_EVENTS_API_H

/* Events for whoever asks; who else is told of them and how far each is; what is
 * wrong and was told. */

struct request;

void events_api_stream(struct request *r);
void events_api_targets(struct request *r);
void events_api_alarms(struct request *r);

#endif
