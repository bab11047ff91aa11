#ifndef SERVER_API_ENGINE_VERSION_H
#define SERVER_API_ENGINE_VERSION_H

/* Versions of OPA that are known to do harm here. Pure; any thread. */

/* What is wrong with this version ("1.12.0"), or NULL. */
const char *engine_version_note(const char *version);

#endif
