// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include <sluice/demand/demand_model.hpp>

namespace sluice::command {

/// Some figures of a set of samples, in seconds.
struct sample_figures {
    double mean = 0, p50 = 0, p95 = 0, max = 0, gittins = 0, gittins_artifact = 0;
};

struct unit_figures {
    std::string unit;
    std::string backend;
    double visits = 0;  ///< per run
    double calls = 0;   ///< per visit
    double prompt_tokens = 0;
    double completion_tokens = 0;  ///< as prompt_tokens: per call
    double duration_s = 0;
    std::string next;  ///< "a 0.86, end 0.14": after the first visit
};

/// What is known of the remainder at a place of the commonest way.
struct place_figures {
    std::string seen;  ///< "a, b begun"
    std::size_t runs = 0;
    double mean_s = 0;
    double explained = 0;  ///< R2 of leaving one out
};

/// What a model says.
struct demand_report {
    std::string application;
    std::size_t runs = 0;
    sample_figures service;
    sample_figures path;
    std::vector<unit_figures> units;
    std::vector<place_figures> places;
};

[[nodiscard]] demand_report report_of(const demand::demand_model& model);
[[nodiscard]] std::string demand_text(std::span<const demand_report> reports);
[[nodiscard]] std::string demand_json(std::span<const demand_report> reports);

}  // namespace sluice::command
