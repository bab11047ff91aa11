#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/confine.h"

static void
add_path(struct confine_program *p, const char *path, unsigned int access)
{
	assert(p->count < CONFINE_PROGRAM_PATHS);
	p->paths[p->count++] = (struct confine_path){
		.path = path,
		.access = access,
		.optional = path != p->path,
	};
}

/* A dynamic program: its loader, and where libraries lie. */
static void
add_loader(struct confine_program *p, char *loader)
{
	static const char *const folders[] = { "/lib", "/lib64", "/usr/lib",
		"/usr/lib64", "/usr/local/lib" };

	add_path(p, loader, CONFINE_PATH_READ | CONFINE_PATH_EXEC);
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
		add_path(p, folders[i], CONFINE_PATH_READ | CONFINE_PATH_EXEC);
	add_path(p, "/etc/ld.so.cache", CONFINE_PATH_READ);
}

static ssize_t
read_at(int fd, void *out, size_t len, uint64_t offset)
{
	ssize_t n;

	do
		n = pread(fd, out, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n;
}

/* The PT_INTERP of a 64-bit ELF file; an empty text: it is static. */
static enum err_code
read_loader(char out[CONFINE_LOADER_MAX], int fd, const char *path,
    struct err *e)
{
	Elf64_Ehdr head;
	Elf64_Phdr part;

	out[0] = '\0';
	if (read_at(fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
	    head.e_ident[EI_CLASS] != ELFCLASS64 ||
	    head.e_phentsize != sizeof part)
		return err_set(e, ERR_INVALID,
		    "%s: neither a 64-bit ELF program nor a script that names "
		    "its interpreter",
		    path);
	for (unsigned int i = 0; i < head.e_phnum; i++) {
		if (read_at(fd, &part, sizeof part,
			head.e_phoff + i * sizeof part) != (ssize_t)sizeof part)
			return err_set(e, ERR_INVALID, "%s: cut short", path);
		if (part.p_type != PT_INTERP)
			continue;
		if (part.p_filesz == 0 || part.p_filesz >= CONFINE_LOADER_MAX ||
		    read_at(fd, out, part.p_filesz, part.p_offset) !=
			(ssize_t)part.p_filesz)
			return err_set(e, ERR_INVALID,
			    "%s: the name of its loader is not readable", path);
		out[part.p_filesz] = '\0';
		return ERR_OK;
	}
	return ERR_OK;
}

/* "#!/bin/sh -e": the interpreter, or an empty text if this is no script. */
static enum err_code
read_interpreter(char out[CONFINE_LOADER_MAX], int fd, const char *path,
    struct err *e)
{
	char line[CONFINE_LOADER_MAX] = "";
	ssize_t n = read_at(fd, line, sizeof line - 1, 0);
	char *start = line + 2;

	out[0] = '\0';
	if (n < 0)
		return err_errno(e, "%s: read", path);
	if (n < 2 || line[0] != '#' || line[1] != '!')
		return ERR_OK;
	start += strspn(start, " \t");
	start[strcspn(start, " \t\r\n")] = '\0';
	if (start[0] != '/')
		return err_set(e, ERR_INVALID,
		    "%s: its first line must name an interpreter by its whole "
		    "path",
		    path);
	memcpy(out, start, strlen(start) + 1);
	return ERR_OK;
}

static enum err_code
open_program(int *out, const char *path, struct err *e)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_errno(e, "%s", path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    (st.st_mode & 0111) == 0) {
		close(fd);
		return err_set(e, ERR_INVALID, "%s: not a program", path);
	}
	*out = fd;
	return ERR_OK;
}

static enum err_code
add_program(struct confine_program *p, const char *path, bool script_allowed,
    struct err *e)
{
	enum err_code code = ERR_OK;
	int fd = -1;

	TRY(open_program(&fd, path, e));
	add_path(p, path, CONFINE_PATH_READ | CONFINE_PATH_EXEC);
	if (script_allowed)
		code = read_interpreter(p->interpreter, fd, path, e);
	if (code == ERR_OK && (!script_allowed || p->interpreter[0] == '\0'))
		code = read_loader(p->loader, fd, path, e);
	close(fd);
	return code;
}

enum err_code
confine_program_paths(struct confine_program *out, const char *path,
    struct err *e)
{
	*out = (struct confine_program){ .path = path };
	TRY(add_program(out, path, true, e));
	if (out->interpreter[0] != '\0')
		TRY(add_program(out, out->interpreter, false, e));
	if (out->loader[0] != '\0')
		add_loader(out, out->loader);
	return ERR_OK;
}

const struct confine_path confine_network_paths[CONFINE_NETWORK_PATHS] = {
	{ "/etc/hosts", CONFINE_PATH_READ, true },
	{ "/etc/resolv.conf", CONFINE_PATH_READ, true },
	{ "/etc/nsswitch.conf", CONFINE_PATH_READ, true },
	{ "/etc/host.conf", CONFINE_PATH_READ, true },
	{ "/etc/gai.conf", CONFINE_PATH_READ, true },
	{ "/etc/services", CONFINE_PATH_READ, true },
	/* Not /etc/ssl as a whole: private keys lie there too. */
	{ "/etc/ssl/certs", CONFINE_PATH_READ, true },
	{ "/etc/ssl/openssl.cnf", CONFINE_PATH_READ, true },
	{ "/etc/pki/ca-trust", CONFINE_PATH_READ, true },
	{ "/etc/ca-certificates", CONFINE_PATH_READ, true },
	{ "/usr/share/ca-certificates", CONFINE_PATH_READ, true },
	{ "/usr/local/share/ca-certificates", CONFINE_PATH_READ, true },
	{ "/etc/ld.so.cache", CONFINE_PATH_READ, true },
	{ "/lib", CONFINE_PATH_READ, true },
	{ "/usr/lib", CONFINE_PATH_READ, true },
	{ "/lib64", CONFINE_PATH_READ, true },
};
