# One list of warnings for all of our code, errors everywhere.
add_library(warren_flags INTERFACE)
target_compile_options(warren_flags INTERFACE
	-Wall -Wextra -Wpedantic -Werror
	-Wshadow -Wcast-qual -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
	-Wformat=2 -Wundef -Wvla -Wwrite-strings -Wswitch-enum
	-Wpointer-arith)
# gcc 11 (Ubuntu 22.04) means the members behind a designated one whose value is a compound literal, which are zero.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_C_COMPILER_VERSION VERSION_LESS 12)
	target_compile_options(warren_flags INTERFACE -Wno-missing-field-initializers)
endif()
target_compile_definitions(warren_flags INTERFACE _GNU_SOURCE)
target_include_directories(warren_flags INTERFACE ${CMAKE_SOURCE_DIR})
