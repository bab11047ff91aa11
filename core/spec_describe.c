#include "core/mem.h"
#include "core/spec_parts.h"

void
spec_list_choices(struct buf *out, const char *const *choices,
    const char *quote)
{
	for (size_t i = 0; choices[i] != NULL; i++) {
		if (i > 0)
			buf_add_str(out,
			    choices[i + 1] != NULL ? ", " : " or ");
		buf_printf(out, "%s%s%s", quote, choices[i], quote);
	}
}

static const char *
kind_text(enum spec_kind kind)
{
	static const char *const texts[] = {
		[SPEC_STRING] = "string",
		[SPEC_NAME] = "name",
		[SPEC_BOOL] = "true or false",
		[SPEC_INT] = "number",
		[SPEC_SIZE] = "size",
		[SPEC_SECONDS] = "time",
		[SPEC_ENUM] = "",
		[SPEC_STRINGS] = "strings",
		[SPEC_OBJECT] = "object",
		[SPEC_LIST] = "list of objects",
		[SPEC_MAP] = "objects by name",
		[SPEC_VALUE] = "anything",
		[SPEC_CUSTOM] = "see there",
	};

	return texts[kind];
}

static void
describe_kind(struct buf *out, const struct spec *s)
{
	char range[SPEC_RANGE_SIZE];

	buf_add_str(out, kind_text(s->kind));
	if (s->kind == SPEC_ENUM) {
		spec_list_choices(out, s->choices, "`");
	} else if ((s->kind == SPEC_INT || s->kind == SPEC_SIZE ||
		       s->kind == SPEC_SECONDS) &&
	    spec_has_range(s)) {
		spec_range_text(range, s);
		buf_printf(out, ", %s", range);
	}
}

static void
describe_default(struct buf *out, const struct spec *s)
{
	char text[SPEC_AMOUNT_SIZE];

	if (s->required) {
		buf_add_str(out, "required");
		return;
	}
	switch (s->kind) {
	case SPEC_BOOL:
		buf_add_str(out, s->fallback != 0 ? "`true`" : "`false`");
		break;
	case SPEC_INT:
	case SPEC_SIZE:
	case SPEC_SECONDS:
		/* A fallback outside stands for "not given". */
		if (spec_has_range(s) &&
		    (s->fallback < s->min || s->fallback > s->max))
			break;
		spec_amount_text(text, s->kind, s->fallback);
		buf_printf(out, "`%s`", text);
		break;
	case SPEC_ENUM:
		if (s->fallback >= 0)
			buf_printf(out, "`%s`", s->choices[s->fallback]);
		break;
	default:
		if (s->text != NULL)
			buf_printf(out, "`%s`", s->text);
		break;
	}
}

/* A bar would end the table's cell. */
static void
describe_help(struct buf *out, const char *help)
{
	for (const char *p = help != NULL ? help : ""; *p != '\0'; p++) {
		if (*p == '|')
			buf_add_char(out, '\\');
		buf_add_char(out, *p);
	}
}

/* How the title of a sub-table goes on behind the key. */
static const char *
below_text(enum spec_kind kind)
{
	if (kind == SPEC_LIST)
		return "[]";
	return kind == SPEC_MAP ? ".NAME" : "";
}

void
spec_describe(struct buf *out, const struct spec *table, const char *title)
{
	buf_printf(out, "### %s\n\n", title);
	buf_add_str(out,
	    "| key | what | default | meaning |\n"
	    "|---|---|---|---|\n");
	for (const struct spec *s = table; s->key != NULL; s++) {
		if (spec_is_key_entry(s))
			continue;
		buf_printf(out, "| `%s` | ", s->key);
		describe_kind(out, s);
		buf_add_str(out, " | ");
		describe_default(out, s);
		buf_add_str(out, " | ");
		describe_help(out, s->help);
		buf_add_str(out, " |\n");
	}
	for (const struct spec *s = table; s->key != NULL; s++) {
		AUTO_STR sub = NULL;

		if (s->sub == NULL)
			continue;
		sub = mem_printf("%s.%s%s", title, s->key, below_text(s->kind));
		buf_add_char(out, '\n');
		spec_describe(out, s->sub, sub);
	}
}
