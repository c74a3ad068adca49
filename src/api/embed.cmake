# Compiles openapi.json into oj_api, so that the server describes exactly what it is.
# At configuration, not by a custom command: that would make every file of the room
# wait for all the rooms below it.
set(document_file ${CMAKE_CURRENT_LIST_DIR}/openapi.json)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${document_file})
file(READ ${document_file} document)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/openapi_document.cpp CONTENT [[
#include "api/openapi_document.hpp"

namespace oddjob::api {

std::string_view openapi_document() noexcept {
  return R"openapi(@document@)openapi";
}

}  // namespace oddjob::api
]] @ONLY)
target_sources(oj_api PRIVATE ${CMAKE_BINARY_DIR}/generated/openapi_document.cpp)
