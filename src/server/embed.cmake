# Compiles the custom resource definition into oj_server, for `oddjobd dev`: what the dev cluster gets is what
# an administrator applies. At configuration, as in api/embed.cmake.
set(crd_file ${CMAKE_SOURCE_DIR}/deploy/crds/oddjob.dev_jobtemplates.yaml)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${crd_file})
file(READ ${crd_file} crd)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/template_crd.cpp CONTENT [[
#include "server/samples.hpp"

namespace oddjob::server {

std::string_view template_crd() noexcept {
  return R"crd(@crd@)crd";
}

}  // namespace oddjob::server
]] @ONLY)
target_sources(oj_server PRIVATE ${CMAKE_BINARY_DIR}/generated/template_crd.cpp)
