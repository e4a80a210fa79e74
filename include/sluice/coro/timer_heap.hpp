// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include <sluice/base/heap.hpp>
#include <sluice/coro/loop.hpp>

namespace sluice::detail {

/// The armed timers of a loop, by (due, order of arming): a 4-ary heap that knows where each of
/// its timers is, so that re-arming and disarming are O(log n). For one thread. Its
/// destructor touches no timer: the owners of those still armed may be gone before the loop.
class timer_heap {
 public:
    timer_heap() = default;
    timer_heap(const timer_heap&) = delete;
    timer_heap& operator=(const timer_heap&) = delete;

    /// When the next one is due; `never` if none is armed.
    [[nodiscard]] time_point next_due() const noexcept {
        return heap_.empty() ? never : heap_.front().due;
    }

    /// Allocates when more timers are armed than ever before.
    void arm(timer& t, time_point at) {
        t.due_at = at;
        const node moving{at, order_++, &t};
        if (t.armed()) {
            heap_fix(heap_.data(), heap_.size(), t.position, moving, before{}, placed{});
        } else {
            heap_.push_back(moving);
            heap_up(heap_.data(), heap_.size() - 1, moving, before{}, placed{});
        }
    }

    void disarm(timer& t) noexcept {
        if (!t.armed()) {
            return;
        }
        const std::uint32_t hole = t.position;
        const node last = heap_.back();
        heap_.pop_back();
        t.position = timer::not_armed;
        if (hole < heap_.size()) {
            heap_fix(heap_.data(), heap_.size(), hole, last, before{}, placed{});
        }
    }

    /// How many times `arm` has been called: timers with a smaller number were armed before now.
    [[nodiscard]] std::uint64_t order() const noexcept { return order_; }

    /// Takes the first timer out if it is due at `now` and was armed before `limit`.
    timer* pop_due(time_point now, std::uint64_t limit) noexcept {
        if (heap_.empty()) {
            return nullptr;
        }
        const node first = heap_.front();
        if (first.due > now || first.due == never || first.order >= limit) {
            return nullptr;
        }
        disarm(*first.armed);
        return first.armed;
    }

 private:
    struct node {
        time_point due;
        std::uint64_t order;
        timer* armed;
    };

    struct before {
        bool operator()(const node& a, const node& b) const noexcept {
            return a.due != b.due ? a.due < b.due : a.order < b.order;
        }
    };
    struct placed {
        void operator()(const node& n, std::size_t at) const noexcept {
            n.armed->position = static_cast<std::uint32_t>(at);
        }
    };

    heap_array<node> heap_;
    std::uint64_t order_ = 0;
};

}  // namespace sluice::detail
