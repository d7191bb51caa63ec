/* /v1/keys: generates keys, so that clients do not need WireGuard's tools. Nothing is stored. */
#include <sodium.h>

#include "api/json_body.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "service/spec/key_pair.h"

static void put_key(struct text *body, const char *name, const struct wireguard_key *key)
{
	text_put(body, name);
	text_put_base64(body, key->bytes, sizeof(key->bytes));
	text_put_char(body, '"');
}

static void reply_keys(struct api_request *request, bool with_preshared)
{
	struct wireguard_key private_key, public_key, preshared_key;
	struct text body;
	text_init(&body);
	key_pair_generate(&private_key);
	randombytes_buf(preshared_key.bytes, sizeof(preshared_key.bytes));
	if (!key_pair_public(&public_key, &private_key))
		body.failed = true;
	put_key(&body, "{\"private_key\":\"", &private_key);
	put_key(&body, ",\"public_key\":\"", &public_key);
	if (with_preshared)
		put_key(&body, ",\"preshared_key\":\"", &preshared_key);
	text_put_char(&body, '}');
	sodium_memzero(&private_key, sizeof(private_key));
	sodium_memzero(&preshared_key, sizeof(preshared_key));
	request->is_secret = true;
	api_reply_json(request, MHD_HTTP_OK, &body);
}

void api_keys_create(struct api_request *request)
{
	static const char *const known[] = { "preshared", NULL };
	json_t *document = api_request_document(request);
	if (request->stage == API_REQUEST_REPLIED)
		return;
	struct problem problem;
	problem_init(&problem);
	json_t *preshared = json_object_get(document, "preshared");
	if (document != NULL)
		api_json_body_check_members(document, "", known, &problem);
	if (preshared != NULL && !json_is_boolean(preshared))
		problem_add(&problem, "/preshared", "wrong_type", "This must be true or false.");
	if (problem.code != PROBLEM_NONE)
		api_reply_problem(request, &problem, NULL);
	else
		reply_keys(request, json_is_true(preshared));
	problem_clear(&problem);
	json_decref(document);
}
