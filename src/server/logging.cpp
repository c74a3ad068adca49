#include "server/logging.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "core/json.hpp"
#include "core/text.hpp"

namespace oddjob::server {
namespace {

constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567", kHex = "0123456789abcdef";

bool only(std::string_view s, std::string_view alphabet) {
  return s.find_first_not_of(alphabet) == std::string_view::npos;
}

// The message as a JSON string: a quote or a newline in it must not break the line.
class JsonMessage : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& out) override {
    const std::string_view payload(message.payload.data(), message.payload.size());
    const auto text =
        json::serialize(json::value(json::string(to_valid_utf8(payload)))) + subjects_of(payload);
    out.append(text.data(), text.data() + text.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return spdlog::details::make_unique<JsonMessage>();
  }
};

}  // namespace

std::string subjects_of(std::string_view message) {
  constexpr std::string_view kRun = "run ", kTrace = " trace=";
  constexpr std::size_t kRunId = 20, kTraceId = 32;
  std::string out;
  if (message.starts_with(kRun)) {
    const auto rest = message.substr(kRun.size());
    const auto id = rest.substr(0, kRunId);
    const bool ends =
        rest.size() == kRunId || (rest.size() > kRunId && (rest[kRunId] == ' ' || rest[kRunId] == ':'));
    if (ends && only(id, kBase32)) out += R"(,"run":")" + std::string(id) + '"';
  }
  if (const auto at = message.rfind(kTrace); at != std::string_view::npos) {
    const auto id = message.substr(at + kTrace.size());
    if (id.size() == kTraceId && only(id, kHex)) out += R"(,"trace":")" + std::string(id) + '"';
  }
  return out;
}

void set_up_logging(const std::string& level, const std::string& format) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("oddjobd"));
  spdlog::set_level(spdlog::level::from_str(level));
  spdlog::flush_on(spdlog::level::trace);
  if (format == "json") {
    auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
    formatter->add_flag<JsonMessage>('*').set_pattern(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l","message":%*})");
    spdlog::set_formatter(std::move(formatter));
  } else {
    spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  }
}

}  // namespace oddjob::server
