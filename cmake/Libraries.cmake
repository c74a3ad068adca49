# The libraries that the rooms name, as variables: the machine's shared ones, or archives that are linked in.
# Archives are Debian's own where there are any, and otherwise those that script/bootstrap built of Debian's
# sources (script/lib/libraries.sh). They make a command of `oddjob` start in a third of the time. OpenSSL, and
# what other programs have in memory anyway, stays shared: its fixes then need no new OddJob.
set(ODDJOB_LIBRARIES auto CACHE STRING
    "archives: linked in (script/bootstrap builds them); shared: the machine's; auto: archives where they are there")
set_property(CACHE ODDJOB_LIBRARIES PROPERTY STRINGS auto archives shared)
if(NOT ODDJOB_LIBRARIES MATCHES "^(auto|archives|shared)$")
  message(FATAL_ERROR "ODDJOB_LIBRARIES is '${ODDJOB_LIBRARIES}'; it can be auto, archives or shared")
endif()

find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(CURL REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(SQLite3 REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(PQ REQUIRED IMPORTED_TARGET libpq)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
find_library(CJOSE cjose REQUIRED)

# All that a program of C++ needs; false as soon as one is only to be had as a shared library, which brings the
# shared C++ runtime along.
set(ODDJOB_ARCHIVES_FOR_CLI TRUE)
set(ODDJOB_ARCHIVES_FOR_SERVER TRUE)

# Sets ${out} to the path of an archive, or to nothing. SOURCE is the Debian source package of one that
# script/bootstrap built.
function(oddjob_archive out file source)
  set(found "")
  if(NOT ODDJOB_LIBRARIES STREQUAL "shared")
    if(source)
      # Asked for each time: an upgrade lies in another folder.
      execute_process(COMMAND ${CMAKE_SOURCE_DIR}/script/lib/libraries.sh --where ${source}
                      OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
      if(folder)
        set(found ${folder}/${file})
      endif()
    else()
      find_library(ODDJOB_ARCHIVE_${file} NAMES ${file})
      if(ODDJOB_ARCHIVE_${file})
        set(found ${ODDJOB_ARCHIVE_${file}})
      endif()
    endif()
    if(NOT found AND ODDJOB_LIBRARIES STREQUAL "archives")
      message(FATAL_ERROR "There is no ${file}; script/bootstrap installs or builds it, or says why it cannot")
    endif()
    if(NOT found)
      message(STATUS "${file} is not there: the shared library is taken")
    endif()
  endif()
  set(${out} "${found}" PARENT_SCOPE)
endfunction()

# Sets ${out} to a target that is like the package's own, but for the file; or to the package's own.
# Headers and definitions are the same either way.
function(oddjob_library out target file source)
  cmake_parse_arguments(L "SERVER" "" "NEEDS" ${ARGN})
  oddjob_archive(archive ${file} "${source}")
  if(NOT archive)
    set(${out} ${target} PARENT_SCOPE)
    set(ODDJOB_ARCHIVES_FOR_SERVER FALSE PARENT_SCOPE)
    if(NOT L_SERVER)
      set(ODDJOB_ARCHIVES_FOR_CLI FALSE PARENT_SCOPE)
    endif()
    return()
  endif()
  string(TOLOWER oj_lib_${out} name)
  add_library(${name} STATIC IMPORTED GLOBAL)
  set_target_properties(${name} PROPERTIES IMPORTED_LOCATION ${archive})
  if(TARGET ${target})
    foreach(property INTERFACE_INCLUDE_DIRECTORIES INTERFACE_COMPILE_DEFINITIONS INTERFACE_COMPILE_FEATURES)
      get_target_property(value ${target} ${property})
      if(value)
        set_target_properties(${name} PROPERTIES ${property} "${value}")
      endif()
    endforeach()
  endif()
  set_target_properties(${name} PROPERTIES INTERFACE_LINK_LIBRARIES "${L_NEEDS}")
  set(${out} ${name} PARENT_SCOPE)
endfunction()

find_library(RE2_SHARED re2 REQUIRED)
find_library(SOCI_CORE_SHARED soci_core REQUIRED)
find_library(SOCI_SQLITE3_SHARED soci_sqlite3 REQUIRED)
find_library(SOCI_POSTGRESQL_SHARED soci_postgresql REQUIRED)

oddjob_archive(NGHTTP2 libnghttp2.a "")
oddjob_library(FMT fmt::fmt libfmt.a fmtlib)
oddjob_library(SPDLOG spdlog::spdlog libspdlog.a spdlog NEEDS ${FMT} Threads::Threads)
oddjob_library(YAML_CPP yaml-cpp libyaml-cpp.a "")
oddjob_library(BOOST_CONTAINER Boost::container libboost_container.a "")
oddjob_library(BOOST_JSON Boost::json libboost_json.a "" NEEDS ${BOOST_CONTAINER} Boost::headers)
oddjob_library(RE2 ${RE2_SHARED} libre2.a "" NEEDS Threads::Threads)
oddjob_library(SOCI_CORE ${SOCI_CORE_SHARED} libsoci_core.a "" SERVER NEEDS ${CMAKE_DL_LIBS})
oddjob_library(SOCI_SQLITE3 ${SOCI_SQLITE3_SHARED} libsoci_sqlite3.a "" SERVER NEEDS ${SOCI_CORE} SQLite::SQLite3)
oddjob_library(SOCI_POSTGRESQL ${SOCI_POSTGRESQL_SHARED} libsoci_postgresql.a "" SERVER NEEDS ${SOCI_CORE} PkgConfig::PQ)
oddjob_library(PROMETHEUS prometheus-cpp::core libprometheus-cpp-core.a prometheus-cpp SERVER NEEDS Threads::Threads)
if(ODDJOB_DEVCLUSTER)
  # Debian's brings ICU by way of XML, and ICU the shared C++ runtime.
  find_package(ZLIB REQUIRED)
  pkg_check_modules(LIBARCHIVE REQUIRED IMPORTED_TARGET libarchive)
  oddjob_library(ARCHIVE PkgConfig::LIBARCHIVE libarchive.a libarchive SERVER NEEDS ZLIB::ZLIB PkgConfig::ZSTD)
endif()
set(CURL CURL::libcurl)
if(NGHTTP2)
  oddjob_library(CURL CURL::libcurl libcurl.a curl NEEDS ${NGHTTP2} OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
endif()

# oddjob_runtime(<program> <archives are there>): the C++ runtime is linked in as well where no shared library
# brings another one. Sanitizers have a runtime of their own. What was linked in is written beside the program,
# for the image's list of software.
function(oddjob_runtime program archives)
  target_link_options(${program} PRIVATE -Wl,--dependency-file=$<TARGET_FILE:${program}>.d)
  if(archives AND NOT ODDJOB_SANITIZE)
    target_link_options(${program} PRIVATE -static-libstdc++ -static-libgcc)
  endif()
endfunction()
