# One list of warnings for all of our code, errors everywhere.
add_library(warren_flags INTERFACE)
target_compile_options(warren_flags INTERFACE
	-Wall -Wextra -Wpedantic -Werror
	-Wshadow -Wcast-qual -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
	-Wformat=2 -Wundef -Wvla -Wwrite-strings -Wswitch-enum
	-Wpointer-arith)
target_compile_definitions(warren_flags INTERFACE _GNU_SOURCE WARREN_VERSION="${PROJECT_VERSION}")
target_include_directories(warren_flags INTERFACE ${CMAKE_SOURCE_DIR})
