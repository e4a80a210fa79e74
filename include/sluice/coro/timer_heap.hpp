// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

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
        return heap_.empty() ? never : heap_.front()->due_at;
    }

    /// Allocates when more timers are armed than ever before.
    void arm(timer& t, time_point at) {
        if (!t.armed()) {
            t.position = static_cast<std::uint32_t>(heap_.size());
            heap_.push_back(&t);
        }
        t.due_at = at;
        t.order = order_++;
        sift_down(t, sift_up(t, t.position));
    }

    void disarm(timer& t) noexcept {
        if (!t.armed()) {
            return;
        }
        const std::uint32_t hole = t.position;
        timer* const last = heap_.back();
        heap_.pop_back();
        t.position = timer::not_armed;
        if (last != &t) {
            sift_down(*last, sift_up(*last, hole));
        }
    }

    /// How many times `arm` has been called: timers with a smaller `order` were armed before now.
    [[nodiscard]] std::uint64_t order() const noexcept { return order_; }

    /// Takes the first timer out if it is due at `now` and was armed before `limit`.
    timer* pop_due(time_point now, std::uint64_t limit) noexcept {
        if (heap_.empty()) {
            return nullptr;
        }
        timer* const first = heap_.front();
        if (first->due_at > now || first->due_at == never || first->order >= limit) {
            return nullptr;
        }
        disarm(*first);
        return first;
    }

 private:
    static bool before(const timer& a, const timer& b) noexcept {
        return a.due_at != b.due_at ? a.due_at < b.due_at : a.order < b.order;
    }

    void put(timer& t, std::uint32_t at) noexcept {
        heap_[at] = &t;
        t.position = at;
    }

    // Moves the hole at `at` up to where `t` belongs, puts it there.
    std::uint32_t sift_up(timer& t, std::uint32_t at) noexcept {
        while (at > 0) {
            const std::uint32_t parent = (at - 1) / 4;
            if (!before(t, *heap_[parent])) {
                break;
            }
            put(*heap_[parent], at);
            at = parent;
        }
        put(t, at);
        return at;
    }

    void sift_down(timer& t, std::uint32_t at) noexcept {
        const std::size_t size = heap_.size();
        for (;;) {
            const std::size_t child = std::size_t{at} * 4 + 1;
            if (child >= size) {
                break;
            }
            std::size_t best = child;
            for (std::size_t c = child + 1; c < size && c < child + 4; ++c) {
                if (before(*heap_[c], *heap_[best])) {
                    best = c;
                }
            }
            if (!before(*heap_[best], t)) {
                break;
            }
            put(*heap_[best], at);
            at = static_cast<std::uint32_t>(best);
        }
        put(t, at);
    }

    std::vector<timer*> heap_;
    std::uint64_t order_ = 0;
};

}  // namespace sluice::detail
