// SPDX-License-Identifier: Apache-2.0
#include "plugins.hpp"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include <sluice/sched/policy_registry.hpp>

namespace sluice::command {

absl::Status load_plugins(const std::vector<std::string>& files) {
    for (const std::string& file : files) {
        // A name without a slash would be searched for among the system's libraries.
        std::error_code error;
        const std::filesystem::path path = std::filesystem::absolute(file, error);
        const std::size_t known = policy_names().size();
        dlerror();
        if (dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) {
            const char* reason = dlerror();
            return absl::InvalidArgumentError(fmt::format(
                "plugin {}: {}", file, reason != nullptr ? reason : "it could not be loaded"));
        }
        if (policy_names().size() == known) {
            return absl::InvalidArgumentError(fmt::format(
                "plugin {}: it registered no policy, or only names that are taken", file));
        }
    }
    return absl::OkStatus();
}

}  // namespace sluice::command
