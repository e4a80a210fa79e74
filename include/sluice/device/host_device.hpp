// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>
#include <sluice/device/device.hpp>
#include <sluice/kv/layout.hpp>

namespace sluice {

struct host_device_options {
    /// Bytes per second of all copies together, as of a PCIe link, at least 1; 0: as fast as memory
    /// is.
    double rate = 0;
    /// Time that each copy takes besides its bytes, up to a day.
    duration per_operation{0};
};

/// What a host_device has done.
struct host_device_stats {
    std::uint64_t copies_in = 0;
    std::uint64_t copies_out = 0;
    std::uint64_t bytes = 0;    ///< copied, both ways
    std::uint64_t refused = 0;  ///< copies with invalid arguments
    double busy_seconds = 0;    ///< of copying: modelled, or measured where that is more
};

/// A device whose L1 is host memory: for inference on the processor, and to run everything without
/// an accelerator. A thread of its own scatters and gathers blocks, one after the other in the
/// order in which they come.
///
/// \par Thread safety
/// All members may be called from any thread, concurrently, except the destructor.
///
/// \par Errors
/// A copy with a null host pointer, a group that is not of a registered layout or a slot that the
/// group does not have ends kInvalidArgument, and nothing is copied.
class host_device final : public device {
 public:
    /// \param on  the loop to work on, with its time: it outlives the device, and the device is
    ///            destroyed on it or when it does not run. Null: a thread of its own.
    /// \return kInvalidArgument for options out of range, kResourceExhausted if there is no thread.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<host_device>> create(
        const host_device_options& options = {}, loop* on = nullptr);
    /// Also frees pinned memory that was left.
    ~host_device() override;

    /// Zeroed and touched; on huge pages, if it fills one and the machine has them. Locked if the
    /// process may; that it may not is no error. kInvalidArgument for 0 bytes.
    absl::StatusOr<std::span<std::byte>> allocate_pinned(std::size_t bytes) override;
    /// Does nothing for what `allocate_pinned` did not return.
    void free_pinned(std::span<std::byte> memory) noexcept override;

    /// kInvalidArgument for a region at address 0. Registering a layout again is no error.
    absl::Status register_layout(const layout& l) override;

    void copy_in(std::span<device_copy* const> ops) noexcept override;
    void copy_out(std::span<device_copy* const> ops) noexcept override;

    [[nodiscard]] host_device_stats stats() const noexcept;

 private:
    struct state;
    explicit host_device(std::unique_ptr<state> s) noexcept;

    std::unique_ptr<state> state_;
};

}  // namespace sluice
