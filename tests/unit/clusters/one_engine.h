#ifndef TESTS_CLUSTERS_ONE_ENGINE_H
#define TESTS_CLUSTERS_ONE_ENGINE_H

/* A table with one engine and one bundle, whose assignment the test moves. */

#include "clusters/engines_table.h"

#define MINUTE (INT64_C(60) * 1000)
#define START (INT64_C(1800000000) * 1000)

struct one_engine {
	struct engines *t;
	struct engines_poll p;
	struct engines_mark has;
	struct engines_answer a;
	struct engines_ticket ticket;
};
extern struct one_engine x;

void one_open(size_t max);
/* Contents are numbers. */
struct engines_mark one_mark(int n);
void one_assign(int n, int64_t serial);
/* A poll with what number n was given as, 0: with nothing. */
void one_ask(int n);
/* The same, and it is sent what is assigned, unless it is held. */
bool one_ask_and_get(int n);

/* What is in the table: counts, and the last of each. */
struct one_found {
	struct engines_engine engine;
	struct engines_bundle bundle;
	size_t engines, bundles, reports;
	struct engines_report report;
};
void one_take(const struct engines_view *v, void *found);
struct one_found one_look(void);
/* Of the only engine, which is silent after five minutes. */
enum engines_state one_state(void);

#endif
