#include "clusters/payload.h"

#include <stdint.h>

const char *
payload_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

json_t *
payload_unconst(const json_t *j)
{
	return (json_t *)(uintptr_t)j;
}

enum err_code
payload_error(const json_error_t *why, const char *what, struct err *e)
{
	return err_set(e, ERR_INVALID, "%s: %s", what, why->text);
}
