// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <absl/status/status.h>

#include <sluice/coro/loop.hpp>

namespace sluice {

/// One asynchronous operation of a store, a device, compute or a stage of the user's: the base of
/// the structs that describe it. Whoever starts it owns it and keeps it (and the memory that it
/// names) alive until it has completed; nothing allocates.
///
/// \par Completion
/// The one who carries it out calls `complete` exactly once, on any thread; `done` then runs on
/// `home`. After `complete` the memory that the operation named is not touched any more. A failure
/// on the way of a block is a status without text, so that a lossy link allocates nothing.
class operation : public work {
 public:
    /// Continuation: runs on the home loop, may start the operation anew or free it.
    using continuation = void (*)(operation&) noexcept;

    operation() noexcept : work(&operation::deliver) {}

    /// Says where the completion goes; before the operation is started.
    void on_completion(loop& home, continuation done) noexcept {
        home_ = &home;
        done_ = done;
    }

    void complete(absl::Status status) noexcept {
        status_ = std::move(status);
        home_->post(*this);
    }

    [[nodiscard]] const absl::Status& status() const noexcept { return status_; }

 protected:
    ~operation() = default;

 private:
    static void deliver(work& w) noexcept {
        auto& self = static_cast<operation&>(w);
        self.done_(self);
    }

    loop* home_ = nullptr;
    continuation done_ = nullptr;
    absl::Status status_;
};

}  // namespace sluice
