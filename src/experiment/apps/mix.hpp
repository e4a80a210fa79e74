// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace sluice::experiment {

/// Which applications come, how many, and over what time.
struct app_mix {
    struct share {
        std::string application;
        double weight = 1;
    };

    std::string name;
    std::string description;
    std::vector<share> shares;
    double window_s = 0;                                         ///< at intensity 1
    std::uint32_t tasks = 0;                                     ///< applications in the window
    std::map<std::string, std::uint32_t, std::less<>> tasks_on;  ///< by engine, where they differ
    double deadline_share = 0;    ///< of applications that have a deadline
    std::uint32_t adapters = 0;   ///< LoRA adapters, of which each application has one; 0: none
    bool external_queues = true;  ///< false: what is no LLM has no limit

    [[nodiscard]] std::uint32_t tasks_of(std::string_view engine) const {
        const auto it = tasks_on.find(engine);
        return it == tasks_on.end() ? tasks : it->second;
    }
};

/// A built-in mix by its name, or one from a JSON file; docs/applications.md has its keys.
///
/// \return kNotFound: neither a name nor a file; kInvalidArgument: what the file has wrong, with
/// file, line and key
[[nodiscard]] absl::StatusOr<app_mix> load_mix(std::string_view name_or_file);

/// The names of the mixes in mixes/.
[[nodiscard]] std::vector<std::string> builtin_mixes();

}  // namespace sluice::experiment
