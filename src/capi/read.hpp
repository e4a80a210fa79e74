// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/kv/block_key.hpp>
#include <sluice/kv/layout.hpp>
#include <sluice/sluice.h>

// Arrays that C callers pass, as the library's types.
namespace sluice::capi {

/// `n` keys of `key_size` bytes, one after the other, into `out` in place of what is there.
/// \return kInvalidArgument: NULL, a size that is not 1 to 32, more than 2^24 keys
[[nodiscard]] absl::Status read_keys(const void* keys, std::uint32_t key_size, std::uint64_t n,
                                     std::vector<block_key>& out);

/// \return kInvalidArgument naming group and region
[[nodiscard]] absl::StatusOr<layout> read_layout(const sluice_group* groups,
                                                 std::uint32_t n_groups);

/// \return kInvalidArgument: NULL although n > 0
[[nodiscard]] absl::Status check_array(const void* array, std::uint64_t n, std::string_view name);

}  // namespace sluice::capi
