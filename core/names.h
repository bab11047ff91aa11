#ifndef CORE_NAMES_H
#define CORE_NAMES_H

/* Names that several folders must agree on. */

/* Files of a bundle with a meaning to engines (OPA, bundle/bundle.go). */
#define MANIFEST_FILE ".manifest"
#define SIGNATURES_FILE ".signatures.json"

/* The bundle that tells an engine its configuration, made by us: no other
 * bundle and no cluster is called so. */
#define DISCOVERY_NAME "discovery"

#endif
