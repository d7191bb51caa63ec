#include "command/arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/memory.h"

static const struct arguments_option *find(const struct arguments_option *const tables[2], const char *name, size_t length)
{
	for (int i = 0; i < 2; i++)
		for (const struct arguments_option *option = tables[i]; option->name != NULL; option++)
			if (strlen(option->name) == length && strncmp(option->name, name, length) == 0)
				return option;
	return NULL;
}

static void add(struct arguments *arguments, const struct arguments_option *option, const char *value)
{
	arguments->given = memory_resize(arguments->given, (arguments->given_count + 1) * sizeof(*arguments->given));
	arguments->given[arguments->given_count++] = (struct arguments_given){ option, value };
}

bool arguments_read_option(struct arguments *arguments, const struct arguments_option *const tables[2], const char *const *argv, int *at,
                           char failure[ARGUMENTS_FAILURE_MAX])
{
	const char *word = argv[(*at)++], *equals = strchr(word, '=');
	if (strcmp(word, "-h") == 0)
		word = "--help";
	size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);
	const struct arguments_option *option = length > 2 && word[1] == '-' ? find(tables, word + 2, length - 2) : NULL;
	const char *value = equals != NULL ? equals + 1 : NULL;
	if (option == NULL) {
		snprintf(failure, ARGUMENTS_FAILURE_MAX, "there is no option '%.*s' here", (int)length, word);
		return false;
	}
	if (option->value == NULL && value != NULL) {
		snprintf(failure, ARGUMENTS_FAILURE_MAX, "--%s takes no value", option->name);
		return false;
	}
	if (option->value != NULL && value == NULL)
		value = argv[*at] != NULL ? argv[(*at)++] : NULL;
	if (option->value != NULL && value == NULL) {
		snprintf(failure, ARGUMENTS_FAILURE_MAX, "--%s needs a value: --%s %s", option->name, option->name, option->value);
		return false;
	}
	add(arguments, option, value);
	return true;
}

static bool is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0';
}

bool arguments_read(struct arguments *arguments, const struct arguments_option *const tables[2], const char *const *argv, int at,
                    char failure[ARGUMENTS_FAILURE_MAX])
{
	bool has_ended = false;
	while (argv[at] != NULL) {
		if (!has_ended && strcmp(argv[at], "--") == 0) {
			has_ended = true;
			at++;
			continue;
		}
		if (!has_ended && is_option(argv[at])) {
			if (!arguments_read_option(arguments, tables, argv, &at, failure))
				return false;
			continue;
		}
		arguments->words = memory_resize(arguments->words, (arguments->word_count + 1) * sizeof(*arguments->words));
		arguments->words[arguments->word_count++] = argv[at++];
	}
	return true;
}

void arguments_clear(struct arguments *arguments)
{
	free(arguments->words);
	free(arguments->given);
	*arguments = (struct arguments){ 0 };
}

const char *arguments_next(const struct arguments *arguments, const char *name, size_t *cursor)
{
	while (*cursor < arguments->given_count) {
		const struct arguments_given *given = &arguments->given[(*cursor)++];
		if (strcmp(given->option->name, name) == 0)
			return given->value;
	}
	return NULL;
}

bool arguments_has(const struct arguments *arguments, const char *name)
{
	for (size_t i = 0; i < arguments->given_count; i++)
		if (strcmp(arguments->given[i].option->name, name) == 0)
			return true;
	return false;
}

const char *arguments_value(const struct arguments *arguments, const char *name)
{
	size_t cursor = 0;
	const char *last = NULL;
	for (const char *value; (value = arguments_next(arguments, name, &cursor)) != NULL;)
		last = value;
	return last;
}

long long arguments_number(const struct arguments *arguments, const char *name)
{
	const char *text = arguments_value(arguments, name);
	/* As many digits as cannot overflow; strtoll would take blanks and signs, too. */
	bool is_number = text != NULL && *text != '\0' && strlen(text) <= 18 && text[strspn(text, "0123456789")] == '\0';
	return is_number ? strtoll(text, NULL, 10) : -1;
}
