// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include <absl/status/status.h>
#include <rdma/fabric.h>

#include <sluice/coro/loop.hpp>

#include "deferred.hpp"

namespace sluice::fabric {

/// Looks into a queue of libfabric's whenever something may be in it: when its descriptor says so
/// or, where the provider has none, by polling that is quick while something is expected, becomes
/// slower as nothing comes, and stops when nothing is expected any more.
///
/// Used on its loop only.
class queue_watch {
 public:
    /// Takes all that is in the queue (with a bound) and makes the provider progress.
    /// \return whether there was anything.
    using drain_function = bool (*)(void* self) noexcept;

    queue_watch(loop& on, drain_function drain, void* self);
    queue_watch(const queue_watch&) = delete;
    queue_watch& operator=(const queue_watch&) = delete;
    ~queue_watch() { stop(); }

    /// \param queue  a completion or event queue; closed after `stop`
    /// \return what `loop::watch` returns.
    absl::Status start(fid_fabric* fabric, fid* queue, bool has_descriptor);
    void stop() noexcept;

    /// Something is expected (operations in flight, a peer that may ask) or is not any more.
    void expect(bool something) noexcept;
    /// Look as soon as possible: something has just been posted.
    void nudge() noexcept;
    /// Look also if nothing wakes us, after a while.
    void look_after(duration pause) noexcept;
    /// Without a descriptor, polls are never further apart than this while something is expected.
    void set_patience(duration longest) noexcept { patience_ = longest; }

 private:
    struct descriptor : fd_watch {
        descriptor(int fd, queue_watch& w) noexcept;
        queue_watch* owner;
    };
    struct alarm : timer {
        explicit alarm(queue_watch& w) noexcept;
        queue_watch* owner;
    };

    void look() noexcept;
    void look_by_descriptor() noexcept;
    void look_by_polling() noexcept;
    void look_again() noexcept;

    loop& loop_;
    drain_function drain_;
    void* self_;
    fid_fabric* fabric_ = nullptr;
    fid* queue_ = nullptr;
    std::optional<descriptor> descriptor_;
    alarm alarm_;
    deferred turn_;
    bool running_ = false;
    bool expecting_ = false;
    bool proven_ = false;  // the descriptor has shown that it wakes us
    duration patience_;
    time_point quiet_since_ = never;
};

}  // namespace sluice::fabric
