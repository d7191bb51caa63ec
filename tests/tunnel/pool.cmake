foreach(noun label_keys user_name rule_set member_table)
	warren_test(NAME test_${noun} SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${noun}.c LIBS warren_tunnel)
endforeach()
foreach(noun chooser sticky)
	warren_test(NAME test_${noun} SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${noun}.c ${failing_heap_source}
		LIBS warren_tunnel LINK_OPTIONS ${failing_heap})
endforeach()
warren_test(NAME test_pool_model SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_pool_model.c ${CMAKE_CURRENT_LIST_DIR}/pool_model.c
	${CMAKE_SOURCE_DIR}/tests/netstack/dice.c LIBS warren_tunnel)
warren_fuzzer(NAME fuzz_pool CORPUS pool SOURCES ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_pool.c LIBS warren_tunnel)
