#include "dice.h"

#include <string.h>

#include "core/mem.h"

static uint64_t
next(struct dice *d)
{
	uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

struct dice
dice_for(uint64_t seed, uint64_t number)
{
	struct dice d = { seed };

	d.state = next(&d) + number;
	d.state = next(&d);
	return d;
}

size_t
dice_roll(struct dice *d, size_t sides)
{
	return (size_t)(next(d) % sides);
}

bool
dice_often(struct dice *d, unsigned int percent)
{
	return next(d) % 100 < percent;
}

const char *
dice_pick(struct dice *d, const char *const *list, size_t count)
{
	return list[dice_roll(d, count)];
}

static void
splice(struct buf *text, size_t at, size_t drop, const char *with, size_t len)
{
	AUTO_STR rest = mem_alloc(text->len - at - drop + 1);
	size_t rest_len = text->len - at - drop;

	memcpy(rest, text->data + at + drop, rest_len);
	text->len = at;
	buf_add(text, with, len);
	buf_add(text, rest, rest_len);
}

static void
break_once(struct dice *d, struct buf *text, const char *const *odd,
    size_t count)
{
	size_t at = dice_roll(d, text->len + 1);
	size_t left = text->len - at;
	char twice[16], byte = (char)dice_roll(d, 256);
	const char *word;

	switch (dice_roll(d, 6)) {
	case 0: /* lost */
		splice(text, at, left > 0 ? 1 : 0, "", 0);
		break;
	case 1: /* doubled */
		left = left < sizeof twice ? left : sizeof twice;
		memcpy(twice, text->data + at, left);
		splice(text, at, 0, twice, left);
		break;
	case 2: /* cut */
		text->len = at;
		buf_add(text, "", 0);
		break;
	case 3: /* changed to anything */
		splice(text, at, left > 0 ? 1 : 0, &byte, 1);
		break;
	default:
		word = dice_pick(d, odd, count);
		splice(text, at, 0, word, strlen(word));
		break;
	}
}

void
dice_break(struct dice *d, struct buf *text, const char *const *odd,
    size_t count)
{
	size_t times = 1 + dice_roll(d, 3);

	for (size_t i = 0; i < times; i++)
		break_once(d, text, odd, count);
}
