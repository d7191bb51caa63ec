#include "service/spec/selector.h"

#include <stdlib.h>
#include <string.h>

/* Strict, because a mistyped selector must not select everything: «k!==v» is refused, and so is «k==v». */
int selector_parse(const char *text, struct selector *selector)
{
	size_t length = labels_key_length(text);
	const char *rest = text + length;
	bool is_not = rest[0] == '!';
	*selector = (struct selector){ .kind = rest[0] == '\0' ? SELECTOR_HAS : is_not ? SELECTOR_IS_NOT : SELECTOR_IS };
	const char *value = rest + is_not + 1;
	if (length == 0 || (rest[0] != '\0' && (rest[is_not] != '=' || value[0] == '=')))
		return SELECTOR_MALFORMED;
	selector->key = strndup(text, length);
	if (selector->kind != SELECTOR_HAS)
		selector->value = strdup(value);
	if (selector->key != NULL && (selector->kind == SELECTOR_HAS || selector->value != NULL))
		return 0;
	free(selector->key);
	free(selector->value);
	return SELECTOR_OUT_OF_MEMORY;
}

void selectors_free(struct selector *selectors, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(selectors[i].key);
		free(selectors[i].value);
	}
	free(selectors);
}

bool selectors_accept(const struct selector *selectors, size_t count, const struct spec_label *labels, size_t label_count)
{
	for (size_t i = 0; i < count; i++) {
		const char *value = spec_label_find(labels, label_count, selectors[i].key);
		bool is_equal = value != NULL && selectors[i].value != NULL && strcmp(value, selectors[i].value) == 0;
		if (selectors[i].kind == SELECTOR_IS_NOT ? is_equal : selectors[i].kind == SELECTOR_HAS ? value == NULL : !is_equal)
			return false;
	}
	return true;
}
