// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "history.hpp"

namespace sluice::histories {

struct verdict {
    std::string check;  ///< empty: nothing is wrong
    std::string what;
    std::string dump;              ///< where things stood
    std::uint64_t operations = 0;  ///< at the seams
    pipeline_stats stats;
    bool simulated = false;
    sim::link_stats link = {};  ///< if it was

    [[nodiscard]] bool ok() const noexcept { return check.empty(); }
};

/// Runs a history on virtual time against the production pipeline, to the end.
[[nodiscard]] verdict run(const history& h);

}  // namespace sluice::histories
