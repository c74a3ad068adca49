# A room is a folder under src/: one static library that can include only its
# own headers and those of the rooms it names. Each room is reached through an
# include directory of its own (a folder that holds one link to it), so that an
# include against the arrows does not build.

# Compile options of everything. The -Wno-… are for
# known false positives of GCC 12 in std::string and in coroutine frames.
add_library(oj_options INTERFACE)
target_compile_options(oj_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror
  -Wno-restrict -Wno-mismatched-new-delete -Wno-error=maybe-uninitialized -Wno-error=dangling-pointer
  # With -O3 it also takes a moved std::string's own buffer for too small.
  $<$<CONFIG:Release>:-Wno-array-bounds;-Wno-stringop-overflow;-Wno-stringop-overread>
  -fno-omit-frame-pointer -fstack-protector-strong -fpch-preprocess)
# Named by every room, and so here: a precompiled header is only used where the
# same macros are defined as where it was made.
target_link_libraries(oj_options INTERFACE ${BOOST_JSON} ${FMT})
target_compile_definitions(oj_options INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_JSON_NO_DEPRECATED)
if(ODDJOB_FAULT_POINTS)
  target_compile_definitions(oj_options INTERFACE ODDJOB_FAULT_POINTS)
endif()
if(ODDJOB_SANITIZE)
  target_compile_options(oj_options INTERFACE -fsanitize=${ODDJOB_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(oj_options INTERFACE -fsanitize=${ODDJOB_SANITIZE})
  if(ODDJOB_SANITIZE STREQUAL "thread")
    # Asio's fences are what ThreadSanitizer cannot see; a lock orders the same. GCC 12 takes
    # its instrumentation of copied arrays for reads beyond them.
    target_compile_options(oj_options INTERFACE -Wno-tsan -Wno-error=array-bounds)
    target_compile_definitions(oj_options INTERFACE BOOST_ASIO_DISABLE_FENCED_BLOCK)
  endif()
endif()

# Precompiled headers: one for pure rooms, one for rooms that wait.
function(oddjob_pch name)
  file(WRITE ${CMAKE_BINARY_DIR}/pch/${name}.cpp "// carries a precompiled header\n")
  add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/pch/${name}.cpp)
  target_link_libraries(${name} PRIVATE oj_options)
  target_precompile_headers(${name} PRIVATE ${ARGN})
endfunction()
set(ODDJOB_PCH_STD <algorithm> <array> <chrono> <cstdint> <expected> <functional> <map> <memory>
    <optional> <set> <span> <string> <string_view> <unordered_map> <utility> <variant> <vector>
    <boost/json.hpp> <fmt/format.h>)
oddjob_pch(oj_pch_pure ${ODDJOB_PCH_STD})
oddjob_pch(oj_pch_async ${ODDJOB_PCH_STD} <boost/asio/awaitable.hpp> <boost/asio/any_io_executor.hpp>)
oddjob_pch(oj_pch_net ${ODDJOB_PCH_STD} <boost/asio.hpp> <boost/asio/ssl.hpp> <boost/beast/core.hpp>
           <boost/beast/http.hpp> <boost/beast/ssl.hpp>)

# oddjob_room(<name> PCH <pch> USES <rooms...> LINK <libraries...>)
function(oddjob_room name)
  cmake_parse_arguments(R "" "PCH" "USES;LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  if(NOT sources)
    file(WRITE ${CMAKE_BINARY_DIR}/rooms/${name}.empty.cpp "// no sources yet\n")
    set(sources ${CMAKE_BINARY_DIR}/rooms/${name}.empty.cpp)
  endif()
  add_library(oj_${name} STATIC ${sources})
  oddjob_room_door(${name})
  target_link_libraries(oj_${name} PUBLIC oj_options PRIVATE ${R_LINK})
  target_include_directories(oj_${name} PRIVATE ${CMAKE_BINARY_DIR}/rooms/${name})
  oddjob_uses(oj_${name} ${R_USES})
  if(R_PCH)
    target_precompile_headers(oj_${name} REUSE_FROM ${R_PCH})
  endif()
endfunction()

function(oddjob_room_door name)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/rooms/${name})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/src/${name} ${CMAKE_BINARY_DIR}/rooms/${name}/${name} SYMBOLIC)
endfunction()

# Lets a target include the named rooms, and links them.
function(oddjob_uses target)
  foreach(room ${ARGN})
    target_include_directories(${target} PRIVATE ${CMAKE_BINARY_DIR}/rooms/${room})
    target_link_libraries(${target} PUBLIC oj_${room})
  endforeach()
endfunction()
