// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>

#include <absl/status/statusor.h>

#include "../json/located.hpp"
#include "load.hpp"

namespace sluice::experiment {

/// Blocks that only one request has are numbered from here on.
inline constexpr std::uint64_t first_own_id = std::uint64_t{1} << 63;

/// Finds ids that do not name their prefix.
class prefix_check {
 public:
    /// Takes the ids of the next request, which stand in that line. \return what is wrong, if
    /// anything
    [[nodiscard]] std::optional<std::string> add(std::span<const std::uint64_t> ids,
                                                 std::uint64_t line);
    /// Whether two requests had an id in common.
    [[nodiscard]] bool shared() const noexcept { return shared_; }

 private:
    struct seen {
        std::uint64_t before = 0;  // the id before it
        bool first = false;        // it had none
        std::uint64_t line = 0;
        std::uint64_t request = 0;
    };

    std::unordered_map<std::uint64_t, seen> seen_;
    std::uint64_t requests_ = 0;
    bool shared_ = false;
};

/// Gives blocks that are a request's own their ids.
class own_ids {
 public:
    /// Appends ids until each whole block of the prompt has one.
    ///
    /// \return kInvalidArgument: all requests together have more than 256 MiB of ids
    [[nodiscard]] absl::Status complete(load_request& r, std::uint32_t block_tokens);

 private:
    std::uint64_t next_ = first_own_id;
};

/// As `make_load`, by the form of the workload. What they have in common is checked before.
[[nodiscard]] absl::StatusOr<load> drawn_load(const json::value& file, const load_options& options);
[[nodiscard]] absl::StatusOr<load> listed_load(const json::value& file,
                                               const load_options& options);
[[nodiscard]] absl::StatusOr<load> trace_load(const load_options& options);

/// The leading share of `blocks` that `hit_ratio` stands for.
[[nodiscard]] std::uint32_t cached_share(std::uint64_t blocks, double hit_ratio) noexcept;

}  // namespace sluice::experiment
