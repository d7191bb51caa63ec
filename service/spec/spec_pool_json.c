#include "service/spec/spec_pool_json.h"

#include <stdio.h>

#include "service/spec/labels.h"

static json_t *texts_to_json(struct json_writer *writer, char *const *texts, size_t count)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_writer_add(writer, list, json_string(texts[i]));
	return list;
}

static json_t *selection_to_json(struct json_writer *writer, const struct spec_selection *selection)
{
	json_t *object = json_object();
	json_writer_set(writer, object, "tunnels", texts_to_json(writer, selection->tunnels, selection->tunnel_count));
	json_writer_set(writer, object, "labels", labels_to_json(selection->labels, selection->label_count));
	return object;
}

static json_t *ports_to_json(struct json_writer *writer, const struct spec_rule *rule)
{
	json_t *list = json_array();
	for (size_t i = 0; i < rule->port_count; i++) {
		const struct spec_ports *ports = &rule->ports[i];
		char text[16];
		if (ports->first == ports->last)
			snprintf(text, sizeof(text), "%u", ports->first);
		else
			snprintf(text, sizeof(text), "%u-%u", ports->first, ports->last);
		json_writer_add(writer, list, json_string(text));
	}
	return list;
}

static json_t *networks_to_json(struct json_writer *writer, const struct spec_rule *rule)
{
	json_t *list = json_array();
	for (size_t i = 0; i < rule->network_count; i++) {
		char text[NETWORK_TEXT_SIZE];
		network_format(&rule->networks[i], text);
		json_writer_add(writer, list, json_string(text));
	}
	return list;
}

/* Without the lists that are empty, which match all. */
static json_t *rule_to_json(struct json_writer *writer, const struct spec_rule *rule)
{
	json_t *object = json_object();
	if (rule->domain_count > 0)
		json_writer_set(writer, object, "domains", texts_to_json(writer, rule->domains, rule->domain_count));
	if (rule->network_count > 0)
		json_writer_set(writer, object, "networks", networks_to_json(writer, rule));
	if (rule->port_count > 0)
		json_writer_set(writer, object, "ports", ports_to_json(writer, rule));
	if (rule->user_count > 0)
		json_writer_set(writer, object, "users", texts_to_json(writer, rule->users, rule->user_count));
	json_writer_set(writer, object, "action", json_string(rule->action == SPEC_RULE_REJECT ? "reject" : "members"));
	if (rule->action == SPEC_RULE_MEMBERS)
		json_writer_set(writer, object, "members", selection_to_json(writer, &rule->members));
	return object;
}

void spec_pool_to_json(struct json_writer *writer, json_t *object, const struct spec_pool *pool)
{
	json_t *sticky = json_object(), *rules = json_array();
	json_writer_set(writer, sticky, "by", json_string(spec_sticky_name(pool->sticky_by)));
	json_writer_set(writer, sticky, "ttl", json_integer(pool->sticky_ttl));
	for (size_t i = 0; i < pool->rule_count; i++)
		json_writer_add(writer, rules, rule_to_json(writer, &pool->rules[i]));
	json_writer_set(writer, object, "members", selection_to_json(writer, &pool->members));
	json_writer_set(writer, object, "strategy", json_string(spec_strategy_name(pool->strategy)));
	json_writer_set(writer, object, "sticky", sticky);
	json_writer_set(writer, object, "retries", json_integer(pool->retries));
	json_writer_set(writer, object, "rules", rules);
}
