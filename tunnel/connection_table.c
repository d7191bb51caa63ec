#include "tunnel/connection_table.h"

#include "tunnel/connection.h"

void connection_table_add(struct connection_table *table, struct connection *connection)
{
	connection->number = ++table->last_number;
	struct connection **chain = &table->chains[connection->number % CONNECTION_TABLE_CHAINS];
	connection->below = *chain;
	connection->above = chain;
	if (connection->below != NULL)
		connection->below->above = &connection->below;
	*chain = connection;
}

void connection_table_remove(struct connection *connection)
{
	*connection->above = connection->below;
	if (connection->below != NULL)
		connection->below->above = connection->above;
}

struct connection *connection_table_find(const struct connection_table *table, uint64_t number)
{
	struct connection *connection = table->chains[number % CONNECTION_TABLE_CHAINS];
	while (connection != NULL && connection->number != number)
		connection = connection->below;
	return connection;
}
