// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include <absl/status/statusor.h>

#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>

#include "address.hpp"

namespace sluice::wire {

/// Accepts control connections on one loop, and is used there only. It may be destroyed at any
/// time, also inside the acceptor.
class listener {
 public:
    using acceptor = std::function<void(int socket)>;  // owns the socket from then on

    /// Accepted per wake-up, so that new peers cannot hold the loop.
    static constexpr int accept_budget = 64;
    /// When descriptors or memory have run out, nobody is accepted for that long.
    static constexpr duration rest = std::chrono::milliseconds(100);

    /// Port 0 takes a free one. Of several addresses of a name, the first that works.
    /// \return kInvalidArgument: the name is not known or is not of this machine;
    ///         kPermissionDenied; kAlreadyExists: the port is taken; kResourceExhausted;
    ///         kUnavailable: the name service does not answer.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<listener>> listen(loop& on,
                                                                          const address& at,
                                                                          acceptor accept);
    listener(const listener&) = delete;
    listener& operator=(const listener&) = delete;
    ~listener();
    /// As asked for, with the port it got.
    [[nodiscard]] const address& bound() const noexcept { return bound_; }

 private:
    struct watch : fd_watch {
        explicit watch(listener& l) noexcept;
        listener* self;
    };
    struct alarm : timer {
        explicit alarm(listener& l) noexcept;
        listener* self;
    };

    listener(loop& on, int socket, address bound, acceptor accept);
    void accept_some();
    [[nodiscard]] absl::Status watch_again();

    loop& loop_;
    int socket_;
    address bound_;
    std::shared_ptr<acceptor> accept_;  // outlives a listener that it destroys
    watch watch_;
    bool watching_ = false;
    alarm alarm_;
    bool* gone_ = nullptr;  // of the call that is calling the acceptor
};

}  // namespace sluice::wire
