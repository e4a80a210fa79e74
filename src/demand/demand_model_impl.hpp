// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include <sluice/demand/demand_model.hpp>

#include "remainders.hpp"
#include "run_window.hpp"
#include "unit_graph.hpp"
#include "window_samples.hpp"

namespace sluice::demand {

[[nodiscard]] absl::Status check_options(const demand_options& options);

class demand_model::impl {
 public:
    impl(std::string application, const demand_options& options);

    void add(std::span<const unit_visit> visits);

    std::string application;
    std::vector<unit_facts> units;
    std::map<std::string, unit_id, std::less<>> unit_names;
    detail::run_window runs;
    detail::window_samples service;
    detail::window_samples path;
    detail::remainders left;
    detail::unit_graph graph;
};

}  // namespace sluice::demand
