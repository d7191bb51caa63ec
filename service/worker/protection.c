/* Whether an address or a path is one of the daemon's own: a tunnel pointed at it would be a way to the control API, or a loop. */
#include <string.h>
#include <sys/stat.h>

#include "ipc/endpoint.h"
#include "service/service_private.h"

static bool meets(const union wireguard_endpoint *own, const union wireguard_endpoint *address, bool is_local)
{
	if (endpoint_port(own) != endpoint_port(address))
		return false;
	if (endpoint_is_any(own))
		return is_local;
	return endpoint_same_host(own, address) || (endpoint_is_any(address) && endpoint_is_loopback(own));
}

bool protection_has_address(const struct service *service, const union wireguard_endpoint *address)
{
	bool is_local = host_socket_is_local(address);
	if (!is_local)
		return false;
	for (size_t i = 0; i < service->protection.address_count; i++)
		if (meets(&service->protection.addresses[i], address, is_local))
			return true;
	for (size_t i = 0; i < registry_count(service->registry); i++) {
		const struct socket_list *sockets = &registry_at(service->registry, i)->sockets;
		for (size_t k = 0; k < sockets->count; k++) {
			const struct host_socket *socket = sockets->list[k].socket;
			if (socket != NULL && socket->kind == HOST_SOCKET_TCP && meets(&socket->bound, address, is_local))
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

bool protection_has_path(const struct service *service, const char *path)
{
	for (size_t i = 0; i < service->protection.path_count; i++)
		if (strcmp(service->protection.paths[i], path) == 0 || is_same_file(service->protection.paths[i], path))
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
static bool is_listener_of_any(const struct service *service, const struct stat *file, const char *path)
{
	for (size_t i = 0; i < registry_count(service->registry); i++) {
		const struct socket_list *sockets = &registry_at(service->registry, i)->sockets;
		for (size_t k = 0; k < sockets->count; k++)
			if (is_listener(sockets->list[k].socket, file, path))
				return true;
	}
	return false;
}

bool protection_has_listener_path(const struct service *service, const char *path)
{
	struct stat file;
	return is_listener_of_any(service, stat(path, &file) == 0 ? &file : NULL, path);
}

bool protection_has_file(const struct service *service, int file)
{
	struct stat found, own;
	if (fstat(file, &found) != 0)
		return true;
	for (size_t i = 0; i < service->protection.path_count; i++)
		if (stat(service->protection.paths[i], &own) == 0 && own.st_dev == found.st_dev && own.st_ino == found.st_ino)
			return true;
	return is_listener_of_any(service, &found, NULL);
}
