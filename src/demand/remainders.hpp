// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <sluice/demand/demand_model.hpp>

#include "run_window.hpp"

namespace sluice::demand::detail {

/// What is left of a run that has been observed in part, by the runs of a window.
class remainders {
 public:
    void condition(const run_window& runs, const sample_set& whole_service,
                   const sample_set& whole_path, const observation& seen, remaining_demand& out);
    void runs_ahead(const run_window& runs, const observation& seen, std::vector<run_ahead>& out);

 private:
    std::vector<double> service_;
    std::vector<double> path_;
};

}  // namespace sluice::demand::detail
