/* TLS handshakes. libmicrohttpd goes on trying a handshake that has begun at
 * each turn, whether or not anything came, and does not let the loop rest
 * meanwhile: one client that connects and says nothing costs a whole processor,
 * and a thousand of them are each tried for every one that is ready. So a
 * connection is suspended between the parts of its handshake, and this loop
 * waits for its bytes. */

#include <gnutls/gnutls.h>
#include <sys/epoll.h>

#include "server/http/loop_state.h"

/* There is a description from then on, and a flag is not to be had. */
static bool
is_over(const struct peer *p)
{
	char *text = gnutls_session_get_desc(loop_session_of(p->connection));

	gnutls_free(text);
	return text != NULL;
}

void
loop_handshake_begin(struct loop *l, struct peer *p)
{
	if (loop_session_of(p->connection) == NULL)
		return;
	p->handshake = HANDSHAKE_TRIED;
	TAILQ_INSERT_TAIL(&l->handshakes, p, handshake_link);
}

void
loop_handshake_end(struct loop *l, struct peer *p)
{
	if (p->handshake == HANDSHAKE_TRIED)
		TAILQ_REMOVE(&l->handshakes, p, handshake_link);
	else if (p->handshake == HANDSHAKE_WAITS)
		TAILQ_REMOVE(&l->shaking, p, handshake_link);
	p->handshake = HANDSHAKE_NONE;
}

/* Its end is noticed too, but only as what libmicrohttpd finds then. */
static bool
watch(struct loop *l, struct peer *p)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT,
		.data.u64 = (uintptr_t)p | LOOP_TAG_PEER,
	};

	return epoll_ctl(l->epoll, p->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
		   p->fd, &event) == 0;
}

static void
unwatch(struct loop *l, struct peer *p)
{
	if (p->watched)
		(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, p->fd, NULL);
	p->watched = false;
}

/* The request may be held, and watched for itself, in this same turn. */
void
loop_handshake_over(struct loop *l, struct peer *p)
{
	loop_handshake_end(l, p);
	unwatch(l, p);
}

/* After each turn: who got no further waits for more bytes. */
void
loop_handshakes_rest(struct loop *l)
{
	struct peer *p;

	while ((p = TAILQ_FIRST(&l->handshakes)) != NULL) {
		loop_handshake_end(l, p);
		if (is_over(p) || !watch(l, p)) {
			unwatch(l, p);
			continue;
		}
		p->watched = true;
		p->handshake = HANDSHAKE_WAITS;
		TAILQ_INSERT_TAIL(&l->shaking, p, handshake_link);
		MHD_suspend_connection(p->connection);
	}
}

/* Something came, or the end. */
void
loop_handshake_resume(struct loop *l, struct peer *p)
{
	if (p->handshake != HANDSHAKE_WAITS)
		return;
	loop_handshake_end(l, p);
	p->handshake = HANDSHAKE_TRIED;
	TAILQ_INSERT_TAIL(&l->handshakes, p, handshake_link);
	MHD_resume_connection(p->connection);
}

void
loop_handshakes_resume_all(struct loop *l)
{
	struct peer *p;

	while ((p = TAILQ_FIRST(&l->shaking)) != NULL)
		loop_handshake_resume(l, p);
}
