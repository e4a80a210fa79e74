// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <utility>

#include <sluice/coro/loop.hpp>

namespace sluice::detail {

/// Intrusive FIFO of posted work, for one thread.
class work_list {
 public:
    work_list() = default;
    work_list(const work_list&) = delete;
    work_list& operator=(const work_list&) = delete;

    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

    void push(work& item) noexcept {
        item.next = nullptr;
        *last_ = &item;
        last_ = &item.next;
    }

    /// \pre not empty.
    work& pop() noexcept {
        work& item = *first_;
        first_ = item.next;
        if (first_ == nullptr) {
            last_ = &first_;
        }
        return item;
    }

    /// Takes everything; the caller walks `next`, reading it before it runs the item.
    work* take_all() noexcept {
        last_ = &first_;
        return std::exchange(first_, nullptr);
    }

 private:
    work* first_ = nullptr;
    work** last_ = &first_;
};

/// Where foreign threads leave work: lock-free, many producers, one consumer, FIFO per producer.
/// The same word says whether the consumer sleeps, so exactly one producer learns that it has to
/// wake it.
class work_inbox {
 public:
    work_inbox() = default;
    work_inbox(const work_inbox&) = delete;
    work_inbox& operator=(const work_inbox&) = delete;

    /// Any thread. \return whether the consumer slept: then, and only then, the caller must wake it
    /// (without touching this object, which may be gone).
    [[nodiscard]] bool push(work& item) noexcept {
        work* top = top_.load(std::memory_order_relaxed);
        do {
            item.next = top == asleep() ? nullptr : top;
            // release: publishes the item and what its producer wrote.
        } while (!top_.compare_exchange_weak(top, &item, std::memory_order_release,
                                             std::memory_order_relaxed));
        return top == asleep();
    }

    /// Consumer, awake. May miss what is being pushed right now.
    [[nodiscard]] bool empty() const noexcept {
        return top_.load(std::memory_order_relaxed) == nullptr;
    }

    /// Consumer, awake. Appends what has arrived to `out`, oldest first.
    void take(work_list& out) noexcept {
        if (empty()) {
            return;
        }
        // acquire: sees the items.
        work* item = top_.exchange(nullptr, std::memory_order_acquire);
        work* oldest = nullptr;
        while (item != nullptr) {
            work* const older = std::exchange(item->next, oldest);
            oldest = std::exchange(item, older);
        }
        while (oldest != nullptr) {
            work& next = *std::exchange(oldest, oldest->next);
            out.push(next);
        }
    }

    /// Consumer. \return false if something has arrived: do not sleep.
    [[nodiscard]] bool fall_asleep() noexcept {
        work* none = nullptr;
        return top_.compare_exchange_strong(none, asleep(), std::memory_order_relaxed);
    }

    /// Consumer, after sleeping. \return whether a producer has taken it upon itself to wake us.
    [[nodiscard]] bool awake() noexcept {
        work* mark = asleep();
        return !top_.compare_exchange_strong(mark, nullptr, std::memory_order_relaxed);
    }

 private:
    // A mark that is no item: the address of this object.
    work* asleep() noexcept { return reinterpret_cast<work*>(this); }

    std::atomic<work*> top_{nullptr};
};

}  // namespace sluice::detail
