#include "service/worker/protection.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ipc/endpoint.h"

struct protection {
	struct registry *registry; /* borrowed */
	union wireguard_endpoint *addresses;
	size_t address_count;
	char **paths;
	size_t path_count;
};

struct protection *protection_create(struct registry *registry)
{
	struct protection *protection = calloc(1, sizeof(*protection));
	if (protection != NULL)
		protection->registry = registry;
	return protection;
}

void protection_free(struct protection *protection)
{
	if (protection == NULL)
		return;
	for (size_t i = 0; i < protection->path_count; i++)
		free(protection->paths[i]);
	free(protection->paths);
	free(protection->addresses);
	free(protection);
}

bool protection_add_address(struct protection *protection, const struct sockaddr *address)
{
	union wireguard_endpoint *grown = realloc(protection->addresses, (protection->address_count + 1) * sizeof(*grown));
	if (grown == NULL)
		return false;
	protection->addresses = grown;
	if (!endpoint_from(address, &grown[protection->address_count]))
		return false;
	protection->address_count++;
	return true;
}

bool protection_add_path(struct protection *protection, const char *path)
{
	char **grown = realloc(protection->paths, (protection->path_count + 1) * sizeof(char *));
	char *copy = strdup(path);
	if (grown != NULL)
		protection->paths = grown;
	if (grown == NULL || copy == NULL) {
		free(copy);
		return false;
	}
	grown[protection->path_count++] = copy;
	return true;
}

/* For an address of this host. */
static bool meets(const union wireguard_endpoint *own, const union wireguard_endpoint *address)
{
	if (endpoint_port(own) != endpoint_port(address))
		return false;
	if (endpoint_is_any(own))
		return true;
	return endpoint_same_host(own, address) || (endpoint_is_any(address) && endpoint_is_loopback(own));
}

bool protection_has_address(const struct protection *protection, const union wireguard_endpoint *address)
{
	if (!host_socket_is_local(address))
		return false;
	for (size_t i = 0; i < protection->address_count; i++)
		if (meets(&protection->addresses[i], address))
			return true;
	for (size_t i = 0; i < registry_count(protection->registry); i++) {
		const struct socket_list *sockets = &registry_at(protection->registry, i)->sockets;
		for (size_t k = 0; k < sockets->count; k++) {
			const struct host_socket *socket = sockets->list[k].socket;
			if (socket != NULL && socket->kind == HOST_SOCKET_TCP && meets(&socket->bound, address))
				return true;
		}
	}
	return false;
}

static bool is_same_file(const char *a, const char *b)
{
	struct stat first, second;
	return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

bool protection_has_path(const struct protection *protection, const char *path)
{
	for (size_t i = 0; i < protection->path_count; i++)
		if (strcmp(protection->paths[i], path) == 0 || is_same_file(protection->paths[i], path))
			return true;
	return false;
}

static bool is_listener(const struct host_socket *socket, const struct stat *file, const char *path)
{
	if (socket == NULL || socket->kind != HOST_SOCKET_UNIX)
		return false;
	bool is_file = file != NULL && file->st_dev == socket->place->device && file->st_ino == socket->place->inode;
	return is_file || (path != NULL && strcmp(socket->place->path, path) == 0);
}

/* One of them is enough: what lies there, or what it is called. */
static bool is_listener_of_any(const struct protection *protection, const struct stat *file, const char *path)
{
	for (size_t i = 0; i < registry_count(protection->registry); i++) {
		const struct socket_list *sockets = &registry_at(protection->registry, i)->sockets;
		for (size_t k = 0; k < sockets->count; k++)
			if (is_listener(sockets->list[k].socket, file, path))
				return true;
	}
	return false;
}

bool protection_has_listener_path(const struct protection *protection, const char *path)
{
	struct stat file;
	return is_listener_of_any(protection, stat(path, &file) == 0 ? &file : NULL, path);
}

bool protection_has_file(const struct protection *protection, int file)
{
	struct stat found, own;
	if (fstat(file, &found) != 0)
		return true;
	for (size_t i = 0; i < protection->path_count; i++)
		if (stat(protection->paths[i], &own) == 0 && own.st_dev == found.st_dev && own.st_ino == found.st_ino)
			return true;
	return is_listener_of_any(protection, &found, NULL);
}
