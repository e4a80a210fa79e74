// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/demand/run_record.hpp>

#include "mix.hpp"

namespace sluice::experiment {

/// Recorded runs of the applications of a mix, after what the published evaluation does with them:
/// of code_feedback the runs of several turns, of got_docmerge the first 50 documents with 0.8
/// times their tokens; a second of docker in factool_code.
struct app_corpus {
    std::map<std::string, std::vector<demand::run_record>, std::less<>> runs;

    /// Reads FOLDER/APPLICATION.jsonl for each application of the mix.
    /// \return as `demand::read_runs`; kInvalidArgument: an application with fewer than two runs
    [[nodiscard]] static absl::StatusOr<app_corpus> read(const std::string& folder,
                                                         const app_mix& mix);
};

/// Two halves of an application's runs, at random by the seed: models learn from one, and only the
/// other is served.
struct split_runs {
    std::vector<demand::run_record> learned;
    std::vector<const demand::run_record*> served;
};
[[nodiscard]] split_runs split_halves(const std::vector<demand::run_record>& runs,
                                      std::uint64_t seed);

}  // namespace sluice::experiment
