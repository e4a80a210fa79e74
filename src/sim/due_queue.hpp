// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <sluice/coro/loop.hpp>

#include "flow.hpp"

namespace sluice::sim::detail {

/// What is due when, for one owner with one timer: by time, then in the order of `push`.
template <class What>
class due_queue {
 public:
    struct entry {
        instant at;
        std::uint64_t order;
        What what;
    };

    void push(instant at, What what) {
        heap_.push_back({at, next_++, what});
        std::push_heap(heap_.begin(), heap_.end(), later);
    }
    [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }
    [[nodiscard]] const entry& top() const noexcept { return heap_.front(); }
    What pop() noexcept {
        std::pop_heap(heap_.begin(), heap_.end(), later);
        const What what = heap_.back().what;
        heap_.pop_back();
        return what;
    }

 private:
    static bool later(const entry& a, const entry& b) noexcept {
        return a.at != b.at ? a.at > b.at : a.order > b.order;
    }

    std::vector<entry> heap_;
    std::uint64_t next_ = 0;
};

}  // namespace sluice::sim::detail
