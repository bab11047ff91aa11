#ifndef POLICIES_UTF8_H
#define POLICIES_UTF8_H

/* Another name for core/utf8.h. */

#include "core/utf8.h"

#endif
