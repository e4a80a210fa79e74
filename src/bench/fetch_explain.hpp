// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "raw_fabric.hpp"

namespace sluice::bench {

struct explain_options {
    std::string provider = "tcp";
    std::uint64_t pool_bytes = 256 << 20;  ///< on each side
    std::uint32_t repeats = 7;             ///< of each measurement, of which the median counts
    double seconds = 0.1;                  ///< of each
    std::vector<std::string> target_command = raw_fabric_options{}.target_command;
};

/// One way to pack blocks into reads, at several amounts in flight.
struct explain_row {
    std::string packing;        ///< "single", "vectored of 2", ...
    std::vector<double> mb_s;   ///< by amount in flight
    std::vector<double> ratio;  ///< to single blocks with the least in flight
};

/// What the transport knows of a provider, what it made of that, and measurements that show why.
struct explanation {
    std::vector<std::string> limits;   ///< "name: value"
    std::vector<std::string> reasons;  ///< one sentence per choice
    std::uint64_t block_bytes = 0;
    std::vector<std::uint64_t> in_flight;  ///< bytes; the columns of the table
    std::vector<explain_row> rows;
};

/// Packings that the provider does not take are left out. Takes some 15 s.
///
/// \return kUnimplemented: the machine has no such provider; what `raw_fabric` returns.
[[nodiscard]] absl::StatusOr<explanation> explain_fetch(const explain_options& options);

}  // namespace sluice::bench
