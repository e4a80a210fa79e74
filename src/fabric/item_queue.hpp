// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

namespace sluice::fabric {

/// First in, first out; linked through the items' `next`.
template <class Item>
class item_queue {
 public:
    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
    [[nodiscard]] Item* front() const noexcept { return first_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    void push(Item& item) noexcept {
        item.next = nullptr;
        (first_ == nullptr ? first_ : last_->next) = &item;
        last_ = &item;
        ++size_;
    }
    Item& pop() noexcept {
        Item& item = *first_;
        first_ = item.next;
        item.next = nullptr;
        --size_;
        return item;
    }
    /// All items as a list; the queue is empty afterwards, so that who goes through them may push.
    [[nodiscard]] Item* take_all() noexcept {
        size_ = 0;
        return std::exchange(first_, nullptr);
    }
    /// Takes out the first item for which `match` holds, or gives null.
    template <class Match>
    Item* extract(Match match) noexcept {
        Item* before = nullptr;
        for (Item* item = first_; item != nullptr; before = item, item = item->next) {
            if (match(*item)) {
                (before == nullptr ? first_ : before->next) = item->next;
                if (item == last_) {
                    last_ = before;
                }
                item->next = nullptr;
                --size_;
                return item;
            }
        }
        return nullptr;
    }

 private:
    Item* first_ = nullptr;
    Item* last_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace sluice::fabric
