// SPDX-License-Identifier: Apache-2.0
#include "warm_pool.hpp"

#include <algorithm>
#include <optional>
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

void warm_pool::join(demand::warm_key key, std::uint32_t task) { at(key).tasks.push_back(task); }

void warm_pool::part(demand::warm_key key, std::uint32_t task) {
    if (const auto known = items_.find(key); known != items_.end()) {
        item& i = *known->second;
        std::erase(i.tasks, task);
        if (i.tasks.empty()) {
            i.prewarmed = false;
        }
        tidy(i);
        fill();
    }
}

void warm_pool::claim(demand::warm_key key, std::uint32_t task) {
    item& i = at(key);
    came(i);
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
        (void)make_room(std::nullopt);
        start(i);
    }
    came(i);
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

void warm_pool::start(item& i) {
    i.is = state::starting;
    i.since = loop_.now();
    i.ready = saturating_add(i.since, from_seconds(options_.start_s));
    i.order = ++order_;
    ++held_;
    loop_.arm(i, i.ready);
}

void warm_pool::give_up(item& i) {
    wrong(i);
    loop_.disarm(i);
    i.is = state::absent;
    i.prewarmed = false;
    --held_;
    std::exchange(i.done, {})(absl::ResourceExhaustedError("others need the room"));
}

// Nobody has come for it.
void warm_pool::wrong(item& i) {
    if (i.guessed) {
        i.guessed = false;
        counts_.wasted_s += to_seconds(loop_.now() - i.since);
    }
}

// A guess was right, or too early.
void warm_pool::came(item& i) {
    if (i.guessed) {
        i.guessed = false;
        counts_.wasted_s += std::max(0.0, to_seconds(loop_.now() - i.ready));
    }
}

// After somebody does not want it any more.
void warm_pool::tidy(item& i) {
    if (i.users > 0 || i.prewarmed || !i.claims.empty()) {
        return;
    }
    wrong(i);
    if (i.is == state::starting) {
        give_up(i);
    }
    if (i.is == state::absent && i.tasks.empty()) {
        items_.erase(i.key);
    }
}

// Of the first of those that it is wanted for.
rank_value warm_pool::rank_of(const item& i) const {
    const std::vector<std::uint32_t>& tasks = i.claims.empty() ? i.tasks : i.claims;
    std::optional<rank_value> best;
    for (const std::uint32_t task : tasks) {
        const rank_value r = rank_(task);
        best = !best || before(r, *best) ? r : *best;
    }
    return best.value_or(rank_value{});
}

// For somebody of that rank; nobody's: for a user, who gets it anyway.
bool warm_pool::make_room(const std::optional<rank_value>& rank) {
    if (held_ < options_.slots) {
        return true;
    }
    item* idle = nullptr;  // wanted by nobody
    item* last = nullptr;  // of those that are wanted
    rank_value worst{};
    for (const auto& [key, one] : items_) {
        item& i = *one;
        if (i.is == state::absent || i.users > 0) {
            continue;
        }
        if (i.claims.empty() && !i.prewarmed) {
            idle = idle == nullptr || i.order < idle->order ? &i : idle;
            continue;
        }
        const rank_value r = rank_of(i);
        if (last == nullptr || before(worst, r)) {
            last = &i;
            worst = r;
        }
    }
    item* const victim =
        idle != nullptr || (rank && last != nullptr && !before(*rank, worst)) ? idle : last;
    if (victim == nullptr) {
        return !rank;
    }
    give_up(*victim);
    tidy(*victim);
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
        if (best == nullptr || !make_room(rank)) {
            return;
        }
        start(*best);
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
        if (!make_room(rank_of(i))) {
            tidy(i);
            done(absl::ResourceExhaustedError("all of it is wanted"));
            return;
        }
        start(i);
        i.guessed = true;
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
