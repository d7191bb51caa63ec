/* Signature packets of AmneziaWG (I1 to I5): a text of tags, each of which stands for some bytes of a datagram that imitates another protocol.
 * Text outside of tags is skipped. What amneziawg-go takes is taken, except what makes no datagram or one that is too large. */
#ifndef WARREN_IPC_SIGNATURE_H
#define WARREN_IPC_SIGNATURE_H

#include <stddef.h>

#define SIGNATURE_SIZE_MAX 1280 /* of the packet */
#define SIGNATURE_TEXT_MAX 4096

enum signature_kind {
	SIGNATURE_BYTES,   /* <b 0xHEX> */
	SIGNATURE_RANDOM,  /* <r n> */
	SIGNATURE_LETTERS, /* <rc n>: a-z and A-Z */
	SIGNATURE_DIGITS,  /* <rd n> */
	SIGNATURE_TIME,    /* <t>: Unix seconds, four bytes, big endian */
	SIGNATURE_ZEROES,  /* <dz n>; <d> and <ds> have none */
};

enum signature_error {
	SIGNATURE_MALFORMED = -1,
	SIGNATURE_UNKNOWN_TAG = -2,
	SIGNATURE_EMPTY = -3,     /* no byte */
	SIGNATURE_TOO_LARGE = -4, /* the packet, or the text */
};

struct signature_piece {
	enum signature_kind kind;
	size_t length;
	const char *digits; /* of SIGNATURE_BYTES: 2 * length of them, in the text */
};

/* Reads the next tag at *text and moves behind it. 1, 0 at the end, or MALFORMED, UNKNOWN_TAG or TOO_LARGE. */
int signature_next(const char **text, struct signature_piece *piece) __attribute__((warn_unused_result));
/* The length of the packet, or an enum signature_error. A text that is not empty and passes can stand on a line of a wg-quick file. */
int signature_length(const char *text) __attribute__((warn_unused_result));
/* A sentence for the user. */
const char *signature_error_text(enum signature_error error);
/* The value of a byte's two digits, which signature_next has accepted. */
unsigned char signature_byte(const char digits[2]);

#endif
