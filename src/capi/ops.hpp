// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <sluice/sluice.h>
#include <sluice/stage/operation.hpp>
#include <sluice/store/store.hpp>

namespace sluice::capi {

/// The keys of an operation as a driver sees them, and what it answers; lives as long as the
/// operation is out.
struct key_list {
    /// \param to  where the answers go when the operation ends; one per key, or none.
    explicit key_list(std::span<const block_key> keys, std::span<std::uint8_t> to = {});
    void deliver() const noexcept;

    std::vector<std::uint8_t> bytes;  ///< SLUICE_KEY_STRIDE each
    std::vector<std::uint8_t> sizes;
    std::vector<std::uint8_t> present;
    std::span<std::uint8_t> answer;
};

/// \name The operations that callbacks carry out, under tokens
/// One table per process. Whoever ends a token first ends its operation; later ones are told that
/// there is no such operation. Any thread. In a child after fork there are none.
///@{
[[nodiscard]] sluice_op issue(operation& op, std::unique_ptr<key_list> keys = nullptr);
/// Takes an operation back without ending it. \return whether it was still out.
bool withdraw(sluice_op token) noexcept;
/// Ends an operation, as `sluice_complete` says.
[[nodiscard]] absl::Status complete(sluice_op op, sluice_status status);
/// The token of an operation that is out, or 0. Looks at all of them.
[[nodiscard]] sluice_op token_of(const operation& op) noexcept;
///@}

}  // namespace sluice::capi
