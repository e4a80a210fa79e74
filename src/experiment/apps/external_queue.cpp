// SPDX-License-Identifier: Apache-2.0
#include "external_queue.hpp"

#include <tuple>
#include <utility>

namespace sluice::experiment {

external_queue::place::place(external_queue& q) noexcept
    : timer([](timer& t) noexcept {
          auto& self = static_cast<place&>(t);
          self.owner.ended(self);
      }),
      owner(q) {}

external_queue::external_queue(options o, std::function<rank_value(std::uint32_t)> rank,
                               std::function<void(std::uint32_t)> done, loop& on)
    : options_(o), rank_(std::move(rank)), done_(std::move(done)), loop_(on) {}

external_queue::~external_queue() {
    for (const std::unique_ptr<place>& p : places_) {
        loop_.disarm(*p);
    }
}

void external_queue::add(std::uint32_t item, double seconds) {
    waiting_.push_back({item, seconds, loop_.now()});
    fill();
}

void external_queue::fill() {
    while (!waiting_.empty()) {
        if (free_.empty()) {
            if (options_.places != 0 && places_.size() >= options_.places) {
                return;
            }
            places_.push_back(std::make_unique<place>(*this));
            free_.push_back(places_.back().get());
        }
        auto best = waiting_.begin();
        if (!options_.fifo && waiting_.size() > 1) {
            rank_value least = rank_(best->item);
            for (auto it = best + 1; it != waiting_.end(); ++it) {
                const rank_value r = rank_(it->item);
                if (std::tie(r.tier, r.value) < std::tie(least.tier, least.value)) {
                    best = it;
                    least = r;
                }
            }
        }
        const waiter w = *best;
        waiting_.erase(best);
        place& p = *free_.back();
        free_.pop_back();
        p.item = w.item;
        const double seconds = w.seconds + (start_seconds ? start_seconds(w.item) : 0);
        busy_s_ += seconds;
        waited_s_ += to_seconds(loop_.now() - w.since);
        ++items_;
        if (begun) {
            begun(w.item);
        }
        loop_.arm(p, saturating_add(loop_.now(), from_seconds(seconds)));
    }
}

void external_queue::ended(place& p) {
    free_.push_back(&p);
    done_(p.item);
    fill();
}

}  // namespace sluice::experiment
