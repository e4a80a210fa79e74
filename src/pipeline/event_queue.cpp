// SPDX-License-Identifier: Apache-2.0
#include "event_queue.hpp"

#include <bit>
#include <utility>

namespace sluice::detail {

namespace {
constexpr std::uint16_t bit(event_kind k) noexcept {
    return static_cast<std::uint16_t>(1U << static_cast<unsigned>(k));
}

// The order of kinds is that of a request's life, but for `looked_up`, which came to be last.
event_kind first_of(std::uint16_t pending) noexcept {
    return (pending & bit(event_kind::looked_up)) != 0
               ? event_kind::looked_up
               : static_cast<event_kind>(std::countr_zero(pending));
}
}  // namespace

void event_queue::enqueue(request& r) {
    r.events.next = nullptr;
    (tail_ != nullptr ? tail_->events.next : head_) = &r;
    tail_ = &r;
    readable_.set(true);
}

void event_queue::push(request& r, event_kind kind, std::uint32_t blocks) {
    const std::scoped_lock lock(mutex_);
    if (closed_) {
        return;
    }
    if (kind == event_kind::loaded) {
        r.events.loaded_blocks = blocks;
    } else if (kind == event_kind::stored) {
        r.events.stored_blocks = blocks;
    }
    const bool queued = r.events.pending != 0;
    r.events.pending |= bit(kind);
    if (!queued) {
        enqueue(r);
    }
}

void event_queue::push_outcome(request& r, event_kind kind, std::uint32_t blocks, bool busy,
                               absl::Status status) {
    const std::scoped_lock lock(mutex_);
    if (closed_) {
        return;
    }
    const bool queued = r.events.pending != 0;
    r.events.pending |= bit(kind);
    r.events.outcome_blocks = blocks;
    r.events.busy = busy;
    r.events.status = std::move(status);
    if (!queued) {
        enqueue(r);
    }
}

bool event_queue::waiting(const request& r) {
    const std::scoped_lock lock(mutex_);
    return r.events.pending != 0;
}

void event_queue::close() {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    for (; head_ != nullptr; head_ = head_->events.next) {
        head_->events.pending = 0;
    }
    tail_ = nullptr;
    readable_.set(false);
}

std::size_t event_queue::poll(std::span<request_event> out) {
    std::size_t n = 0;
    const std::scoped_lock lock(mutex_);
    while (n < out.size() && head_ != nullptr) {
        request& r = *head_;
        const event_kind kind = first_of(r.events.pending);
        request_event& e = out[n++];
        e = request_event{};
        e.kind = kind;
        e.request = r.handle();
        e.user = r.view.user;
        if (is_outcome(kind)) {
            e.blocks = r.events.outcome_blocks;
            e.busy = r.events.busy;
            e.status = std::move(r.events.status);
        } else if (kind == event_kind::stored) {
            e.blocks = r.events.stored_blocks;
        } else if (kind == event_kind::loaded) {
            e.blocks = r.events.loaded_blocks;
        } else if (kind == event_kind::looked_up) {
            e.blocks = r.hits - 1;
        }
        r.events.pending &= static_cast<std::uint16_t>(~bit(kind));
        if (r.events.pending == 0) {
            head_ = r.events.next;
            tail_ = head_ == nullptr ? nullptr : tail_;
            // After this the request may end at any time.
            r.to_io.raise(tell::taken);
        }
    }
    readable_.set(head_ != nullptr);
    return n;
}

void event_queue::offer(const request& r, std::uint64_t rank) {
    const std::scoped_lock lock(mutex_);
    if (offered_.size() <= r.index) {
        offered_.resize(std::size_t{r.index} + 1);
    }
    offered_[r.index] = r.handle();
    offers_.set(r.index, {rank, r.order});
}

void event_queue::rerank(const request& r, std::uint64_t rank) {
    const std::scoped_lock lock(mutex_);
    if (offers_.contains(r.index)) {
        offers_.set(r.index, {rank, r.order});
    }
}

void event_queue::withdraw(const request& r) {
    const std::scoped_lock lock(mutex_);
    offers_.erase(r.index);
}

request_handle event_queue::take() {
    const std::scoped_lock lock(mutex_);
    if (offers_.empty()) {
        return {};
    }
    const request_handle best = offered_[offers_.top()];
    offers_.pop();
    return best;
}

}  // namespace sluice::detail
