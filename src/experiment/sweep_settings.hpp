// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <absl/status/status.h>

#include "../json/located.hpp"
#include "run.hpp"
#include "sweep.hpp"

namespace sluice::experiment {

/// A run in the making, and what has been set in it. Runs with equal settings are one.
struct sweep_draft {
    sweep_run run;
    std::map<std::string, std::string> settings;
};

/// The name of what a key sets: the ways to give a load are one.
[[nodiscard]] std::string_view setting_of(std::string_view key) noexcept;

/// Sets what sweep files may set, and finds what is wrong with a value before anything runs.
class sweep_settings {
 public:
    /// \param folder  where files that a sweep names are looked for first
    explicit sweep_settings(std::filesystem::path folder) : folder_(std::move(folder)) {}

    /// \return kInvalidArgument, with file, line and key
    [[nodiscard]] absl::Status set(sweep_draft& draft, const json::member& setting);
    [[nodiscard]] absl::Status set(sweep_draft& draft, std::string_view key,
                                   const json::value& value);

    /// Whether the settings of a run fit one another, and what it names can be read.
    [[nodiscard]] absl::Status check(const sweep_run& run);

    /// A value as text; empty for what is no string, number or flag.
    [[nodiscard]] static std::string text_of(const json::value& value);

 private:
    [[nodiscard]] std::string beside(std::string_view key, std::string name) const;
    [[nodiscard]] absl::Status check_load(const run_options& o);

    std::filesystem::path folder_;
    shared_facts shared_;
    std::set<std::string> checked_;  // loads
};

}  // namespace sluice::experiment
