// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sluice::experiment {

/// What an experiment with applications consists of.
struct app_options {
    std::string runs;  ///< folder of run records
    std::string mix = "end_to_end";
    std::string engine = "a100-llama2-7b";  ///< a profile that names its model
    std::string policy = "gittins";
    double intensity = 1;                ///< divides the window
    std::optional<std::uint32_t> tasks;  ///< in place of the mix's
    std::optional<double> window_s;      ///< the same, at intensity 1
    std::optional<bool> deadlines;       ///< for all applications or for none
    std::uint32_t splits = 5;
    std::uint64_t split_seed = 1;  ///< of the first split; the others follow
    bool external_fifo = false;    ///< external backends serve by arrival, whatever the policy
    bool learn = true;             ///< models learn from applications as they end
};

}  // namespace sluice::experiment
