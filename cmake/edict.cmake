# What every target of the project has in common.

add_library(edict_options INTERFACE)
target_compile_definitions(edict_options INTERFACE
  _GNU_SOURCE EDICT_VERSION="${PROJECT_VERSION}")
target_include_directories(edict_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(edict_options INTERFACE
  # Functions that know no bounds do not compile.
  "SHELL:-include ${PROJECT_SOURCE_DIR}/core/banned.h"
  -Werror -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes
  -Wmissing-prototypes -Wwrite-strings -Wcast-qual -Wvla -Wformat=2
  -fno-omit-frame-pointer
  # Texts for people are cut on purpose; what may not be cut is built in bufs.
  $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>)
target_link_libraries(edict_options INTERFACE Threads::Threads)

if(EDICT_SANITIZE)
  target_compile_options(edict_options INTERFACE
    -fsanitize=${EDICT_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(edict_options INTERFACE -fsanitize=${EDICT_SANITIZE})
  # The seccomp lists leave room for what the sanitizers' runtimes call.
  target_compile_definitions(edict_options INTERFACE EDICT_SANITIZED=1)
endif()

if(EDICT_HARDEN)
  target_compile_options(edict_options INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong
    -fstack-clash-protection)
  target_link_options(edict_options INTERFACE
    -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
endif()

if(EDICT_FUZZ)
  target_compile_options(edict_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# edict_library(NAME SOURCES ... LIBS ...): one folder, one static library.
function(edict_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC edict_options ${ARG_LIBS})
endfunction()

# edict_unit(NAME LIBS ... [LABELS ...]): one cmocka program from NAME_test.c.
# Tests run with the source tree as their folder and find the engine through
# EDICT_OPA.
function(edict_unit name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS;LABELS" ${ARGN})
  add_executable(unit_${name} ${name}_test.c ${ARG_SOURCES})
  target_link_libraries(unit_${name} PRIVATE
    edict_options ${ARG_LIBS} PkgConfig::CMOCKA)
  add_test(NAME unit_${name} COMMAND unit_${name}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(unit_${name} PROPERTIES
    LABELS "unit;${ARG_LABELS}" TIMEOUT 300
    ENVIRONMENT "EDICT_OPA=${PROJECT_SOURCE_DIR}/build/tools/opa")
  # What ThreadSanitizer looks at can be built alone.
  if("threads" IN_LIST ARG_LABELS)
    if(NOT TARGET threads)
      add_custom_target(threads)
    endif()
    add_dependencies(threads unit_${name})
  endif()
endfunction()
