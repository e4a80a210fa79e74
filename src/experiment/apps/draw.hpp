// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/demand/unit_visit.hpp>

#include "../load.hpp"
#include "corpus.hpp"
#include "mix.hpp"

namespace sluice::experiment {

/// Where a unit of an application is served.
enum class app_backend : std::uint8_t { llm, docker, dnn, search, wait };
inline constexpr std::size_t app_backends = 5;
[[nodiscard]] std::string_view to_string(app_backend b) noexcept;

/// One visit of a unit.
struct app_visit {
    const demand::unit_record* record = nullptr;
    app_backend at = app_backend::wait;
    std::uint32_t first_call = 0;  ///< of `app_draw::calls`; `record->calls` of them, of llm
    double seconds = 0;            ///< of everything else
};

/// An application that comes.
struct app_task {
    const demand::run_record* run = nullptr;
    double arrival_s = 0;
    double deadline_multiple = 0;  ///< 1.2, 1.5 or 2; 0: it has no deadline
    double ideal_s = 0;            ///< of its deadline: multiple x ideal after arrival
    double service_s = 0;          ///< of all calls, as trackers reckon
    double path_s = 0;             ///< the same of the longest path
    std::vector<app_visit> visits;
};

/// What is asked of an engine and the external backends in one run.
struct app_draw {
    load calls;                        ///< all calls to the LLM; arrivals are not known before
    std::vector<std::uint32_t> owner;  ///< by call: its task
    std::vector<double> gap_s;         ///< by call: what the client waits before it
    /// By call: leading blocks of which there has been KV before, as the client knows.
    std::vector<std::uint32_t> known_blocks;
    std::vector<app_task> tasks;  ///< by arrival
};

/// Seconds that deadlines allow for, by token; 5.3 of the published evaluation.
struct ideal_rates {
    double prefill_s = 0;
    double decode_s = 0;
};

struct draw_options {
    std::uint64_t seed = 1;
    double intensity = 1;
    std::uint32_t tasks = 0;
    double window_s = 0;
    double deadline_share = 0;
    std::uint32_t block_tokens = 32;
    /// Each visit comes to an engine that has not seen its prefixes: L3 alone has them.
    bool far = false;
    ideal_rates ideal;
    demand::service_rates rates;  ///< of what trackers reckon
};

/// Draws applications by the weights of a mix, each a run of the served half, with Poisson
/// arrivals. What is drawn does not depend on intensity, engine or policy.
///
/// \param served  by the place of a share in the mix; not empty; outlive the draw
[[nodiscard]] app_draw draw_apps(const app_mix& mix,
                                 const std::vector<std::vector<const demand::run_record*>>& served,
                                 const draw_options& options);

}  // namespace sluice::experiment
