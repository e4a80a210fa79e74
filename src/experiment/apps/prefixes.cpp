// SPDX-License-Identifier: Apache-2.0
#include "prefixes.hpp"

#include <vector>

#include <fmt/format.h>

#include "sharing.hpp"

namespace sluice::experiment {
namespace {

// Keys of instructions; those of conversations are tasks.
constexpr demand::warm_key first_instructions = demand::warm_key{1} << 32;

}  // namespace

app_prefixes::app_prefixes(const app_options& options, const app_draw& draw, double block_s,
                           std::uint32_t blocks, pipeline& into, demand::app_tracker& tracker,
                           loop& on)
    : draw_(draw),
      tracker_(tracker),
      kv_(into, on, {.block_s = block_s, .block_hold = 1.0 / blocks}),
      warmer_(on, {.rule = {.confidence = options.prewarm_confidence}}),
      watcher_(warmer_, [this](const demand::app_state& a, const demand::unit_facts& unit) {
          return target_of(a, unit);
      }) {
    talks_.resize(draw.tasks.size());
    for (const app_task& task : draw.tasks) {
        if (!sharing_of(task.run->application).instructed) {
            continue;
        }
        for (const app_visit& v : task.visits) {
            if (v.at != app_backend::llm) {
                continue;
            }
            const load_request& call = draw.calls.requests[v.first_call];
            const auto [it, fresh] = instructions_.try_emplace(
                fmt::format("{}/{}", task.run->application, v.record->unit));
            if (fresh && call.cached_blocks > 0) {
                it->second = first_instructions + instructions_.size();
                define(it->second, std::span(call.block_ids).first(call.cached_blocks));
            }
        }
    }
    tracker_.set_observer(&watcher_);
}

app_prefixes::~app_prefixes() { tracker_.set_observer(nullptr); }

void app_prefixes::define(demand::warm_key key, std::span<const std::uint64_t> ids) {
    std::vector<block_key> keys;
    for (const std::uint64_t id : ids) {
        keys.push_back(key_of(id));
    }
    if (!keys.empty()) {
        (void)kv_.define(key, keys);
    }
}

void app_prefixes::said(std::uint32_t call) {
    const std::uint32_t task = draw_.owner[call];
    if (sharing_of(draw_.tasks[task].run->application).conversation) {
        talks_[task] = true;
        define(task, draw_.calls.requests[call].block_ids);
    }
}

void app_prefixes::ended(std::uint32_t task) {
    if (talks_[task]) {
        kv_.remove(task);
    }
}

demand::warm_target app_prefixes::target_of(const demand::app_state& a,
                                            const demand::unit_facts& unit) {
    if (!unit.llm()) {
        return {};
    }
    const auto task =
        static_cast<std::uint32_t>(static_cast<const app_task*>(a.view.user) - draw_.tasks.data());
    if (talks_[task]) {
        return {&kv_, task};
    }
    const auto it = instructions_.find(fmt::format("{}/{}", a.view.application, unit.name));
    return it != instructions_.end() && it->second != 0 ? demand::warm_target{&kv_, it->second}
                                                        : demand::warm_target{};
}

}  // namespace sluice::experiment
