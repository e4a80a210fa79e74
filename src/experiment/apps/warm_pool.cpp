// SPDX-License-Identifier: Apache-2.0
#include "warm_pool.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace sluice::experiment {
namespace {

bool before(const rank_value& a, const rank_value& b) {
    return std::tie(a.tier, a.value) < std::tie(b.tier, b.value);
}

}  // namespace

void cold_start_counts::add(const cold_start_counts& other) noexcept {
    uses += other.uses;
    warm += other.warm;
    waited_s += other.waited_s;
    wasted_s += other.wasted_s;
}

warm_pool::item::item(warm_pool& p, demand::warm_key k) noexcept
    : timer([](timer& t) noexcept {
          auto& self = static_cast<item&>(t);
          self.is = state::warm;
          std::exchange(self.done, {})(absl::OkStatus());
      }),
      owner(p),
      key(k) {}

warm_pool::warm_pool(options o, rank_of_task rank, loop& on)
    : options_(o), rank_(std::move(rank)), loop_(on) {}

warm_pool::~warm_pool() {
    for (const auto& [key, i] : items_) {
        loop_.disarm(*i);
    }
}

warm_pool::item& warm_pool::at(demand::warm_key key) {
    std::unique_ptr<item>& slot = items_[key];
    if (slot == nullptr) {
        slot = std::make_unique<item>(*this, key);
    }
    return *slot;
}

void warm_pool::claim(demand::warm_key key, std::uint32_t task) {
    item& i = at(key);
    if (std::find(i.claims.begin(), i.claims.end(), task) == i.claims.end()) {
        i.claims.push_back(task);
        fill();
    }
}

void warm_pool::unclaim(demand::warm_key key, std::uint32_t task) {
    const auto known = items_.find(key);
    if (known != items_.end() && std::erase(known->second->claims, task) > 0) {
        tidy(*known->second);
        fill();
    }
}

double warm_pool::use(demand::warm_key key) {
    item& i = at(key);
    const time_point now = loop_.now();
    const bool was_warm = i.is == state::warm;
    if (i.is == state::absent) {
        (void)make_room(asks::user, {});
        start(i, false);
    }
    if (i.unpaid) {
        i.unpaid = false;
        counts_.wasted_s += std::max(0.0, to_seconds(now - i.ready));
    }
    const double wait = i.is == state::warm ? 0 : to_seconds(i.ready - now);
    if (i.users++ == 0) {
        ++counts_.uses;
        counts_.warm += was_warm ? 1 : 0;
        counts_.waited_s += wait;
    }
    i.order = ++order_;
    return wait;
}

void warm_pool::leave(demand::warm_key key) {
    item& i = at(key);
    --i.users;
    i.order = ++order_;
    fill();
}

void warm_pool::forget(demand::warm_key key) {
    const auto known = items_.find(key);
    if (known == items_.end()) {
        return;
    }
    item& i = *known->second;
    i.claims.clear();
    i.prewarmed = false;
    if (i.is != state::absent) {
        give_up(i);
    }
    items_.erase(known);
    fill();
}

void warm_pool::start(item& i, bool ahead) {
    i.is = state::starting;
    i.unpaid = ahead;
    i.since = loop_.now();
    i.ready = saturating_add(i.since, from_seconds(options_.start_s));
    i.order = ++order_;
    ++held_;
    loop_.arm(i, i.ready);
}

void warm_pool::give_up(item& i) {
    settle(i);
    loop_.disarm(i);
    i.is = state::absent;
    i.prewarmed = false;
    --held_;
    std::exchange(i.done, {})(absl::ResourceExhaustedError("others need the room"));
}

// Nobody has used it until now, and if somebody does that is chance.
void warm_pool::settle(item& i) {
    if (i.unpaid) {
        i.unpaid = false;
        counts_.wasted_s += to_seconds(loop_.now() - i.since);
    }
}

