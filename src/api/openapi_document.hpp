// src/api/openapi.json, compiled in (embed.cmake).
#pragma once

#include <string_view>

namespace oddjob::api {

std::string_view openapi_document() noexcept;

}  // namespace oddjob::api
