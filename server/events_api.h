#ifndef SERVER_EVENTS_API_H
#define SERVER_EVENTS_API_H

/* Who is told of events and how far each is; what is wrong and was told. */

struct request;

void events_api_targets(struct request *r);
void events_api_alarms(struct request *r);

#endif
