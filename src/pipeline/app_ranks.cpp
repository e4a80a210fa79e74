// SPDX-License-Identifier: Apache-2.0
#include "app_ranks.hpp"

#include <utility>

#include <sluice/demand/application_view.hpp>

namespace sluice::detail {

app_ranks::app_ranks(demand::app_tracker& tracker, class policy& p, loop& home, void* context,
                     rerank_request rerank)
    : tracker_(tracker),
      policy_(p),
      home_(home),
      context_(context),
      rerank_(rerank),
      turn_(*this),
      tick_(*this) {}

app_ranks::~app_ranks() {
    if (attached_) {
        tracker_.detach();
    }
}

absl::Status app_ranks::attach() {
    attached_ = true;  // before it may say that something is due
    const absl::Status status = tracker_.attach(*this);
    if (!status.ok()) {
        attached_ = false;
    }
    return status;
}

bool app_ranks::detach() noexcept {
    if (std::exchange(attached_, false)) {
        tracker_.detach();
        home_.disarm(tick_);
    }
    return !turn_.posted.load(std::memory_order_relaxed);
}

void app_ranks::admit(request& r, time_point now) {
    request_view& v = r.view;
    if (v.application == app_handle{} || !policy_.ranks_applications()) {
        return;
    }
    const std::optional<rank_value> rank = tracker_.rank_now(v.application, now);
    if (!rank) {
        v.application = {};  // it ends before this one has begun
        return;
    }
    v.application_rank = *rank;
    if (rings_.size() <= v.application.index) {
        rings_.resize(std::size_t{v.application.index} + 1);
    }
    ring& of = rings_[v.application.index];
    if (of.epoch != v.application.epoch) {
        of = {v.application.epoch, nullptr};
    }
    if (links_.size() <= r.index) {
        links_.resize(std::size_t{r.index} + 1);
    }
    if (of.first == nullptr) {
        of.first = &r;
        link_of(r) = {&r, &r};
        return;
    }
    request* const last = link_of(*of.first).previous;
    link_of(r) = {of.first, last};
    link_of(*last).next = &r;
    link_of(*of.first).previous = &r;
}

void app_ranks::leave(request& r) noexcept {
    if (r.index >= links_.size() || link_of(r).next == nullptr) {
        return;
    }
    const link was = std::exchange(link_of(r), {});
    if (ring* const of = ring_of(r.view.application); of != nullptr && of->first == &r) {
        of->first = was.next == &r ? nullptr : was.next;
    }
    if (was.next != &r) {
        link_of(*was.next).previous = was.previous;
        link_of(*was.previous).next = was.next;
    }
}

// ---- what the tracker asks

rank_value app_ranks::rank(const demand::application_view& a, time_point now) noexcept {
    return policy_.rank_application(a, now);
}

time_point app_ranks::next_change(const demand::application_view& a, time_point now) noexcept {
    return policy_.next_application_change(a, now);
}

void app_ranks::begun(const demand::application_view& a, time_point now) noexcept {
    policy_.application_begun(a, now);
}

void app_ranks::ranked(app_handle a, rank_value rank) noexcept {
    ring* const of = ring_of(a);
    if (of == nullptr || of->first == nullptr) {
        return;
    }
    request* r = of->first;
    do {
        request* const next = link_of(*r).next;
        r->view.application_rank = rank;
        rerank_(context_, *r);
        r = next;
    } while (r != of->first);
}

// Its requests, if it has any left, keep the rank that it had.
void app_ranks::ended(app_handle a, time_point now) noexcept {
    policy_.application_ended(a, now);
    if (ring* const of = ring_of(a); of != nullptr) {
        *of = {};
    }
}

void app_ranks::due() noexcept {
    if (!turn_.posted.exchange(true, std::memory_order_relaxed)) {
        home_.post(turn_);
    }
}

void app_ranks::refresh() noexcept {
    if (!attached_) {
        return;
    }
    const time_point now = home_.now();
    const time_point next = tracker_.refresh(now);
    if (next <= now) {
        due();  // others get their turn
    } else if (next != never) {
        home_.arm(tick_, next);
    } else {
        home_.disarm(tick_);
    }
}

}  // namespace sluice::detail
