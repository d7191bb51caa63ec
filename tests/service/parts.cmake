# Parts of the service, each alone.
warren_test(NAME test_mutation SOURCES test_mutation.c quoted_json.c ${failing_heap_source} LIBS ${libraries} LINK_OPTIONS ${failing_heap})
set(wrap_entries)
foreach(entry locking planning binding preparing waiting_for_worker storing committing finishing undoing suspended running_parts acting writing_token answered)
	list(APPEND wrap_entries -Wl,--wrap=mutation_enter_${entry})
endforeach()
warren_test(NAME test_mutation_step SOURCES test_mutation_step.c LIBS warren_service LINK_OPTIONS ${wrap_entries} -Wl,--wrap=mutations_enqueue,--wrap=mutations_go_on_later)
warren_test(NAME test_delta_peer SOURCES test_delta_peer.c quoted_json.c ${failing_heap_source} LIBS ${libraries} LINK_OPTIONS ${failing_heap})
foreach(module mutation_token reach)
	warren_test(NAME test_${module} SOURCES test_${module}.c ${mutations} LIBS ${libraries} PkgConfig::UV PkgConfig::SQLITE)
endforeach()
warren_test(NAME test_member_list SOURCES test_member_list.c quoted_json.c ${failing_heap_source} LIBS ${libraries} LINK_OPTIONS ${failing_heap})
warren_test(NAME test_audience SOURCES test_audience.c bench_worker.c ${failing_heap_source} LIBS ${libraries} PkgConfig::UV
	LINK_OPTIONS ${failing_heap} -Wl,--wrap=uv_process_kill)
