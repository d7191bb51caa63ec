# Modules without a service around them. With bench_mutations.c also without a worker's process.
set(mutations bench_mutations.c bench_worker.c quoted_json.c failing_vfs.c)
warren_test(NAME test_connection_listing SOURCES test_connection_listing.c bench_worker.c LIBS ${libraries} PkgConfig::UV)
warren_test(NAME test_mutations SOURCES test_mutations.c ${mutations} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE
	LINK_OPTIONS -Wl,--wrap=delta_apply,--wrap=socket_list_open,--wrap=placement_furnish,--wrap=runtime_send_prepare
	-Wl,--wrap=socket_list_ports,--wrap=registry_swap,--wrap=delta_clear)
warren_test(NAME test_mutation_commit SOURCES test_mutation_commit.c ${mutations} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE
	LINK_OPTIONS -Wl,--wrap=runtime_send_prepare)
warren_test(NAME test_peer_lookup SOURCES test_peer_lookup.c ${mutations} ${failing_heap_source} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE
	LINK_OPTIONS ${failing_heap} -Wl,--wrap=endpoint_resolver_ask,--wrap=endpoint_resolver_cancel)
warren_test(NAME test_endpoint_resolver SOURCES test_endpoint_resolver.c LIBS ${libraries} PkgConfig::UV PkgConfig::CARES
	LINK_OPTIONS -Wl,--wrap=ares_init_options,--wrap=ares_destroy,--wrap=ares_getaddrinfo,--wrap=ares_freeaddrinfo,--wrap=ares_process_fd
	-Wl,--wrap=stat,--wrap=fopen)
warren_test(NAME test_mutation_memory SOURCES test_mutation_memory.c ${mutations} ${failing_heap_source} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE
	LINK_OPTIONS ${failing_heap} -Wl,--wrap=uv_process_kill,--wrap=endpoint_resolver_ask)
foreach(step plan bind prepare answer)
	warren_test(NAME test_mutation_${step} SOURCES test_mutation_${step}.c ${mutations} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE)
endforeach()
foreach(step deltas read parts)
	warren_test(NAME test_mutation_${step} SOURCES test_mutation_${step}.c ${mutations} ${failing_heap_source} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE
		LINK_OPTIONS ${failing_heap} -Wl,--wrap=uv_process_kill)
endforeach()
# It opens a port again that it has just closed.
set_tests_properties(test_mutation_bind PROPERTIES RUN_SERIAL ON)
warren_test(NAME test_candidate_proxy SOURCES test_candidate_proxy.c quoted_json.c ${failing_heap_source} LIBS ${libraries} LINK_OPTIONS ${failing_heap})
warren_test(NAME test_database SOURCES test_database.c ${failing_heap_source} LIBS warren_service PkgConfig::SQLITE
	LINK_OPTIONS ${failing_heap} -Wl,--wrap=chmod,--wrap=rename,--wrap=fsync)
warren_test(NAME test_worker_process SOURCES test_worker_process.c bench_worker.c LIBS ${libraries} PkgConfig::UV LINK_OPTIONS -Wl,--wrap=uv_process_kill)
warren_test(NAME test_supervisor SOURCES test_supervisor.c fake_worker.c fake_pool.c LIBS ${libraries} PkgConfig::UV LINK_OPTIONS -Wl,--wrap=uv_spawn,--wrap=socketpair)
warren_test(NAME test_service SOURCES test_service.c fake_worker.c fake_pool.c quoted_json.c ${failing_heap_source} LIBS ${libraries} LINK_OPTIONS ${failing_heap})
warren_test(NAME test_dialer SOURCES test_dialer.c bench_worker.c ${failing_heap_source} LIBS ${libraries} PkgConfig::UV
	LINK_OPTIONS ${failing_heap} -Wl,--wrap=endpoint_resolver_ask,--wrap=endpoint_resolver_cancel)
warren_test(NAME test_runtime SOURCES test_runtime.c ${mutations} ${failing_heap_source} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE
	LINK_OPTIONS ${failing_heap} -Wl,--wrap=uv_process_kill)
