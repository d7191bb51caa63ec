/* The checker's keys are stored, since a flood needs them often; the maker's are derived for each handshake. */
#include "tunnel/wireguard/cookie.h"

#include <sodium.h>

#include "tunnel/wireguard/hash.h"

#define SECOND UINT64_C(1000000000)
#define SECRET_LIFE (120 * SECOND)
/* A cookie is discarded before the other side may have replaced its secret (paper, 5.4.4, minus a round trip). */
#define COOKIE_LIFE (115 * SECOND)

static int label_key(uint8_t key[WIREGUARD_HASH_LENGTH], const char label[8], const uint8_t public_key[WIREGUARD_KEY_LENGTH])
{
	return wireguard_hash(key, label, 8, public_key, WIREGUARD_KEY_LENGTH);
}

int wireguard_cookie_checker_init(struct wireguard_cookie_checker *checker, const uint8_t public_key[WIREGUARD_KEY_LENGTH], uint8_t *secret)
{
	checker->secret = secret;
	checker->secret_since = WIREGUARD_NEVER;
	bool failed = label_key(checker->mac1_key, "mac1----", public_key) != 0 || label_key(checker->cookie_key, "cookie--", public_key) != 0;
	return failed ? WIREGUARD_CRYPTO : 0;
}

static const struct wireguard_message_macs *macs_of(const uint8_t *message, size_t length)
{
	return (const struct wireguard_message_macs *)(message + length - sizeof(struct wireguard_message_macs));
}

bool wireguard_cookie_has_mac1(const struct wireguard_cookie_checker *checker, const uint8_t *message, size_t length)
{
	const struct wireguard_message_macs *macs = macs_of(message, length);
	uint8_t mac1[WIREGUARD_MAC_LENGTH];

	if (wireguard_hash_mac(mac1, checker->mac1_key, sizeof(checker->mac1_key), message, length - sizeof(*macs)) != 0)
		return false;
	return sodium_memcmp(mac1, macs->mac1, sizeof(mac1)) == 0;
}

/* The cookie of a source: MAC(secret, address || port). */
static int make(struct wireguard_cookie_checker *checker, const struct wireguard_env *env, uint8_t cookie[WIREGUARD_COOKIE_LENGTH],
                const union wireguard_endpoint *from, uint64_t now)
{
	uint8_t source[sizeof(from->v6.sin6_addr) + sizeof(from->v6.sin6_port)];
	size_t length;

	if (checker->secret_since == WIREGUARD_NEVER || now - checker->secret_since >= SECRET_LIFE) {
		env->random(env->owner, checker->secret, WIREGUARD_KEY_LENGTH);
		checker->secret_since = now;
	}
	if (from->any.sa_family == AF_INET) {
		length = sizeof(from->v4.sin_addr);
		memcpy(source, &from->v4.sin_addr, length);
		memcpy(source + length, &from->v4.sin_port, sizeof(from->v4.sin_port));
	} else {
		length = sizeof(from->v6.sin6_addr);
		memcpy(source, &from->v6.sin6_addr, length);
		memcpy(source + length, &from->v6.sin6_port, sizeof(from->v6.sin6_port));
	}
	return wireguard_hash_mac(cookie, checker->secret, WIREGUARD_KEY_LENGTH, source, length + sizeof(from->v4.sin_port));
}

bool wireguard_cookie_has_mac2(struct wireguard_cookie_checker *checker, const struct wireguard_env *env, const uint8_t *message, size_t length,
                               const union wireguard_endpoint *from, uint64_t now)
{
	const struct wireguard_message_macs *macs = macs_of(message, length);
	uint8_t cookie[WIREGUARD_COOKIE_LENGTH], mac2[WIREGUARD_MAC_LENGTH];

	/* All zeros mean no MAC2, as in most floods, and are cheap to detect. */
	if (sodium_is_zero(macs->mac2, sizeof(macs->mac2)) || make(checker, env, cookie, from, now) != 0)
		return false;
	if (wireguard_hash_mac(mac2, cookie, sizeof(cookie), message, length - sizeof(macs->mac2)) != 0)
		return false;
	return sodium_memcmp(mac2, macs->mac2, sizeof(mac2)) == 0;
}

int wireguard_cookie_reply(struct wireguard_cookie_checker *checker, const struct wireguard_env *env, struct wireguard_message_cookie_reply *reply,
                           const struct wireguard_message_macs *macs, const uint8_t receiver[4], const union wireguard_endpoint *from, uint64_t now)
{
	uint8_t cookie[WIREGUARD_COOKIE_LENGTH];

	wireguard_message_put32(reply->header.type, WIREGUARD_COOKIE_REPLY);
	memcpy(reply->receiver, receiver, sizeof(reply->receiver));
	env->random(env->owner, reply->nonce, sizeof(reply->nonce));
	if (make(checker, env, cookie, from, now) != 0)
		return WIREGUARD_CRYPTO;
	int failed = crypto_aead_xchacha20poly1305_ietf_encrypt(reply->encrypted_cookie, NULL, cookie, sizeof(cookie), macs->mac1, sizeof(macs->mac1),
	                                                        NULL, reply->nonce, checker->cookie_key);
	sodium_memzero(cookie, sizeof(cookie));
	return failed == 0 ? 0 : WIREGUARD_CRYPTO;
}

void wireguard_cookie_maker_init(struct wireguard_cookie_maker *maker)
{
	*maker = (struct wireguard_cookie_maker){ .cookie_since = WIREGUARD_NEVER };
}

static bool has_cookie(const struct wireguard_cookie_maker *maker, uint64_t now)
{
	return maker->cookie_since != WIREGUARD_NEVER && now - maker->cookie_since < COOKIE_LIFE;
}

int wireguard_cookie_add_macs(struct wireguard_cookie_maker *maker, const uint8_t public_key[WIREGUARD_KEY_LENGTH], uint8_t *message, size_t length,
                              uint64_t now)
{
	struct wireguard_message_macs *macs = (struct wireguard_message_macs *)(message + length - sizeof(*macs));
	uint8_t key[WIREGUARD_HASH_LENGTH];

	if (label_key(key, "mac1----", public_key) != 0 || wireguard_hash_mac(macs->mac1, key, sizeof(key), message, length - sizeof(*macs)) != 0)
		return WIREGUARD_CRYPTO;
	memcpy(maker->last_mac1, macs->mac1, sizeof(maker->last_mac1));
	maker->awaits_reply = true;
	memset(macs->mac2, 0, sizeof(macs->mac2));
	if (!has_cookie(maker, now))
		return 0;
	return wireguard_hash_mac(macs->mac2, maker->cookie, sizeof(maker->cookie), message, length - sizeof(macs->mac2));
}

int wireguard_cookie_take(struct wireguard_cookie_maker *maker, const uint8_t public_key[WIREGUARD_KEY_LENGTH],
                          const struct wireguard_message_cookie_reply *reply, uint64_t now)
{
	uint8_t key[WIREGUARD_HASH_LENGTH], cookie[WIREGUARD_COOKIE_LENGTH];

	if (!maker->awaits_reply || label_key(key, "cookie--", public_key) != 0)
		return WIREGUARD_CRYPTO;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(cookie, NULL, NULL, reply->encrypted_cookie, sizeof(reply->encrypted_cookie), maker->last_mac1,
	                                               sizeof(maker->last_mac1), reply->nonce, key) != 0)
		return WIREGUARD_CRYPTO;
	memcpy(maker->cookie, cookie, sizeof(maker->cookie));
	maker->cookie_since = now;
	maker->awaits_reply = false;
	return 0;
}
