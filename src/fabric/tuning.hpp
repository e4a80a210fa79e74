// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "domain.hpp"

namespace sluice::fabric {

/// How blocks are put into transfers, and why.
struct tuning {
    std::uint32_t segments = 1;         ///< pieces of the node's memory in one transfer
    std::uint32_t buffers = 1;          ///< pieces of ours
    std::uint64_t message_bytes = 0;    ///< of a transfer, unless one block is larger
    std::uint64_t bytes_in_flight = 0;  ///< per node; at least two transfers
    std::vector<std::string> reasons;   ///< one sentence per choice
};

/// \param bytes_in_flight  the user's wish, or 0
[[nodiscard]] tuning tune(const provider_limits& limits, std::uint64_t bytes_in_flight);

}  // namespace sluice::fabric
