// SPDX-License-Identifier: Apache-2.0
#include "adapter_gate.hpp"

#include <tuple>
#include <utility>

namespace sluice::experiment {

adapter_gate::loading::loading(adapter_gate& g, std::uint32_t c) noexcept
    : timer([](timer& t) noexcept {
          auto& self = static_cast<loading&>(t);
          adapter_gate& gate = self.owner;
          const auto kept = gate.loading_.extract(self.call);
          gate.pass_(kept.key());
      }),
      owner(g),
      call(c) {}

adapter_gate::adapter_gate(std::uint32_t places, warm_pool& host, warm_pool::rank_of_task rank,
                           std::function<void(std::uint32_t)> pass, loop& on)
    : places_(places), host_(host), rank_(std::move(rank)), pass_(std::move(pass)), loop_(on) {}

adapter_gate::~adapter_gate() {
    for (const auto& [call, t] : loading_) {
        loop_.disarm(*t);
    }
}

void adapter_gate::add(std::uint32_t call, std::uint32_t task, demand::warm_key adapter) {
    waiting_.push_back({call, task, adapter});
    fill();
}

void adapter_gate::ended(demand::warm_key adapter) {
    host_.leave(adapter);
    const auto known = calls_of_.find(adapter);
    if (--known->second == 0) {
        calls_of_.erase(known);
        fill();
    }
}

void adapter_gate::fill() {
    for (;;) {
        auto best = waiting_.end();
        rank_value least{};
        for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
            if (calls_of_.size() >= places_ && !calls_of_.contains(it->adapter)) {
                continue;
            }
            const rank_value r = rank_(it->task);
            if (best == waiting_.end() ||
                std::tie(r.tier, r.value) < std::tie(least.tier, least.value)) {
                best = it;
                least = r;
            }
        }
        if (best == waiting_.end()) {
            return;
        }
        const waiter w = *best;
        waiting_.erase(best);
        ++calls_of_[w.adapter];
        if (const double wait = host_.use(w.adapter); wait > 0) {
            auto& t = loading_[w.call] = std::make_unique<loading>(*this, w.call);
            loop_.arm(*t, saturating_add(loop_.now(), from_seconds(wait)));
        } else {
            pass_(w.call);
        }
    }
}

}  // namespace sluice::experiment
