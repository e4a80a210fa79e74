// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/status.h>

#include <sluice/coro/loop.hpp>
#include <sluice/stage/operation.hpp>

#include "flow.hpp"
#include "ring.hpp"

namespace sluice::sim::detail {

/// Completes operations OK at instants that come in order: a ring, and one timer for all.
class completion_queue {
 public:
    explicit completion_queue(loop& on) noexcept : loop_(on) {}
    ~completion_queue() { loop_.disarm(alarm_); }
    completion_queue(const completion_queue&) = delete;
    completion_queue& operator=(const completion_queue&) = delete;

    /// \pre no earlier than those before
    void push(operation& op, instant at) {
        due_.push({&op, time_of(at)});
        if (!alarm_.armed()) {
            loop_.arm(alarm_, due_[0].at);
        }
    }

 private:
    struct entry {
        operation* op = nullptr;
        time_point at{};
    };
    struct alarm : timer {
        explicit alarm(completion_queue& q) noexcept
            : timer([](timer& t) noexcept { static_cast<alarm&>(t).owner.run(); }), owner(q) {}
        completion_queue& owner;
    };

    void run() noexcept {
        const time_point now = loop_.now();
        while (!due_.empty() && due_[0].at <= now) {
            operation& op = *due_[0].op;
            due_.pop();
            op.complete(absl::OkStatus());
        }
        if (!due_.empty()) {
            loop_.arm(alarm_, due_[0].at);
        }
    }

    loop& loop_;
    ring<entry> due_;
    alarm alarm_{*this};
};

}  // namespace sluice::sim::detail
