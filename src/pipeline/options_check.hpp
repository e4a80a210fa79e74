// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <absl/status/statusor.h>

#include <sluice/pipeline.hpp>
#include <sluice/sched/request_view.hpp>

namespace sluice::detail {

/// What a specification comes to.
struct request_shape {
    std::uint32_t blocks = 0;     ///< named, per group
    std::uint32_t per_group = 0;  ///< pages
    std::uint32_t loadable = 0;   ///< blocks, so that enough tokens are left to compute
};

/// What `pipeline::create`, `submit`, `store_blocks` and `bind` refuse; see there.
[[nodiscard]] absl::Status check_options(const pipeline_options& o);
[[nodiscard]] absl::StatusOr<request_shape> check_spec(const pipeline_options& o,
                                                       const request_spec& spec);
/// What a policy may know of a request from the start.
void describe(const request_spec& spec, time_point now, request_view& v) noexcept;
/// Gives the blocks per group.
[[nodiscard]] absl::StatusOr<std::uint32_t> check_stored(const pipeline_options& o,
                                                         std::span<const block_key> keys,
                                                         std::span<const slot_id> pages);
/// \param what  the call, for the message.
[[nodiscard]] absl::Status check_pages(std::string_view what, const layout& l1,
                                       std::uint32_t per_group, std::span<const slot_id> pages);

}  // namespace sluice::detail
