/* Grants rights to a path that stay valid when its file is replaced. A Landlock rule applies to an existing file or directory: a file that takes its
 * place later has no rule, unless the directory that contains it has one. */
#ifndef WARREN_SANDBOX_PATH_RIGHTS_H
#define WARREN_SANDBOX_PATH_RIGHTS_H

/* For a file that is read again later, as a certificate is: it may be replaced, or links to it may change. Grants reading of all files in its
 * directory, in the directory of each link's target, except the root directory, and in those beside that one, except at the top (/etc, /srv). */
void path_rights_renewed_file(int rules, const char *path);
/* For a log, which may be made later, and renamed and made again: grants the right to write it, and to make and write files in its directory, except
 * the root directory. Of a device the file alone. */
void path_rights_log(int rules, const char *path);
/* For a directory of files that change, and that may be replaced itself: grants reading it and listing it, and the same of the directory that
 * contains it and of where links lead, except at the top (/etc, /srv). */
void path_rights_tunnels(int rules, const char *path);
/* For a directory of unix sockets, which may be created later, or removed and created again: grants the right in its parent directory, too. */
void path_rights_socket_folder(int rules, const char *path);

#endif
