# What connects clients with streams, in a tunnel that is played by tests/tunnel/rig.h.
add_library(warren_rig OBJECT rig_browser.c rig_pool.c rig_loop.c rig_netstack.c rig_socket.c rig_tunnel.c)
target_link_libraries(warren_rig PRIVATE warren_tunnel warren_flags PkgConfig::CMOCKA)
foreach(noun flush connection connection_table connection_query access_report listener host_datagram descriptor_request linger intake
		client pool link login dial relay exchange exchange_limits forward associate udp_session backlog probe)
	warren_test(NAME test_${noun} SOURCES test_${noun}.c $<TARGET_OBJECTS:warren_rig> LIBS warren_tunnel
		LINK_OPTIONS -Wl,--wrap=getsockname,--wrap=getpeername,--wrap=recvmsg,--wrap=sendmsg)
endforeach()
foreach(noun pool_memory proxy_memory)
	warren_test(NAME test_${noun} SOURCES test_${noun}.c ${failing_heap_source} $<TARGET_OBJECTS:warren_rig> LIBS warren_tunnel
		LINK_OPTIONS ${failing_heap} -Wl,--wrap=getsockname,--wrap=getpeername,--wrap=recvmsg,--wrap=sendmsg)
endforeach()
