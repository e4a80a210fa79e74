// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <absl/status/status.h>

#include <sluice/coro/loop.hpp>
#include <sluice/stage/operation.hpp>

#include "flow.hpp"

namespace sluice::sim::detail {

/// Completes operations OK at instants that come in order: a ring, and one timer for all.
class completion_queue {
 public:
    explicit completion_queue(loop& on) noexcept : loop_(on), ring_(64) {}
    ~completion_queue() { loop_.disarm(alarm_); }
    completion_queue(const completion_queue&) = delete;
    completion_queue& operator=(const completion_queue&) = delete;

    /// \pre no earlier than those before
    void push(operation& op, instant at) {
        if (tail_ - head_ == ring_.size()) {
            grow();
        }
        ring_[tail_++ & (ring_.size() - 1)] = {&op, time_of(at)};
        if (!alarm_.armed()) {
            loop_.arm(alarm_, front().at);
        }
    }

 private:
    struct entry {
        operation* op;
        time_point at;
    };
    struct alarm : timer {
        explicit alarm(completion_queue& q) noexcept
            : timer([](timer& t) noexcept { static_cast<alarm&>(t).owner.run(); }), owner(q) {}
        completion_queue& owner;
    };

    [[nodiscard]] entry& front() noexcept { return ring_[head_ & (ring_.size() - 1)]; }

    void run() noexcept {
        const time_point now = loop_.now();
        while (head_ != tail_ && front().at <= now) {
            operation& op = *front().op;
            ++head_;
            op.complete(absl::OkStatus());
        }
        if (head_ != tail_) {
            loop_.arm(alarm_, front().at);
        }
    }

    void grow() {
        std::vector<entry> larger(2 * ring_.size());
        for (std::size_t i = head_; i != tail_; ++i) {
            larger[i & (larger.size() - 1)] = ring_[i & (ring_.size() - 1)];
        }
        ring_ = std::move(larger);
    }

    loop& loop_;
    std::vector<entry> ring_;  // a power of two
    std::size_t head_ = 0;
    std::size_t tail_ = 0;
    alarm alarm_{*this};
};

}  // namespace sluice::sim::detail
