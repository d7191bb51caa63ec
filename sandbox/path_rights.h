/* Rights to what a path names today and after it was renewed. A rule of Landlock is of a file or folder that is there: what is put in its place
 * later has no rule, unless the folder around it has one. */
#ifndef WARREN_SANDBOX_PATH_RIGHTS_H
#define WARREN_SANDBOX_PATH_RIGHTS_H

/* A file that is read again, as a certificate is: replaced by another, or behind links that lead to another one then. Files beside it, and
 * beside what each link on the way leads to, may be read; not those of the root folder. */
void path_rights_renewed_file(int rules, const char *path);
/* A folder for unix sockets, which may be made later, or be removed and made again: the right holds in the folder around it, too. */
void path_rights_socket_folder(int rules, const char *path);

#endif
