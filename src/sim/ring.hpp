// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace sluice::sim::detail {

/// First in, first out; keeps its memory.
template <class T>
class ring {
 public:
    [[nodiscard]] bool empty() const noexcept { return head_ == tail_; }
    [[nodiscard]] std::size_t size() const noexcept { return tail_ - head_; }
    /// The i-th of those that wait.
    [[nodiscard]] T& operator[](std::size_t i) noexcept { return at(head_ + i); }

    void push(T item) {
        if (size() == items_.size()) {
            grow();
        }
        at(tail_++) = std::move(item);
    }
    /// \pre not empty
    void pop() noexcept { ++head_; }

 private:
    [[nodiscard]] T& at(std::size_t i) noexcept { return items_[i & (items_.size() - 1)]; }
    void grow() {
        std::vector<T> larger(2 * items_.size());
        for (std::size_t i = head_; i != tail_; ++i) {
            larger[i & (larger.size() - 1)] = std::move(at(i));
        }
        items_ = std::move(larger);
    }

    std::vector<T> items_ = std::vector<T>(64);  // a power of two
    std::size_t head_ = 0;
    std::size_t tail_ = 0;
};

}  // namespace sluice::sim::detail
