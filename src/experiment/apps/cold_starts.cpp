// SPDX-License-Identifier: Apache-2.0
#include "cold_starts.hpp"

#include <optional>
#include <utility>

#include "../../workload/random.hpp"

namespace sluice::experiment {
namespace {

constexpr std::uint64_t adapter_stream = 49;

constexpr std::size_t index_of(cold_kind k) noexcept { return static_cast<std::size_t>(k); }

std::optional<cold_kind> kind_of(app_backend at) noexcept {
    switch (at) {
    case app_backend::llm: return cold_kind::lora;
    case app_backend::docker: return cold_kind::docker;
    case app_backend::dnn: return cold_kind::dnn;
    default: return std::nullopt;
    }
}

}  // namespace

std::string_view to_string(cold_kind k) noexcept {
    constexpr std::array<std::string_view, cold_kinds> names{"docker", "dnn", "lora"};
    return names[index_of(k)];
}

void add_to(demand::prewarmer_stats& sum, const demand::prewarmer_stats& more) noexcept {
    sum.started += more.started;
    sum.failed += more.failed;
    sum.cooled += more.cooled;
    sum.found_warm += more.found_warm;
    sum.found_warming += more.found_warming;
    sum.found_cold += more.found_cold;
    sum.withdrawn += more.withdrawn;
    sum.saved_s += more.saved_s;
    sum.wasted_s += more.wasted_s;
}

cold_start_counts cold_start_result::all() const noexcept {
    cold_start_counts out;
    for (const cold_start_counts& c : of) {
        out.add(c);
    }
    return out;
}

void cold_start_result::add(const cold_start_result& other) noexcept {
    for (std::size_t k = 0; k < cold_kinds; ++k) {
        of[k].add(other.of[k]);
    }
    add_to(prewarmer, other.prewarmer);
}

cold_starts::cold_starts(app_prewarm mode, const sizes& size, const app_draw& draw,
                         std::uint64_t seed, demand::app_tracker& tracker,
                         const warm_pool::rank_of_task& rank,
                         std::function<void(std::uint32_t)> pass, double confidence, loop& on)
    : mode_(mode), draw_(draw), tracker_(tracker), pass_(std::move(pass)) {
    const std::array<std::uint32_t, cold_kinds> slots{size.containers, size.workers,
                                                      size.host_adapters};
    for (std::size_t k = 0; k < cold_kinds; ++k) {
        pools_[k] = std::make_unique<warm_pool>(
            warm_pool::options{start_s[k], slots[k], k == index_of(cold_kind::lora)}, rank, on);
    }
    if (size.adapters > 0) {
        for (std::size_t task = 0; task < draw.tasks.size(); ++task) {
            adapter_of_.push_back(workload::draw(seed, adapter_stream, task) % size.adapters);
        }
        gate_ = std::make_unique<adapter_gate>(size.adapter_places, pool(cold_kind::lora), rank,
                                               pass_, on);
    }
    if (mode == app_prewarm::hermes) {
        demand::prewarmer_options o;
        o.rule.confidence = confidence;
        warmer_ = std::make_unique<demand::prewarmer>(on, o);
        watcher_ = std::make_unique<demand::app_prewarmer>(
            *warmer_, [this](const demand::app_state& a, const demand::unit_facts& unit) {
                const auto* const task = static_cast<const app_task*>(a.view.user);
                return target_of(static_cast<std::uint32_t>(task - draw_.tasks.data()),
                                 unit.backend);
            });
        tracker.set_observer(watcher_.get());
    }
}

cold_starts::~cold_starts() {
    if (watcher_ != nullptr) {
        tracker_.set_observer(nullptr);
    }
}

demand::warm_target cold_starts::target_of(std::uint32_t task, std::string_view backend) {
    if (backend == to_string(app_backend::llm)) {
        return gate_ == nullptr ? demand::warm_target{}
                                : demand::warm_target{&pool(cold_kind::lora), adapter_of_[task]};
    }
    for (const cold_kind k : {cold_kind::docker, cold_kind::dnn}) {
        if (backend == to_string(k)) {
            return {&pool(k), task};
        }
    }
    return {};
}

void cold_starts::visit_begins(std::uint32_t task, const app_visit& v) {
    const demand::warm_target target = target_of(task, to_string(v.at));
    // A call is in the engine's queue only when its client has sent it, but what follows
    // applications knows before.
    const bool seen =
        v.at == app_backend::llm ? mode_ == app_prewarm::hermes : mode_ != app_prewarm::none;
    if (target.what != nullptr && seen) {
        pool(*kind_of(v.at)).claim(target.key, task);
    }
}

void cold_starts::visit_ends(std::uint32_t task, const app_visit& v) {
    const demand::warm_target target = target_of(task, to_string(v.at));
    if (target.what != nullptr) {
        pool(*kind_of(v.at)).unclaim(target.key, task);
    }
}

void cold_starts::application_begins(std::uint32_t task) {
    pool(cold_kind::docker).join(task, task);
    pool(cold_kind::dnn).join(task, task);
    if (gate_ != nullptr) {
        pool(cold_kind::lora).join(adapter_of_[task], task);
    }
}

void cold_starts::application_ends(std::uint32_t task) {
    if (gate_ != nullptr) {
        pool(cold_kind::lora).part(adapter_of_[task], task);
    }
    pool(cold_kind::docker).forget(task);
    pool(cold_kind::dnn).forget(task);
}

double cold_starts::external_begins(std::uint32_t task, app_backend at) {
    const auto kind = kind_of(at);
    return kind ? pool(*kind).use(task) : 0;
}

void cold_starts::external_ends(std::uint32_t task, app_backend at) {
    if (const auto kind = kind_of(at)) {
        pool(*kind).leave(task);
    }
}

void cold_starts::call_comes(std::uint32_t call) {
    if (gate_ == nullptr) {
        pass_(call);
        return;
    }
    const std::uint32_t task = draw_.owner[call];
    if (mode_ != app_prewarm::none) {
        pool(cold_kind::lora).claim(adapter_of_[task], task);
    }
    gate_->add(call, task, adapter_of_[task]);
}

void cold_starts::call_ended(std::uint32_t call) {
    if (gate_ != nullptr) {
        gate_->ended(adapter_of_[draw_.owner[call]]);
    }
}

cold_start_result cold_starts::result() const {
    cold_start_result out;
    for (std::size_t k = 0; k < cold_kinds; ++k) {
        out.of[k] = pools_[k]->counts();
    }
    if (warmer_ != nullptr) {
        out.prewarmer = warmer_->stats();
    }
    return out;
}

}  // namespace sluice::experiment
