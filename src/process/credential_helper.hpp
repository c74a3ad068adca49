// Docker's protocol of credential helpers: programs named docker-credential-NAME
// that are asked by a verb (get, store, erase), with what it is about on their
// standard input. What an answer means, and what to say of a failure, is the
// caller's. Blocks, as run_process() does.
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "process/process.hpp"

namespace oddjob::process {

inline constexpr std::size_t kMaxHelperOutput = 64U << 10U;

// Letters, digits, '-', '_' and '.', at most 64: nothing that leads to another program.
bool is_credential_helper_name(std::string_view s);

struct HelperAnswer {
  ProcessResult process;
  // It ended, and said as the protocol has it that there is nothing under that key.
  bool nothing = false;
};
// `helper`: a name as above. Of the output at most kMaxHelperOutput.
HelperAnswer ask_credential_helper(std::string_view helper, std::string verb, std::string input,
                                   const std::map<std::string, std::string>& environment, Duration timeout,
                                   const std::atomic<bool>& stop);

}  // namespace oddjob::process
