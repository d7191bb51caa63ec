/* The handlers of the route table. Each replies, or submits a change and replies when it is done. */
#ifndef WARREN_API_HANDLERS_H
#define WARREN_API_HANDLERS_H

struct api_request;

/* objects.c: of tunnels or pools */
void api_objects_list(struct api_request *request);
void api_objects_get(struct api_request *request);
void api_objects_edit(struct api_request *request); /* POST, PUT, PATCH, DELETE, of pools and peers */
/* tunnels.c */
void api_tunnels_delete_where(struct api_request *request); /* tunnels or pools */
void api_tunnels_edit(struct api_request *request);         /* POST, PUT, PATCH, DELETE */
void api_tunnels_status(struct api_request *request);
void api_tunnels_config(struct api_request *request);
/* pools.c */
void api_pools_members(struct api_request *request);
void api_pools_pac(struct api_request *request);
/* pool_sessions.c */
void api_pool_sessions_list(struct api_request *request);
void api_pool_sessions_delete(struct api_request *request);
void api_pool_sessions_delete_all(struct api_request *request);
/* peers.c */
void api_peers_list(struct api_request *request);
void api_peers_get(struct api_request *request);
/* actions.c */
void api_actions_reconnect(struct api_request *request);
void api_actions_replace(struct api_request *request);
void api_actions_move(struct api_request *request);
void api_actions_probe(struct api_request *request);
void api_actions_reload(struct api_request *request);
void api_actions_upgrade(struct api_request *request);
/* connections.c */
void api_connections_list(struct api_request *request);
void api_connections_list_of_tunnel(struct api_request *request);
void api_connections_get(struct api_request *request);
void api_connections_delete(struct api_request *request);
void api_connections_delete_where(struct api_request *request);
/* batch.c, state.c */
void api_batch_run(struct api_request *request);
void api_state_get(struct api_request *request);
void api_state_put(struct api_request *request);
/* stats.c, metrics.c, event_stream.c */
void api_stats_one(struct api_request *request);
void api_stats_all(struct api_request *request);
void api_stats_history(struct api_request *request);
void api_metrics_get(struct api_request *request);
void api_event_stream_get(struct api_request *request);
/* keys.c, tokens.c, server_health.c, page.c */
void api_keys_create(struct api_request *request);
void api_nodes_list(struct api_request *request);
void api_nodes_get(struct api_request *request);
void api_nodes_patch(struct api_request *request);
void api_tokens_list(struct api_request *request);
void api_tokens_create(struct api_request *request);
void api_tokens_delete(struct api_request *request);
void api_tokens_whoami(struct api_request *request);
void api_tokens_rotate(struct api_request *request);
void api_server_health_live(struct api_request *request);
void api_server_health_ready(struct api_request *request);
void api_server_health_version(struct api_request *request);
void api_info(struct api_request *request);
void api_page_get(struct api_request *request);

#endif
