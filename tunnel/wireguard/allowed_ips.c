/* A binary trie whose chains of single children are compressed: each node holds a whole prefix and its children differ in the bit
 * behind it. Nodes without an owner have two children, so there are fewer than twice as many nodes as networks. */
#include "tunnel/wireguard/allowed_ips.h"

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* An address as a number whose highest bit comes first; IPv4 fills the upper half of `high`. */
struct bits {
	uint64_t high;
	uint64_t low;
};

struct wireguard_allowed_node {
	struct wireguard_allowed_node *children[2]; /* children[0] also links spare nodes */
	struct wireguard_allowed_node *parent;
	struct wireguard_allowed_owner *owner;
	struct wireguard_allowed_node *owners_next;
	struct wireguard_allowed_node **owners_link; /* what points to this node in its owner's list */
	struct bits bits;
	uint8_t prefix;
};

struct wireguard_allowed_chunk {
	struct wireguard_allowed_chunk *next;
	struct wireguard_allowed_node nodes[];
};

static struct bits bits_of(uint8_t family, const uint8_t *address)
{
	struct bits bits = { 0, 0 };

	if (family == AF_INET) {
		uint32_t word;
		memcpy(&word, address, sizeof(word));
		bits.high = (uint64_t)be32toh(word) << 32;
	} else {
		memcpy(&bits.high, address, sizeof(bits.high));
		memcpy(&bits.low, address + sizeof(bits.high), sizeof(bits.low));
		bits.high = be64toh(bits.high);
		bits.low = be64toh(bits.low);
	}
	return bits;
}

static uint8_t width_of(uint8_t family)
{
	return family == AF_INET ? 32 : 128;
}

static unsigned bit_at(struct bits bits, unsigned place)
{
	return (place < 64 ? bits.high >> (63 - place) : bits.low >> (127 - place)) & 1;
}

static unsigned common_prefix(struct bits a, struct bits b)
{
	uint64_t high = a.high ^ b.high, low = a.low ^ b.low;

	if (high != 0)
		return (unsigned)__builtin_clzll(high);
	return low != 0 ? 64 + (unsigned)__builtin_clzll(low) : 128;
}

static bool covers(const struct wireguard_allowed_node *node, struct bits bits)
{
	return common_prefix(node->bits, bits) >= node->prefix;
}

static struct bits cut(struct bits bits, unsigned prefix)
{
	if (prefix == 0)
		return (struct bits){ 0, 0 };
	if (prefix <= 64)
		return (struct bits){ bits.high & UINT64_MAX << (64 - prefix), 0 };
	return (struct bits){ bits.high, bits.low & UINT64_MAX << (128 - prefix) };
}

static void give_spare(struct wireguard_allowed_ips *allowed, struct wireguard_allowed_node *node)
{
	node->children[0] = allowed->spare;
	allowed->spare = node;
	allowed->spares++;
}

