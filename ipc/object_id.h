/* Ids of tunnels and pools, and of nodes and classes of a fleet: what is one, and the one that a file's name gives. The daemon reads a directory by
 * that, and the command `warren` names what it adds. */
#ifndef WARREN_IPC_OBJECT_ID_H
#define WARREN_IPC_OBJECT_ID_H

#include <stdbool.h>
#include <stddef.h>

#define OBJECT_ID_SIZE 64 /* with the terminator */

/* 1 to 63 characters of a-z, 0-9, dot, underscore and hyphen, the first a letter or digit. */
bool object_id_is_valid(const char *id);
/* In lower case, with one hyphen for each run of other characters than a-z, 0-9, dot, underscore and hyphen, from the first letter or digit on, cut
 * at 63 characters. `name` is `length` bytes without the file's ending. False, and an empty id, if it has no letter or digit. */
bool object_id_from_name(char id[OBJECT_ID_SIZE], const char *name, size_t length);

#endif
