// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <sluice/demand/app_prewarmer.hpp>
#include <sluice/demand/app_tracker.hpp>
#include <sluice/demand/prewarmer.hpp>

#include "adapter_gate.hpp"
#include "draw.hpp"
#include "options.hpp"
#include "warm_pool.hpp"

namespace sluice::experiment {

/// What is slow to start.
enum class cold_kind : std::uint8_t { docker, dnn, lora };
inline constexpr std::size_t cold_kinds = 3;
[[nodiscard]] std::string_view to_string(cold_kind k) noexcept;

void add_to(demand::prewarmer_stats& sum, const demand::prewarmer_stats& more) noexcept;

struct cold_start_result {
    std::array<cold_start_counts, cold_kinds> of{};
    demand::prewarmer_stats prewarmer;

    [[nodiscard]] cold_start_counts all() const noexcept;
    void add(const cold_start_result& other) noexcept;
};

/// What applications need to have started before their units can begin: a container for code, a
/// worker with models in its GPU, an adapter for their calls. Each costs its start time when it is
/// used and not warm.
///
/// A container or a worker belongs to one application, and is gone when that ends; an adapter
/// belongs to whoever drew it. What is warm stays until others need its room. `app_prewarm` says
/// what is started ahead: nothing; what a visit in a queue waits with; or also what the
/// prewarmer, fed by the tracker, expects to be needed.
///
/// \par Thread safety
/// On the loop only.
class cold_starts {
 public:
    /// What containers of 20 cores, workers of 15 GPUs and adapters of 5 places are held in.
    struct sizes {
        std::uint32_t containers = 20;
        std::uint32_t workers = 15;
        std::uint32_t adapter_places = 5;
        std::uint32_t host_adapters = 20;
        std::uint32_t adapters = 0;  ///< to draw from; 0: calls need none
    };
    /// Seconds to start; 6.5 of the published evaluation.
    static constexpr std::array<double, cold_kinds> start_s{2.1, 7.0, 0.3};

    /// \param draw, tracker, on  outlive it
    /// \param rank  of a task; smaller goes first
    /// \param pass  takes a call whose adapter is there
    /// \param confidence  K of the prewarmer
    cold_starts(app_prewarm mode, const sizes& size, const app_draw& draw, std::uint64_t seed,
                demand::app_tracker& tracker, const warm_pool::rank_of_task& rank,
                std::function<void(std::uint32_t call)> pass, double confidence, loop& on);
    ~cold_starts();
    cold_starts(const cold_starts&) = delete;
    cold_starts& operator=(const cold_starts&) = delete;

    /// \name What the server does
    ///@{
    void application_begins(std::uint32_t task);
    void visit_begins(std::uint32_t task, const app_visit& v);
    void visit_ends(std::uint32_t task, const app_visit& v);
    void application_ends(std::uint32_t task);
    /// Its place is there. \return seconds until it can begin
    [[nodiscard]] double external_begins(std::uint32_t task, app_backend at);
    void external_ends(std::uint32_t task, app_backend at);
    /// It waits for its adapter, or is passed at once.
    void call_comes(std::uint32_t call);
    void call_ended(std::uint32_t call);
    ///@}

    [[nodiscard]] cold_start_result result() const;

 private:
    [[nodiscard]] demand::warm_target target_of(std::uint32_t task, std::string_view backend);
    [[nodiscard]] warm_pool& pool(cold_kind k) noexcept {
        return *pools_[static_cast<std::size_t>(k)];
    }

    const app_prewarm mode_;
    const app_draw& draw_;
    demand::app_tracker& tracker_;
    const std::function<void(std::uint32_t)> pass_;
    std::vector<demand::warm_key> adapter_of_;  // by task; empty: none is needed
    std::array<std::unique_ptr<warm_pool>, cold_kinds> pools_;
    std::unique_ptr<adapter_gate> gate_;  // null: no adapters
    std::unique_ptr<demand::prewarmer> warmer_;
    std::unique_ptr<demand::app_prewarmer> watcher_;
};

}  // namespace sluice::experiment