// After somebody does not want it any more.
void warm_pool::tidy(item& i) {
    if (i.users > 0 || i.prewarmed || !i.claims.empty()) {
        return;
    }
    settle(i);
    if (i.is == state::starting) {
        give_up(i);
    }
    if (i.is == state::absent) {
        items_.erase(i.key);
    }
}

rank_value warm_pool::rank_of(const item& i) const {
    rank_value best = rank_(i.claims.front());
    for (const std::uint32_t task : i.claims) {
        const rank_value r = rank_(task);
        best = before(r, best) ? r : best;
    }
    return best;
}

bool warm_pool::make_room(asks who, const rank_value& rank) {
    if (held_ < options_.slots) {
        return true;
    }
    item* idle = nullptr;    // wanted by nobody
    item* guess = nullptr;   // by the prewarmer
    item* behind = nullptr;  // by visits that wait
    rank_value worst{};
    for (const auto& [key, one] : items_) {
        item& i = *one;
        if (i.is == state::absent || i.users > 0) {
            continue;
        }
        if (!i.claims.empty()) {
            const rank_value r = who == asks::prewarmer ? rank_value{} : rank_of(i);
            if (behind == nullptr || before(worst, r)) {
                behind = &i;
                worst = r;
            }
            continue;
        }
        item*& longest = i.prewarmed ? guess : idle;
        if (longest == nullptr || i.order < longest->order) {
            longest = &i;
        }
    }
    item* victim = idle;
    if (victim == nullptr && who != asks::prewarmer) {
        victim = guess;
        if (victim == nullptr && behind != nullptr && (who == asks::user || before(rank, worst))) {
            victim = behind;
        }
    }
    if (victim == nullptr) {
        return who == asks::user;
    }
    give_up(*victim);
    if (victim->claims.empty()) {
        items_.erase(victim->key);
    }
    return true;
}

// Starts what visits wait for, the first in rank first.
void warm_pool::fill() {
    for (;;) {
        item* best = nullptr;
        rank_value rank{};
        for (const auto& [key, one] : items_) {
            if (one->is != state::absent || one->claims.empty()) {
                continue;
            }
            const rank_value r = rank_of(*one);
            if (best == nullptr || before(r, rank)) {
                best = one.get();
                rank = r;
            }
        }
        if (best == nullptr || !make_room(asks::visit, rank)) {
            return;
        }
        start(*best, true);
    }
}

demand::warm_cost warm_pool::cost(demand::warm_key) noexcept {
    double hold = 1;
    if (options_.priced_by_share) {
        const auto wanted = std::count_if(items_.begin(), items_.end(), [](const auto& entry) {
            const item& i = *entry.second;
            return i.users > 0 || i.prewarmed || !i.claims.empty();
        });
        hold = std::min(1.0, static_cast<double>(wanted) / options_.slots);
    }
    return {.seconds = options_.start_s, .saving = options_.start_s, .hold = hold};
}

void warm_pool::warm(demand::warm_key key, demand::warm_done done) noexcept {
    item& i = at(key);
    if (i.is == state::absent) {
        if (!make_room(asks::prewarmer, {})) {
            tidy(i);
            done(absl::ResourceExhaustedError("all of it is wanted"));
            return;
        }
        start(i, true);
    }
    i.prewarmed = true;
    if (i.is == state::warm) {
        done(absl::OkStatus());
    } else {
        i.done = std::move(done);
    }
}

void warm_pool::cool(demand::warm_key key) noexcept {
    const auto known = items_.find(key);
    if (known == items_.end()) {
        return;
    }
    known->second->prewarmed = false;
    known->second->done = {};
    tidy(*known->second);
    fill();
}

// Its user has it; what the prewarmer keeps for others it may well lose.
void warm_pool::used(demand::warm_key key) noexcept {
    if (const auto known = items_.find(key); known != items_.end()) {
        known->second->prewarmed = false;
        known->second->done = {};
    }
}

}  // namespace sluice::experiment
