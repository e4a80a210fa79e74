// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <absl/status/statusor.h>

#include <sluice/kv/layout.hpp>
#include <sluice/stage/operation.hpp>

namespace sluice {

/// Moves one block between its contiguous form in L2 and its pieces in L1.
struct device_copy : operation {
    std::byte* host = nullptr;            ///< block_bytes of the group, pinned
    const group_layout* group = nullptr;  ///< of the registered layout
    slot_id slot = no_slot;               ///< below the group's slots
};

/// The seam to L1, the memory that compute reads.
///
/// Models: `host_device`, the CUDA device, the simulated copy engine.
///
/// \par Thread safety
/// All members may be called from any thread, concurrently. Copies never block.
///
/// \par Completion
/// As `operation` says; never inside the call that started the copy.
class device {
 public:
    device() = default;
    device(const device&) = delete;
    device& operator=(const device&) = delete;
    /// Every copy must have completed and all pinned memory be freed.
    virtual ~device() = default;

    /// Page-locked host memory, aligned to a page at least. kResourceExhausted if there is none.
    virtual absl::StatusOr<std::span<std::byte>> allocate_pinned(std::size_t bytes) = 0;
    virtual void free_pinned(std::span<std::byte> memory) noexcept = 0;

    /// Checks that the device can reach the regions and prepares copies to them. The layout lives
    /// until the last copy has completed. kInvalidArgument says which region is wrong.
    virtual absl::Status register_layout(const layout& l) = 0;

    /// L2 to L1. Started together; each completes by itself. Copies to different slots may be
    /// reordered.
    virtual void copy_in(std::span<device_copy* const> ops) noexcept = 0;
    /// L1 to L2.
    virtual void copy_out(std::span<device_copy* const> ops) noexcept = 0;
};

}  // namespace sluice