/* At worst a network takes its own node and one where its path branches off another's; the very first needs no branch. */
static int set_aside(struct wireguard_allowed_ips *allowed, size_t count)
{
	size_t wanted = 2 * count - (count > 0 && allowed->nodes == 0);

	if (wanted <= allowed->spares)
		return 0;
	wanted -= allowed->spares;
	struct wireguard_allowed_chunk *chunk = malloc(sizeof(*chunk) + wanted * sizeof(chunk->nodes[0]));
	if (chunk == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	chunk->next = allowed->chunks;
	allowed->chunks = chunk;
	for (size_t i = 0; i < wanted; i++)
		give_spare(allowed, &chunk->nodes[i]);
	return 0;
}

static struct wireguard_allowed_node *take_spare(struct wireguard_allowed_ips *allowed, struct bits bits, unsigned prefix)
{
	struct wireguard_allowed_node *taken = allowed->spare;

	assert(taken != NULL);
	allowed->spare = taken->children[0];
	allowed->spares--;
	allowed->nodes++;
	*taken = (struct wireguard_allowed_node){ .bits = cut(bits, prefix), .prefix = (uint8_t)prefix };
	return taken;
}

static void disown(struct wireguard_allowed_node *node)
{
	if (node->owner == NULL)
		return;
	*node->owners_link = node->owners_next;
	if (node->owners_next != NULL)
		node->owners_next->owners_link = node->owners_link;
	node->owner = NULL;
}

static void own(struct wireguard_allowed_node *node, struct wireguard_allowed_owner *owner, struct wireguard_allowed_node **first)
{
	disown(node);
	node->owner = owner;
	node->owners_next = *first;
	node->owners_link = first;
	if (*first != NULL)
		(*first)->owners_link = &node->owners_next;
	*first = node;
}

static void hang(struct wireguard_allowed_node *parent, struct wireguard_allowed_node **link, struct wireguard_allowed_node *child)
{
	child->parent = parent;
	*link = child;
}

static void insert(struct wireguard_allowed_ips *allowed, struct wireguard_allowed_owner *owner, struct wireguard_allowed_node **first,
                   const struct wireguard_network *network)
{
	struct bits bits = bits_of(network->family, network->bytes);
	struct wireguard_allowed_node **link = &allowed->roots[network->family != AF_INET], *parent = NULL;

	assert(network->prefix <= width_of(network->family));

	/* Down to the last node that is a prefix of the network. */
	while (*link != NULL && (*link)->prefix <= network->prefix && covers(*link, bits)) {
		parent = *link;
		if (parent->prefix == network->prefix) {
			own(parent, owner, first);
			return;
		}
		link = &parent->children[bit_at(bits, parent->prefix)];
	}
	struct wireguard_allowed_node *below = *link, *added = take_spare(allowed, bits, network->prefix);
	own(added, owner, first);
	if (below == NULL) {
		hang(parent, link, added);
		return;
	}
	unsigned common = common_prefix(below->bits, bits);
	if (common >= network->prefix) { /* the network lies between parent and below */
		hang(parent, link, added);
		hang(added, &added->children[bit_at(below->bits, network->prefix)], below);
		return;
	}
	struct wireguard_allowed_node *fork = take_spare(allowed, bits, common);
	hang(parent, link, fork);
	hang(fork, &fork->children[bit_at(bits, common)], added);
	hang(fork, &fork->children[bit_at(below->bits, common)], below);
}

/* Removes a node without owner, unless it has two children; then its parent may have become unnecessary, too. */
static void prune(struct wireguard_allowed_ips *allowed, struct wireguard_allowed_node **root, struct wireguard_allowed_node *node)
{
	while (node != NULL && node->owner == NULL && (node->children[0] == NULL || node->children[1] == NULL)) {
		struct wireguard_allowed_node *parent = node->parent, *child = node->children[0] != NULL ? node->children[0] : node->children[1];
		struct wireguard_allowed_node **link = parent == NULL ? root : &parent->children[parent->children[1] == node];
		*link = child;
		if (child != NULL)
			child->parent = parent;
		give_spare(allowed, node);
		allowed->nodes--;
		node = parent;
	}
}

void wireguard_allowed_ips_remove(struct wireguard_allowed_ips *allowed, struct wireguard_allowed_owner *owner)
{
	while (owner->first != NULL) {
		struct wireguard_allowed_node *node = owner->first, *top = node;
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a node that is freed has left its owner. */
		while (top->parent != NULL)
			top = top->parent;
		disown(node);
		prune(allowed, &allowed->roots[top != allowed->roots[0]], node);
	}
}

int wireguard_allowed_ips_add(struct wireguard_allowed_ips *allowed, struct wireguard_allowed_owner *owner, struct wireguard_allowed_node **first,
                              const struct wireguard_network *networks, size_t count)
{
	if (set_aside(allowed, count) != 0)
		return WIREGUARD_OUT_OF_MEMORY;
	for (size_t i = 0; i < count; i++)
		insert(allowed, owner, first, &networks[i]);
	return 0;
}

void wireguard_allowed_ips_adopt(struct wireguard_allowed_owner *owner, struct wireguard_allowed_node **first)
{
	owner->first = *first;
	*first = NULL;
	if (owner->first != NULL)
		owner->first->owners_link = &owner->first;
}

bool wireguard_allowed_ips_drop(struct wireguard_allowed_ips *allowed, size_t most)
{
	for (size_t done = 0; done < most && allowed->chunks != NULL; done++) {
		struct wireguard_allowed_chunk *chunk = allowed->chunks;
		allowed->chunks = chunk->next;
		free(chunk);
	}
	*allowed = (struct wireguard_allowed_ips){ .chunks = allowed->chunks };
	return allowed->chunks != NULL;
}

void wireguard_allowed_ips_clear(struct wireguard_allowed_ips *allowed)
{
	assert(allowed->nodes == 0);
	(void)wireguard_allowed_ips_drop(allowed, SIZE_MAX);
}

struct wireguard_allowed_owner *wireguard_allowed_ips_find(const struct wireguard_allowed_ips *allowed, uint8_t family, const uint8_t *address)
{
	struct bits bits = bits_of(family, address);
	const struct wireguard_allowed_node *node = allowed->roots[family != AF_INET];
	struct wireguard_allowed_owner *owner = NULL;

	while (node != NULL && covers(node, bits)) {
		if (node->owner != NULL)
			owner = node->owner;
		if (node->prefix == width_of(family))
			break;
		node = node->children[bit_at(bits, node->prefix)];
	}
	return owner;
}
