// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <absl/status/status.h>

#include <sluice/kv/block_key.hpp>
#include <sluice/stage/operation.hpp>

namespace sluice {

/// Asks which of some keys a store holds.
struct store_lookup : operation {
    std::span<const block_key> keys;
    std::span<std::uint8_t> present;  ///< result, same length: 1 present, 0 not
};

/// Reads one block into registered memory.
/// Ends OK; kNotFound: a miss; kDataLoss: the checksum or header did not match (the store drops
/// its copy); kUnavailable, kDeadlineExceeded: the peer failed; kInvalidArgument: `into` has
/// another size than the stored block.
struct store_get : operation {
    block_key key;
    std::span<std::byte> into;
};

/// Stores one block. It is visible to others only when the operation has ended OK; a reader sees a
/// whole block or none. A key that is already there is left as it is (blocks are immutable): OK.
/// kResourceExhausted: no room.
struct store_put : operation {
    block_key key;
    std::span<const std::byte> from;
};

/// Drops blocks; a key that is not there is no error.
struct store_remove : operation {
    std::span<const block_key> keys;
};

/// The seam to L3, another machine's memory.
///
/// Models: `memory_store` (in this process), the fabric store, the simulated link.
///
/// \par Thread safety
/// All members may be called from any thread, concurrently. None blocks.
///
/// \par Completion
/// Every operation that was started completes exactly once, as `operation` says; never inside the
/// call that started it.
class store {
 public:
    store() = default;
    store(const store&) = delete;
    store& operator=(const store&) = delete;
    /// Every operation must have completed.
    virtual ~store() = default;

    /// Memory that gets write and puts read; registered before it is used, and until the last
    /// operation on it has completed.
    virtual absl::Status register_memory(std::span<std::byte> memory) = 0;
    virtual void unregister_memory(std::span<std::byte> memory) noexcept = 0;

    virtual void lookup(store_lookup& op) noexcept = 0;
    /// Started together, so that a transport can merge neighbours; each completes by itself.
    virtual void get(std::span<store_get* const> ops) noexcept = 0;
    virtual void put(std::span<store_put* const> ops) noexcept = 0;
    virtual void remove(store_remove& op) noexcept = 0;

    /// The operation has exceeded its hard timeout: make it complete soon, whatever that costs (the
    /// endpoint is closed and its queue drained; other operations on it fail with kUnavailable).
    /// Nothing happens if it has completed already.
    virtual void abort(operation& op) noexcept = 0;
};

}  // namespace sluice
