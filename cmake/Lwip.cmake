# Builds lwIP into one object whose mutable state is in one section, so that a stack is a copy of those bytes (ARCHITECTURE.md, «Decisions that differ»).
# lwIP has its own flags: data sections, link-time optimisation or coverage would scatter or enlarge that state.
# As a script (cmake -DLWIP_CHECK_OBJECT=... -P Lwip.cmake) it checks the object.

if(CMAKE_SCRIPT_MODE_FILE)
	execute_process(COMMAND ${LWIP_CHECK_READELF} -SW ${LWIP_CHECK_OBJECT} OUTPUT_VARIABLE sections RESULT_VARIABLE result)
	if(result)
		message(FATAL_ERROR "lwip.o: ${LWIP_CHECK_READELF} failed")
	endif()
	set(state 0)
	string(REPLACE "\n" ";" sections "${sections}")
	foreach(line IN LISTS sections)
		# [Nr] name type address offset size entry-size flags
		if(NOT line MATCHES "\\] ([^ ]+) +[A-Z_]+ +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+) [0-9a-f]+ +([A-Za-z]+) ")
			continue()
		endif()
		set(name "${CMAKE_MATCH_1}")
		math(EXPR size "0x${CMAKE_MATCH_2}")
		set(flags "${CMAKE_MATCH_3}")
		if(name STREQUAL "lwip_state")
			math(EXPR state "${state} + ${size}")
		elseif(flags MATCHES "W" AND size GREATER 0 AND NOT name MATCHES "^\\.(data\\.rel\\.ro|init_array|fini_array)")
			message(FATAL_ERROR "lwip.o: ${name} is writable and not part of the state that a stack copies")
		endif()
	endforeach()
	if(state LESS 512)
		message(FATAL_ERROR "lwip.o: only ${state} bytes of state were found, so stacks would share the rest")
	endif()
	return()
endif()

set(LWIP_SOURCE_DIR "" CACHE PATH "lwIP 2.1.3's source (the folder that holds src/); empty: fetched from the distribution's source package")
if(LWIP_SOURCE_DIR)
	set(lwip_source "${LWIP_SOURCE_DIR}")
else()
	set(lwip_source "${PROJECT_SOURCE_DIR}/build/lwip")
	execute_process(COMMAND "${CMAKE_CURRENT_LIST_DIR}/../scripts/fetch-lwip" "${lwip_source}" RESULT_VARIABLE result)
	if(result)
		message(FATAL_ERROR "lwIP's source could not be fetched; give it with -DLWIP_SOURCE_DIR=DIR, or a tarball: scripts/fetch-lwip --from FILE build/lwip")
	endif()
endif()
if(NOT EXISTS "${lwip_source}/src/core/tcp.c")
	message(FATAL_ERROR "${lwip_source} holds no src/core/tcp.c")
endif()
# Another version may assert where a far end can reach it (netstack/lwip/ASSERTIONS.md) or keep its state elsewhere.
file(READ "${lwip_source}/src/include/lwip/init.h" lwip_version)
string(REGEX REPLACE ".*LWIP_VERSION_MAJOR +([0-9]+).*LWIP_VERSION_MINOR +([0-9]+).*LWIP_VERSION_REVISION +([0-9]+).*" "\\1.\\2.\\3" lwip_version "${lwip_version}")
if(NOT lwip_version STREQUAL "2.1.3")
	message(FATAL_ERROR "${lwip_source} is lwIP ${lwip_version}, and warren needs 2.1.3: scripts/fetch-lwip fetches it")
endif()

find_program(LWIP_LD NAMES ld.bfd ld REQUIRED)
find_program(LWIP_OBJCOPY NAMES objcopy llvm-objcopy REQUIRED)
find_program(LWIP_READELF NAMES readelf REQUIRED)

set(LWIP_INCLUDE_DIRS "${PROJECT_SOURCE_DIR}/netstack/lwip" "${lwip_source}/src/include")
set(lwip_flags -std=gnu11 -O3 -g -w -fPIE -fno-common -fno-lto -fno-data-sections -fno-function-sections -fno-strict-aliasing ${WARREN_HARDENING})
# Its heap can be instrumented, its globals cannot: red zones between them would split the state.
if("${WARREN_SANITIZE}" MATCHES "address")
	if(CMAKE_C_COMPILER_ID MATCHES "Clang")
		list(APPEND lwip_flags -fsanitize=address -mllvm -asan-globals=0)
	else()
		list(APPEND lwip_flags -fsanitize=address --param asan-globals=0)
	endif()
endif()

set(lwip_units
	def inet_chksum init ip mem memp netif pbuf tcp tcp_in tcp_out udp
	ipv4/icmp ipv4/ip4 ipv4/ip4_addr ipv4/ip4_frag
	ipv6/icmp6 ipv6/inet6 ipv6/ip6 ipv6/ip6_addr ipv6/ip6_frag ipv6/nd6)
set_property(GLOBAL PROPERTY LWIP_SOURCE "${lwip_source}") # for the test lwip_assertions
set_property(GLOBAL PROPERTY LWIP_UNITS "${lwip_units}")
file(GLOB_RECURSE lwip_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/netstack/lwip/*.h")
set(lwip_dir "${CMAKE_BINARY_DIR}/lwip")
file(MAKE_DIRECTORY "${lwip_dir}")
set(lwip_objects)
foreach(unit IN LISTS lwip_units)
	string(REPLACE "/" "-" name "${unit}")
	set(object "${lwip_dir}/${name}.o")
	add_custom_command(OUTPUT "${object}"
		COMMAND ${CMAKE_C_COMPILER} ${lwip_flags} -I${PROJECT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/netstack/lwip -I${lwip_source}/src/include
			-c "${lwip_source}/src/core/${unit}.c" -o "${object}"
		DEPENDS "${lwip_source}/src/core/${unit}.c" ${lwip_headers} "${CMAKE_CURRENT_LIST_FILE}"
		COMMENT "lwIP: ${unit}.c" VERBATIM)
	list(APPEND lwip_objects "${object}")
endforeach()

set(LWIP_OBJECT "${lwip_dir}/lwip.o")
add_custom_command(OUTPUT "${LWIP_OBJECT}"
	COMMAND ${LWIP_LD} -r -o "${lwip_dir}/all.o" ${lwip_objects}
	COMMAND ${LWIP_OBJCOPY} --rename-section .data=lwip_state --rename-section .data.rel=lwip_state --rename-section .data.rel.local=lwip_state
		--rename-section .bss=lwip_state,alloc,load,data,contents "${lwip_dir}/all.o" "${LWIP_OBJECT}"
	COMMAND ${CMAKE_COMMAND} -DLWIP_CHECK_OBJECT=${LWIP_OBJECT} -DLWIP_CHECK_READELF=${LWIP_READELF} -P "${CMAKE_CURRENT_LIST_FILE}"
	DEPENDS ${lwip_objects} "${CMAKE_CURRENT_LIST_FILE}"
	COMMENT "lwIP: one object, its state in one section" VERBATIM)
set_source_files_properties("${LWIP_OBJECT}" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
