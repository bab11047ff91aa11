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

# What takes long begins first, so that all lanes end together: seconds under
# AddressSanitizer. A clean tree has no times of its own to go by.
set(EDICT_TEST_SECONDS
  daemon_processes=190 daemon_sets=125 daemon_credentials=120 daemon_waits=110
  daemon_events_out=86 daemon_retention=79 hostile=74 daemon_certificates=68
  daemon_compile=62 unit_join=55 daemon_status_for_people=52 daemon_tokens=50
  daemon_protection=48 daemon_assignments=44 daemon_quiet=43 daemon_backup=41
  daemon_discovery=39 daemon_serve=39 unit_cache_file=37 unit_yaml=36
  daemon_rollback=36 daemon_reload=35 differential=34 daemon_crash=34
  daemon_gate=31 daemon_key_rotation=31 daemon_audit=27 unit_subtree=26
  daemon_gone=26 unit_foreign=25 unit_confine=24 daemon_rights=23
  unit_https=21 daemon_access=21 daemon_clusters_from_git=21
  daemon_same_bytes=20 unit_rule=18 daemon_engine_config=15
  differential_split=15 daemon_cli=15 daemon_diff=14 unit_http=14 unit_gate=14
  unit_cache=14 unit_repo=13 unit_waits_http=13 unit_fetch=12 unit_key=12
  unit_compile=11 unit_packs=11 daemon_load=11 daemon_full_disk=10
  differential_compiled=10)

# edict_cost(NAME): for a test that was added. Those that run alone (RUN_SERIAL)
# stay without, which puts them last.
function(edict_cost name)
  set(seconds ${EDICT_TEST_SECONDS})
  list(FILTER seconds INCLUDE REGEX "^${name}=")
  if(seconds)
    string(REPLACE "${name}=" "" seconds "${seconds}")
    set_tests_properties(${name} PROPERTIES COST ${seconds})
  endif()
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
  edict_cost(unit_${name})
  # What ThreadSanitizer looks at can be built alone.
  if("threads" IN_LIST ARG_LABELS)
    if(NOT TARGET threads)
      add_custom_target(threads)
    endif()
    add_dependencies(threads unit_${name})
  endif()
endfunction()
