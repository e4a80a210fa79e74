// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <sluice/kv/block_key.hpp>
#include <sluice/stage/operation.hpp>
#include <sluice/stage/stage.hpp>

namespace sluice {

/// One block at a stage of the user's. `memory` is the block's L2 slot, as the stage before left
/// it; the stage leaves there what the next one is to see.
struct block_op : operation {
    block_key key;
    std::uint32_t group = 0;
    std::span<std::byte> memory;  ///< the group's block bytes
};

/// A stage of the user's between fetch and copy: decompression, decryption, a change of format.
///
/// \par Calls
/// `start` comes from the pipeline's I/O loop and must not block: hand the work to a thread or a
/// coroutine, and call `complete` on each operation exactly once, not inside `start`. A block whose
/// operation fails counts as a miss. At most `limits()` operations are under way.
class block_stage {
 public:
    block_stage() = default;
    block_stage(const block_stage&) = delete;
    block_stage& operator=(const block_stage&) = delete;
    virtual ~block_stage() = default;

    [[nodiscard]] virtual std::string_view name() const noexcept = 0;
    [[nodiscard]] virtual stage_limits limits() const noexcept { return {}; }
    virtual void start(std::span<block_op* const> ops) noexcept = 0;
};

}  // namespace sluice
