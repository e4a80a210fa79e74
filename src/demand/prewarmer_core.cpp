// SPDX-License-Identifier: Apache-2.0
#include "prewarmer_core.hpp"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

namespace sluice::demand {
namespace {

// Instants are whole nanoseconds, forecasts are not. A start this near is now, ...
constexpr double at_once = 1e-6;

// ... and a window is closed when it has surely passed, else the same one would open again.
time_point past(time_point base, double seconds) noexcept {
    return saturating_add(base, from_seconds(seconds * (1 + 1e-12) + at_once));
}

}  // namespace

prewarmer::core::core(loop& on, const prewarmer_options& options)
    : loop_(on), options_(options), inbox_(std::make_shared<detail::warm_inbox>(on, *this)) {
    if (!options_.rule.valid()) {
        options_.rule = {};
    }
}

prewarmer::core::~core() {
    inbox_->close();
    for (const auto& n : needs_) {
        loop_.disarm(*n);
    }
    for (const auto& [attempt, held] : attempts_) {
        held->id.what->cool(held->id.key);
    }
}

prewarmer::core::need::need(core& c) noexcept : timer(&core::fire), owner(c) {}

std::size_t prewarmer::core::name_hash::operator()(const name& n) const noexcept {
    return std::hash<const void*>{}(n.what) ^
           (std::hash<std::uint64_t>{}(n.key) * 0x9e3779b97f4a7c15U);
}

absl::StatusOr<need_handle> prewarmer::core::expect(warmable& what, warm_key key,
                                                    const need_forecast& forecast) {
    if (live_ >= options_.max_needs) {
        return absl::ResourceExhaustedError(
            "prewarmer: " + std::to_string(live_) +
            " needs are expected, which is max_needs; withdraw some or raise it");
    }
    if (free_.empty()) {
        free_.push_back(static_cast<std::uint32_t>(needs_.size()));
        needs_.push_back(std::make_unique<need>(*this));
        needs_.back()->index = free_.back();
    }
    need& n = *needs_[free_.back()];
    free_.pop_back();
    ++live_;
    n.epoch = n.epoch == UINT32_MAX ? 1 : n.epoch + 1;
    std::unique_ptr<item>& slot = items_[{&what, key}];
    if (slot == nullptr) {
        slot = std::make_unique<item>();
        slot->id = {&what, key};
    }
    n.of = slot.get();
    n.of->needs.push_back(&n);
    n.holding = false;
    n.base = loop_.now();
    n.forecast = forecast;
    plan(n);
    return need_handle{n.index, n.epoch};
}

absl::Status prewarmer::core::update(need_handle handle, const need_forecast& forecast) {
    need* const n = find(handle);
    if (n == nullptr) {
        return absl::NotFoundError(
            "prewarmer: no such need; it has come or was withdrawn, so expect it anew");
    }
    n->base = loop_.now();
    n->forecast = forecast;
    plan(*n);
    return absl::OkStatus();
}

warm_state prewarmer::core::arrived(need_handle handle) {
    need* const n = find(handle);
    if (n == nullptr) {
        return warm_state::cold;
    }
    item& i = *n->of;
    const time_point now = loop_.now();
    const warm_state found = i.state;
    const bool stays = found != warm_state::cold && i.id.what->shared();
    if (found == warm_state::warm) {
        ++stats_.found_warm;
        stats_.saved_s += i.cost.saving;
        stats_.wasted_s += i.cost.hold * to_seconds(now - std::max(i.waste_from, i.warm_at));
    } else if (found == warm_state::warming) {
        ++stats_.found_warming;
        const double done = to_seconds(now - i.since);
        stats_.saved_s += i.cost.saving * (done < i.cost.seconds ? done / i.cost.seconds : 1);
    } else {
        ++stats_.found_cold;
    }
    i.waste_from = now;
    i.redeemed = true;
    i.id.what->used(i.id.key);
    close_window(*n);
    remove(*n);
    if (stays && (i.holders > 0 || somebody_keeps(i))) {
        return found;
    }
    // It is its user's now, so nobody cools it; who else holds it needs another one.
    forget(i);
    return found;
}

void prewarmer::core::withdraw(need_handle handle) {
    need* const n = find(handle);
    if (n == nullptr) {
        return;
    }
    ++stats_.withdrawn;
    item& i = *n->of;
    close_window(*n);
    remove(*n);
    let_go(i);
}

void prewarmer::core::refresh() {
    for (std::size_t k = 0; k < needs_.size(); ++k) {
        if (needs_[k]->of != nullptr && !needs_[k]->holding) {
            plan(*needs_[k]);
        }
    }
}

warm_state prewarmer::core::state(need_handle handle) const noexcept {
    const need* const n = find(handle);
    return n == nullptr ? warm_state::cold : n->of->state;
}

time_point prewarmer::core::next_at(need_handle handle) const noexcept {
    const need* const n = find(handle);
    return n == nullptr || !n->armed() ? never : n->due();
}

void prewarmer::core::warmed(std::uint64_t attempt, const absl::Status& status) noexcept {
    const auto held = attempts_.find(attempt);
    if (held == attempts_.end() || held->second->state != warm_state::warming) {
        return;  // cooled or taken by now, or said before
    }
    item& i = *held->second;
    const time_point now = loop_.now();
    if (status.ok()) {
        i.state = warm_state::warm;
        i.warm_at = now;
        i.failures = 0;
        return;
    }
    ++stats_.failed;
    stats_.wasted_s += i.cost.hold * to_seconds(now - i.waste_from);
    const std::uint32_t doublings = std::min(i.failures++, 32U);
    const double wait = std::min(
        to_seconds(options_.first_retry) * static_cast<double>(std::uint64_t{1} << doublings),
        to_seconds(options_.last_retry));
    i.not_before = saturating_add(now, from_seconds(wait));
    forget(i);
}

void prewarmer::core::fire(timer& t) noexcept {
    auto& n = static_cast<need&>(t);
    core& self = n.owner;
    if (!n.holding) {
        self.plan(n);
        return;
    }
    // Overdue. There may be another window later on.
    item& i = *n.of;
    self.close_window(n);
    self.let_go(i);
    if (!n.holding && !n.armed()) {
        self.plan(n);
    }
}

prewarmer::core::need* prewarmer::core::find(need_handle handle) const noexcept {
    if (handle.epoch == 0 || handle.index >= needs_.size()) {
        return nullptr;
    }
    need* const n = needs_[handle.index].get();
    return n->of != nullptr && n->epoch == handle.epoch ? n : nullptr;
}

double prewarmer::core::elapsed(const need& n) const noexcept {
    return to_seconds(loop_.now() - n.base);
}

warm_cost prewarmer::core::cost_of(item& i) const noexcept {
    const warm_cost cost = i.id.what->cost(i.id.key);
    return cost.valid() ? cost : warm_cost{};  // saves nothing
}

prewarm_plan prewarmer::core::plan_to_keep(const need& n, double at) const noexcept {
    const item& i = *n.of;
    const double done = i.state == warm_state::warm
                            ? i.cost.seconds
                            : std::min(to_seconds(loop_.now() - i.since), i.cost.seconds);
    return plan_keep(n.forecast, at, done, i.redeemed ? 0 : done, i.cost, options_.rule);
}

// Opens or closes the need's window, or arms its timer for when that is to be done.
void prewarmer::core::plan(need& n) {
    item& i = *n.of;
    const double at = elapsed(n);
    if (n.holding) {
        const prewarm_plan p = plan_to_keep(n, at);
        if (p.start <= at) {
            loop_.arm(n, past(n.base, p.stop));
            return;
        }
        close_window(n);
        let_go(i);
        if (n.holding) {
            return;
        }
    }
    loop_.disarm(n);
    const prewarm_plan p = plan_prewarm(n.forecast, at, cost_of(i), options_.rule);
    if (!p.pays()) {
        return;
    }
    const time_point now = loop_.now();
    const time_point begin = std::max(saturating_add(n.base, from_seconds(p.start)), i.not_before);
    if (begin > now && to_seconds(begin - now) > at_once) {
        loop_.arm(n, begin);
        return;
    }
    open(n, p.stop);
}

void prewarmer::core::open(need& n, double stop) {
    item& i = *n.of;
    n.holding = true;
    ++i.holders;
    loop_.arm(n, past(n.base, stop));
    if (i.state == warm_state::cold) {
        begin_warming(i);
    }
}

void prewarmer::core::close_window(need& n) {
    loop_.disarm(n);
    if (n.holding) {
        n.holding = false;
        --n.of->holders;
    }
}

void prewarmer::core::begin_warming(item& i) {
    const time_point now = loop_.now();
    i.cost = cost_of(i);
    i.state = warm_state::warming;
    i.since = now;
    i.waste_from = now;
    i.redeemed = false;
    i.attempt = ++last_attempt_;
    attempts_[i.attempt] = &i;
    ++stats_.started;
    i.id.what->warm(i.id.key, warm_done(inbox_, i.attempt));
}

// Keeps it if a need whose window is not open would rather have it kept than warmed anew.
bool prewarmer::core::somebody_keeps(item& i) {
    bool kept = false;
    for (need* n : i.needs) {
        const double at = elapsed(*n);
        const prewarm_plan p = plan_to_keep(*n, at);
        if (!n->holding && p.start <= at) {
            open(*n, p.stop);
            kept = true;
        }
    }
    return kept;
}

// Nobody may want it any more. May end the item.
void prewarmer::core::let_go(item& i) {
    if (i.attempt != 0 && i.holders == 0 && !somebody_keeps(i)) {
        ++stats_.cooled;
        stats_.wasted_s += i.cost.hold * to_seconds(loop_.now() - i.waste_from);
        i.id.what->cool(i.id.key);
        forget(i);
        return;
    }
    if (i.attempt == 0 && i.needs.empty()) {
        items_.erase(i.id);
    }
}

// It is not ours any more: whoever held it plans anew. Ends the item if no need is left.
void prewarmer::core::forget(item& i) {
    if (i.attempt != 0) {
        attempts_.erase(i.attempt);
        i.attempt = 0;
    }
    i.state = warm_state::cold;
    if (i.needs.empty()) {
        items_.erase(i.id);
        return;
    }
    for (need* n : i.needs) {
        if (n->holding) {
            close_window(*n);
        }
    }
    for (std::size_t k = 0; k < i.needs.size(); ++k) {
        plan(*i.needs[k]);
    }
}

void prewarmer::core::remove(need& n) {
    std::vector<need*>& all = n.of->needs;
    *std::find(all.begin(), all.end(), &n) = all.back();
    all.pop_back();
    n.of = nullptr;
    n.forecast = {};
    free_.push_back(n.index);
    --live_;
}

}  // namespace sluice::demand
