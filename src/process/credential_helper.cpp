#include "process/credential_helper.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

namespace oddjob::process {

bool is_credential_helper_name(std::string_view s) {
  return !s.empty() && s.size() <= 64 && std::ranges::all_of(s, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
  });
}

HelperAnswer ask_credential_helper(std::string_view helper, std::string verb, std::string input,
                                   const std::map<std::string, std::string>& environment, Duration timeout,
                                   const std::atomic<bool>& stop) {
  ProcessRequest request;
  request.argv = {"docker-credential-" + std::string(helper), std::move(verb)};
  request.environment = environment;
  request.input = std::move(input);
  request.timeout = timeout;
  request.max_output = kMaxHelperOutput;
  HelperAnswer answer;
  answer.process = run_process(request, stop);
  // "credentials not found in native keychain" on standard output is how the
  // protocol says that there are none.
  answer.nothing = answer.process.end == ProcessEnd::exited && answer.process.status != 0 &&
                   answer.process.output.find("credentials not found") != std::string::npos;
  return answer;
}

}  // namespace oddjob::process
