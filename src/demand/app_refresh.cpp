// SPDX-License-Identifier: Apache-2.0
// What follows from what was reported: ranks, and samples of classes.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "app_tracker_impl.hpp"

namespace sluice::demand {

namespace {

// One call of refresh: other work of its loop gets its turn in between.
constexpr int most_at_once = 64;

rank_value last_rank() noexcept { return std::numeric_limits<double>::infinity(); }

}  // namespace

// ---- who ranks, and who hears of it

absl::Status app_tracker::impl::attach(app_ranker& ranker) {
    const std::scoped_lock lock(mutex_);
    if (ranker_ != nullptr) {
        return absl::FailedPreconditionError(
            "the tracker serves another pipeline; each needs its own");
    }
    ranker_ = &ranker;
    asked_ = false;
    changes_.clear();
    table_.for_each([this](application& a) {
        a.told = a.ranked = false;
        a.rank = last_rank();
        if (!std::exchange(a.dirty, true)) {
            dirty_.push_back(a.index);
        }
    });
    if (!dirty_.empty() || next_taken_ < taken_.size() || !new_models_.empty()) {
        ask();
    }
    return absl::OkStatus();
}

void app_tracker::impl::detach() noexcept {
    const std::scoped_lock lock(mutex_);
    ranker_ = nullptr;
}

void app_tracker::impl::set_observer(app_observer* observer) {
    const std::scoped_lock lock(mutex_);
    observer_ = observer;
}

// ---- refresh

time_point app_tracker::impl::refresh(time_point now) {
    std::unique_lock lock(mutex_);
    asked_ = false;
    take_models();
    mark_progressed(now);
    mark_changed(now);
    for (int n = 0; n < most_at_once; ++n) {
        if (next_taken_ == taken_.size()) {
            taken_.clear();
            next_taken_ = 0;
            taken_.swap(dirty_);
            if (taken_.empty()) {
                break;
            }
        }
        work_out(taken_[next_taken_++], now, lock);
    }
    if (next_taken_ < taken_.size() || !dirty_.empty()) {
        asked_ = true;
        return now;
    }
    time_point next = progressed_.empty() ? never : next_tick_;
    if (!changes_.empty()) {
        next = std::min(next, time_point{duration{changes_.top_key()}});
    }
    return next;
}

// What was expected by the old ones is expected anew.
void app_tracker::impl::take_models() {
    for (std::unique_ptr<demand_model>& model : new_models_) {
        app_class& c = table_.in_class(table_.class_of(model->application()));
        c.model = nullptr;
        c.model_units.clear();
        options_.models->add(std::move(model));
        table_.for_each([&](application& a) {
            if (a.live && &table_.in_class(a.in_class) == &c && !std::exchange(a.dirty, true)) {
                dirty_.push_back(a.index);
            }
        });
    }
    new_models_.clear();
}

// At the interval: who has made progress.
void app_tracker::impl::mark_progressed(time_point now) {
    if (progressed_.empty() || now < next_tick_) {
        return;
    }
    next_tick_ = saturating_add(now, options_.interval);
    for (const std::uint32_t index : progressed_) {
        application& a = table_.at(index);
        if (std::exchange(a.progressed, false) && a.live && !std::exchange(a.dirty, true)) {
            dirty_.push_back(index);
        }
    }
    progressed_.clear();
}

void app_tracker::impl::mark_changed(time_point now) {
    while (!changes_.empty() && changes_.top_key() <= now.time_since_epoch().count()) {
        application& a = table_.at(changes_.top());
        changes_.pop();
        if (a.live && !std::exchange(a.dirty, true)) {
            dirty_.push_back(a.index);
        }
    }
}

std::optional<rank_value> app_tracker::impl::rank_now(app_handle h, time_point now) {
    std::unique_lock lock(mutex_);
    take_models();
    if (const application* const a = table_.find(h); a != nullptr && a->dirty) {
        work_out(h.index, now, lock);  // its place in the queue is passed over
    }
    const application* const a = table_.find(h);
    return a != nullptr ? std::optional(a->rank) : std::nullopt;
}

void app_tracker::impl::work_out(std::uint32_t index, time_point now,
                                 std::unique_lock<std::mutex>& lock) {
    application& a = table_.at(index);
    if (!std::exchange(a.dirty, false)) {
        return;
    }
    if (!a.live) {
        work_out_end(index, now, lock);
        return;
    }
    ++stats_.refreshed;
    posterior_.load(a, table_.in_class(a.in_class), options_, now);
    const application_view& view = posterior_.view();
    const bool fresh = !std::exchange(a.told, true);
    stats_.unknown_class += fresh && posterior_.class_unknown() ? 1 : 0;
    app_ranker* const ranker = ranker_;
    app_observer* const observer = observer_;
    lock.unlock();
    rank_value rank = static_cast<double>(view.arrival.time_since_epoch().count());
    time_point next = never;
    if (ranker != nullptr) {
        if (fresh) {
            ranker->begun(view, now);
        }
        rank = ranker->rank(view, now);
        next = ranker->next_change(view, now);
    }
    if (std::isnan(rank.value)) {
        rank.value = std::numeric_limits<double>::infinity();
    }
    lock.lock();
    if (posterior_.fell_back() &&
        std::exchange(a.unconditioned_at, a.visits.size()) != a.visits.size()) {
        ++stats_.unconditioned;
    }
    // It may have ended meanwhile; it is in the queue then.
    const bool changed = a.live && (!std::exchange(a.ranked, true) || !(a.rank == rank));
    if (a.live) {
        a.rank = rank;
        stats_.ranked += changed ? 1 : 0;
    }
    lock.unlock();
    if (next != never && next > now) {
        changes_.set(index, next.time_since_epoch().count());
    } else {
        changes_.erase(index);
    }
    if (changed && ranker != nullptr) {
        ranker->ranked(view.id, rank);
    }
    if (observer != nullptr) {
        observer->changed(posterior_.state(rank), now);
    }
    lock.lock();
}

void app_tracker::impl::work_out_end(std::uint32_t index, time_point now,
                                     std::unique_lock<std::mutex>& lock) {
    application& a = table_.at(index);
    const app_handle handle{index, a.epoch};
    const bool told = a.told;
    const bool learned = options_.learn && a.complete &&
                         posterior_.load_run(a, table_.in_class(a.in_class), stats_.learned + 1);
    app_ranker* const ranker = ranker_;
    app_observer* const observer = observer_;
    lock.unlock();
    const bool kept = learned && posterior_.learn(*options_.models, options_.rates);
    changes_.erase(index);
    if (told && ranker != nullptr) {
        ranker->ended(handle, now);
    }
    if (observer != nullptr) {
        observer->ended(handle, now);
    }
    lock.lock();
    stats_.learned += kept ? 1 : 0;
    table_.give_back(index);
}

}  // namespace sluice::demand