warren_test(NAME test_provisioner SOURCES test_provisioner.c bench_worker.c ${failing_heap_source} LIBS ${libraries} PkgConfig::UV
	LINK_OPTIONS ${failing_heap} -Wl,--wrap=runtime_send_prepare,--wrap=uv_process_kill)
warren_test(NAME test_mover SOURCES test_mover.c bench_worker.c ${failing_heap_source} LIBS ${libraries} PkgConfig::UV
	LINK_OPTIONS ${failing_heap} -Wl,--wrap=uv_process_kill)
warren_test(NAME test_mutation_action SOURCES test_mutation_action.c ${mutations} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE)
warren_test(NAME test_checkpointer SOURCES test_checkpointer.c ${mutations} ${failing_heap_source} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE
	LINK_OPTIONS ${failing_heap} -Wl,--wrap=uv_process_kill)
warren_test(NAME test_broker SOURCES test_broker.c bench_worker.c ${failing_heap_source} LIBS ${libraries} PkgConfig::UV
	LINK_OPTIONS ${failing_heap} -Wl,--wrap=uv_process_kill)
warren_test(NAME test_snapshot_json SOURCES test_snapshot_json.c ${mutations} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE)
warren_test(NAME test_tunnel_list SOURCES test_tunnel_list.c ${mutations} ${failing_heap_source} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE
	LINK_OPTIONS ${failing_heap} -Wl,--wrap=uv_process_kill)
warren_test(NAME test_whole_state SOURCES test_whole_state.c ${mutations} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE)
warren_test(NAME test_snapshot_make SOURCES test_snapshot_make.c ${mutations} ${failing_heap_source} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE
	LINK_OPTIONS ${failing_heap} -Wl,--wrap=uv_process_kill)
foreach(module file_name secret_file file_document fault_list)
	warren_test(NAME test_${module} SOURCES files/test_${module}.c LIBS ${libraries})
endforeach()
warren_test(NAME test_folder_watch SOURCES files/test_folder_watch.c LIBS ${libraries} PkgConfig::UV)
warren_test(NAME test_folder SOURCES files/test_folder.c ${bench} LIBS ${libraries})
warren_test(NAME test_recorder SOURCES test_recorder.c LIBS ${libraries} PkgConfig::UV)
warren_test(NAME test_expirer SOURCES test_expirer.c ${bench} LIBS ${libraries})
warren_test(NAME test_object_record SOURCES fleet/test_object_record.c quoted_json.c LIBS ${libraries} warren_fleet)
warren_test(NAME test_roster SOURCES fleet/test_roster.c LIBS ${libraries} warren_fleet)
set(fake_store fleet/fake_store.c)
set(wrap_store -Wl,--wrap=etcd_store_read,--wrap=etcd_store_write,--wrap=etcd_store_cancel)
warren_test(NAME test_keeper SOURCES fleet/test_keeper.c ${fake_store} ${mutations} LIBS ${libraries} warren_fleet PkgConfig::UV PkgConfig::SQLITE
	LINK_OPTIONS ${wrap_store})
foreach(noun writer finder publisher resealer)
	warren_test(NAME test_${noun} SOURCES fleet/test_${noun}.c ${fake_store} ${mutations} LIBS ${libraries} warren_fleet PkgConfig::UV PkgConfig::SQLITE
		LINK_OPTIONS ${wrap_store})
endforeach()
warren_test(NAME test_fleet_secrets SOURCES fleet/test_secrets.c LIBS ${libraries} warren_fleet)
warren_test(NAME test_fleet_objects_memory SOURCES fleet/test_fleet_memory.c ${fake_store} ${mutations} ${failing_heap_source} LIBS ${libraries} warren_fleet
	PkgConfig::UV PkgConfig::SQLITE LINK_OPTIONS ${wrap_store} ${failing_heap} -Wl,--wrap=uv_process_kill)
warren_test(NAME test_fleet_tokens SOURCES fleet/test_fleet_tokens.c ${fake_store} ${mutations} ${failing_heap_source} LIBS ${libraries} warren_fleet
	PkgConfig::UV PkgConfig::SQLITE LINK_OPTIONS ${wrap_store} ${failing_heap} -Wl,--wrap=uv_process_kill)
