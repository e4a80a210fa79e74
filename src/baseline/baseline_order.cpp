// SPDX-License-Identifier: Apache-2.0
// Who is next, where a policy says so, and what it is told.
#include <algorithm>
#include <tuple>

#include "baseline.hpp"

namespace sluice::baselines {

// A policy ranks what lookup has found, so the control loop looks up those that have come.
task<void> baseline::meet_waiting() {
    for (std::size_t i = 0; i < waiting_.size(); ++i) {  // more may come meanwhile
        request& r = *waiting_[i];
        if (!r.looked_up) {
            co_await look_up(r);
            r.view.admitted = true;
        }
    }
}

baseline::request& baseline::take_next() {
    auto best = waiting_.begin();
    if (o_.policy != nullptr) {
        const auto place = [this](const request& r) {
            const rank_value rank = o_.policy->rank(r.view, stage_id::fetch, home_.now());
            return std::tuple(rank.tier, rank.value, r.order);
        };
        auto least = place(**best);
        for (auto it = best + 1; it != waiting_.end(); ++it) {
            if (const auto at = place(**it); at < least) {
                least = at;
                best = it;
            }
        }
    }
    request& r = **best;
    waiting_.erase(best);
    return r;
}

void baseline::predict(request& r) {
    std::uint32_t plan = 0;
    std::uint64_t fetched = 0;
    std::uint64_t copied = 0;
    for (; plan < r.limit; ++plan) {
        const block_entry& e = table_[r.entries[plan]];
        const bool nearer = e.l1 != level::absent || e.l2 != level::absent;
        if (!nearer && r.found[plan] == 0) {
            break;
        }
        fetched += nearer ? 0 : 1;
        copied += e.l1 != level::absent ? 0 : 1;
    }
    const std::uint64_t context = std::uint64_t{plan} * o_.block_tokens;
    r.fetch_shape = {fetched * block_bytes_, fetched, 0, 0};
    r.copy_shape = {copied * block_bytes_, copied * o_.l1->pieces(0), 0, 0};
    r.compute_shape = {0, 0, r.spec.prompt_tokens - context, context};
    const auto seconds = [this](stage_id stage, const demand_shape& shape) {
        return shape.empty() ? 0 : o_.cost->predict(stage, shape);
    };
    r.view.load_tokens = context;
    r.view.predicted = {seconds(stage_id::fetch, r.fetch_shape),
                        seconds(stage_id::copy, r.copy_shape),
                        seconds(stage_id::compute, r.compute_shape)};
    r.view.remaining = r.view.predicted;
    r.outcome.report.predicted = r.view.predicted;
}

// It was served in one piece, so all is known at its end.
void baseline::learn(request& r) {
    r.view.attained = r.outcome.report.attained;
    r.view.remaining = {};
    const auto tell = [&](stage_id stage, const demand_shape& shape, double seconds) {
        // What turned out otherwise than looked up says nothing of the shape.
        if (o_.cost != nullptr && r.plan * std::uint64_t{o_.block_tokens} == r.view.load_tokens &&
            !shape.empty() && seconds > 0) {
            o_.cost->observe(stage, shape, seconds);
        }
        if (o_.policy != nullptr) {
            o_.policy->served(r.view, stage, seconds);
        }
    };
    tell(stage_id::fetch, r.fetch_shape, r.view.attained.fetch);
    tell(stage_id::copy, r.copy_shape, r.view.attained.copy);
    tell(stage_id::compute, r.compute_shape, r.view.attained.compute);
}

}  // namespace sluice::baselines
