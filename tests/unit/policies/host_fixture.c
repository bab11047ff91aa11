#include "tests/unit/policies/host_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "tests/unit/policies/git_fixture.h"

enum { START_MS = 60000, LOOK_EVERY_MS = 10 };

static int
listen_somewhere(int *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

int
host_free_port(void)
{
	int port;

	close(listen_somewhere(&port));
	return port;
}

int
host_silent_port(int *fd)
{
	int port;

	*fd = listen_somewhere(&port);
	return port;
}

static pid_t
start(const char *const *argv)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	return pid;
}

static int
is_open(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int open = connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0;

	close(fd);
	return open;
}

static void
wait_open(int port)
{
	int64_t end = clock_mono_ms() + START_MS;

	while (!is_open(port)) {
		assert_true(clock_mono_ms() < end);
		(void)poll(NULL, 0, LOOK_EVERY_MS);
	}
}

/* fcgiwrap listens when its socket is there. */
static void
wait_file(const char *name)
{
	int64_t end = clock_mono_ms() + START_MS;

	while (access(fixture_path(name), F_OK) != 0) {
		assert_true(clock_mono_ms() < end);
		(void)poll(NULL, 0, LOOK_EVERY_MS);
	}
}

void
host_start_ssh(struct host *h)
{
	h->port = host_free_port();
	h->pids[1] = 0;
	/* Where sshd, started by root, wants to lock itself up. */
	if (geteuid() == 0)
		(void)mkdir("/run/sshd", 0755);
	sh("ssh-keygen -q -t ed25519 -N '' -f host-ed25519\n"
	   "ssh-keygen -q -t ecdsa -N '' -f host-ecdsa\n"
	   "ssh-keygen -q -t ed25519 -N '' -f client\n"
	   "ssh-keygen -q -t ed25519 -N 'open sesame' -f locked\n"
	   "ssh-keygen -q -t ed25519 -N '' -f stranger\n"
	   "cat client.pub locked.pub > authorized\n"
	   "cat > sshd.conf <<END\n"
	   "ListenAddress 127.0.0.1\nPort %d\nHostKey $PWD/host-ecdsa\n"
	   "HostKey $PWD/host-ed25519\nAuthorizedKeysFile $PWD/authorized\n"
	   "StrictModes no\nUsePAM no\nPasswordAuthentication no\n"
	   "PermitRootLogin yes\nPidFile none\nEND\n"
	   "printf '[127.0.0.1]:%d ' > known_hosts\n"
	   "cut -d' ' -f1,2 host-ed25519.pub >> known_hosts",
	    h->port, h->port);
	{
		const char *argv[] = { "/usr/sbin/sshd", "-D", "-e", "-q", "-f",
			fixture_path("sshd.conf"), NULL };

		h->pids[0] = start(argv);
	}
	wait_open(h->port);
}

void
host_start_https(struct host *h)
{
	h->port = host_free_port();
	sh("openssl req -x509 -newkey rsa:2048 -nodes -keyout tls.key -out "
	   "ca.pem -days 2 -subj /CN=localhost -addext "
	   "subjectAltName=DNS:localhost 2>/dev/null\n"
	   "printf 'ada:%%s\\n' \"$(openssl passwd -apr1 pass:word)\" > users\n"
	   "printf 'pass:word\\n' > password; printf 'wrong:word\\n' > wrong\n"
	   "chmod 600 password wrong\n"
	   "[ $(id -u) != 0 ] || echo 'user root;' > nginx.conf\n"
	   "cat >> nginx.conf <<END\n"
	   "daemon off;\nmaster_process off;\npid $PWD/nginx.pid;\n"
	   "error_log $PWD/nginx.log;\nevents {}\nhttp {\naccess_log off;\n"
	   "client_body_temp_path $PWD/nginx1;\nproxy_temp_path $PWD/nginx2;\n"
	   "fastcgi_temp_path $PWD/nginx3;\nuwsgi_temp_path $PWD/nginx4;\n"
	   "scgi_temp_path $PWD/nginx5;\nclient_max_body_size 0;\nserver {\n"
	   "listen 127.0.0.1:%d ssl;\nssl_certificate $PWD/ca.pem;\n"
	   "ssl_certificate_key $PWD/tls.key;\n"
	   "location /away/ {\nreturn 302 http://localhost:%d/private/r/;\n}\n"
	   "location / {\n"
	   "auth_basic git;\nauth_basic_user_file $PWD/users;\n"
	   "fastcgi_pass unix:$PWD/cgi.sock;\n"
	   "fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;\n"
	   "fastcgi_param GIT_PROJECT_ROOT $PWD;\n"
	   "fastcgi_param GIT_HTTP_EXPORT_ALL 1;\n"
	   "fastcgi_param GIT_CONFIG_COUNT 1;\n"
	   "fastcgi_param GIT_CONFIG_KEY_0 safe.directory;\n"
	   "fastcgi_param GIT_CONFIG_VALUE_0 *;\n"
	   "fastcgi_param PATH_INFO \\$uri;\n"
	   "fastcgi_param QUERY_STRING \\$query_string;\n"
	   "fastcgi_param REQUEST_METHOD \\$request_method;\n"
	   "fastcgi_param CONTENT_TYPE \\$content_type;\n"
	   "fastcgi_param CONTENT_LENGTH \\$content_length;\n"
	   "fastcgi_param REMOTE_USER \\$remote_user;\n"
	   "}\n}\n}\nEND\n",
	    h->port, h->port);
	{
		AUTO_STR address =
		    mem_printf("unix:%s", fixture_path("cgi.sock"));
		const char *cgi[] = { "/usr/sbin/fcgiwrap", "-s", address,
			NULL };
		const char *web[] = { "/usr/sbin/nginx", "-e",
			fixture_path("nginx.log"), "-c",
			fixture_path("nginx.conf"), NULL };

		h->pids[0] = start(cgi);
		h->pids[1] = start(web);
	}
	wait_file("cgi.sock");
	wait_open(h->port);
}

void
host_stop(struct host *h)
{
	for (size_t i = 0; i < 2; i++) {
		if (h->pids[i] <= 0)
			continue;
		(void)kill(h->pids[i], SIGKILL);
		(void)waitpid(h->pids[i], NULL, 0);
		h->pids[i] = 0;
	}
}
