// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <memory>
#include <string_view>

#include "../experiment/run_options.hpp"

namespace CLI {
class App;
}

namespace sluice::command {

/// Adds a flag for each option of a run.
///
/// \param options  what the flags set; kept alive by them
/// \param without  options that get no flag
void add_run_flags(CLI::App& sub, std::shared_ptr<experiment::run_options> options,
                   std::initializer_list<std::string_view> without = {});

}  // namespace sluice::command
