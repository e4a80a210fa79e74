// SPDX-License-Identifier: Apache-2.0
#include "prefixes.hpp"

#include <algorithm>
#include <vector>

namespace sluice::experiment {
namespace {

demand::warm_key key_of_visit(std::uint32_t task, std::uint32_t visit) {
    return demand::warm_key{task} << 32 | visit;
}

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
    at_.resize(draw.tasks.size());
    defined_.resize(draw.tasks.size());
    tracker_.set_observer(&watcher_);
}

app_prefixes::~app_prefixes() { tracker_.set_observer(nullptr); }

void app_prefixes::ended(std::uint32_t task) {
    for (const demand::warm_key key : defined_[task]) {
        kv_.remove(key);
    }
    defined_[task].clear();
}

// The prefix of the next visit of that unit. The client knows it: it has said it, or it is the
// unit's instructions. Of a conversation no more than the next turn's is known.
demand::warm_target app_prefixes::target_of(const demand::app_state& a,
                                            const demand::unit_facts& unit) {
    if (!unit.llm()) {
        return {};
    }
    const auto task =
        static_cast<std::uint32_t>(static_cast<const app_task*>(a.view.user) - draw_.tasks.data());
    const std::vector<app_visit>& visits = draw_.tasks[task].visits;
    for (std::uint32_t v = at_[task] + 1; v < visits.size(); ++v) {
        if (visits[v].at != app_backend::llm || visits[v].record->unit != unit.name) {
            continue;
        }
        const std::uint32_t call = visits[v].first_call;
        const std::uint32_t known = draw_.known_blocks[call];
        if (known == 0) {
            return {};
        }
        const demand::warm_key key = key_of_visit(task, v);
        std::vector<demand::warm_key>& defined = defined_[task];
        if (std::find(defined.begin(), defined.end(), key) == defined.end()) {
            std::vector<block_key> keys;
            for (std::uint32_t b = 0; b < known; ++b) {
                keys.push_back(key_of(draw_.calls.requests[call].block_ids[b]));
            }
            (void)kv_.define(key, keys);
            defined.push_back(key);
        }
        return {&kv_, key};
    }
    return {};
}

}  // namespace sluice::experiment
