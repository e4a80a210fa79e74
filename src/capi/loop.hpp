// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include <absl/status/statusor.h>

#include <sluice/coro/virtual_loop.hpp>

#include "handles.hpp"

namespace sluice::capi {

/// Nanoseconds of a clock of the API.
[[nodiscard]] std::uint64_t now_of(const sluice_clock& clock) noexcept;
/// NULL: CLOCK_MONOTONIC.
[[nodiscard]] absl::Status read_clock(const sluice_clock* given, sluice_clock& clock);

/// A loop that runs when it is told to, on a clock of the user's. Any thread.
class loop_object final : public object {
 public:
    explicit loop_object(const sluice_clock& clock) noexcept;

    /// Runs what is due; then the instant of the next timer, or UINT64_MAX.
    /// \return kFailedPrecondition: it is running.
    [[nodiscard]] absl::StatusOr<std::uint64_t> run();

    /// For closing what is on it: runs it until `done`, waiting for others who run it.
    void run_until(const std::function<bool()>& done);

    [[nodiscard]] sluice::loop& get() noexcept { return loop_; }

 private:
    static void nap() noexcept;
    [[nodiscard]] time_point clock_time() const noexcept;
    void run_due() noexcept;

    const sluice_clock clock_;
    std::atomic_flag running_;
    virtual_loop loop_;
};

/// Whether what is on `own` (nothing: on a thread) progresses while `pipelines` is run.
[[nodiscard]] inline bool runs_with(const pinned<loop_object>& own,
                                    const pinned<loop_object>& pipelines) noexcept {
    return !own || (pipelines && &*own == &*pipelines);
}

}  // namespace sluice::capi
