// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>
#include <sluice/device/device.hpp>
#include <sluice/kv/layout.hpp>

namespace sluice::sim {

struct copy_engine_options {
    /// Bytes per second in each direction, shared by its streams, at least 1; 0: no limit.
    double rate = 0;
    duration per_operation{0};   ///< of a stream, that each copy takes first; up to a day
    duration per_descriptor{0};  ///< the same, for each region of the copy's group; up to a day
    std::uint32_t streams = 1;   ///< in each direction, 1 to 1024
};

/// What a copy engine has done.
struct copy_engine_stats {
    std::uint64_t copies_in = 0, copies_out = 0;  ///< started
    std::uint64_t bytes_in = 0, bytes_out = 0;
    std::uint64_t refused = 0;    ///< copies that ended kInvalidArgument
    double busy_seconds = 0;      ///< in which something was on its way to L1, up to now
    double out_busy_seconds = 0;  ///< the same for the way back
};

/// A `device` without memory, whose copies take the time that a real one's would.
///
/// A copy takes the first free stream of its direction, in the order of starting; that is busy with
/// `per_operation + per_descriptor * regions` and then moves the bytes, one copy after the other
/// over all streams: so what a copy takes to launch overlaps with the bytes of others, and with one
/// stream does not. The directions do not slow each other down. No bytes move: pinned memory is
/// address space that must not be touched, L1 is made of any addresses (`simulated_layout`).
///
/// \par Thread safety
/// On the loop only, or when that does not run.
///
/// \par Errors
/// A copy without host memory, of no registered group, or to a slot that is not there ends
/// kInvalidArgument.
class copy_engine final : public device {
 public:
    /// \param on  outlives it
    /// \return kInvalidArgument, naming the option, for what is out of range
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<copy_engine>> create(
        const copy_engine_options& options, loop& on);
    ~copy_engine() override;

    absl::StatusOr<std::span<std::byte>> allocate_pinned(std::size_t bytes) override;
    void free_pinned(std::span<std::byte> memory) noexcept override;
    absl::Status register_layout(const layout& l) override;
    void copy_in(std::span<device_copy* const> ops) noexcept override;
    void copy_out(std::span<device_copy* const> ops) noexcept override;

    [[nodiscard]] copy_engine_stats stats() const noexcept;

 private:
    struct state;
    explicit copy_engine(std::unique_ptr<state> s) noexcept;

    std::unique_ptr<state> state_;
};

/// A layout of one group at made-up addresses, for devices that touch none.
/// \param pieces  regions of a block; their bytes differ by one at most
/// \return kInvalidArgument if there are no slots or pieces, or fewer bytes than pieces
[[nodiscard]] absl::StatusOr<layout> simulated_layout(std::uint32_t slots,
                                                      std::uint64_t block_bytes,
                                                      std::uint32_t pieces = 1);

}  // namespace sluice::sim
