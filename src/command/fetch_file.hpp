// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "byte_stream.hpp"
#include "fabric_options.hpp"
#include "stored_file.hpp"

namespace sluice::command {

struct fetch_file_options {
    std::string name;
    bool checksums = true;          ///< whether the whole file's checksum is compared
    byte_sink* into = nullptr;      ///< null: the bytes are dropped
    byte_source* verify = nullptr;  ///< compared byte for byte; null: with nothing
};

/// A block that did not come as it should have.
struct bad_block {
    std::uint64_t number = 0;
    absl::StatusCode why = absl::StatusCode::kOk;  ///< kNotFound: it is not there
};

struct fetch_file_result {
    static constexpr std::size_t most_listed = 10;

    file_manifest file;
    std::uint64_t fetched_bytes = 0;
    double seconds = 0;
    double p50_s = 0, p99_s = 0;              ///< of one block, from its request to its last byte
    std::uint64_t missing = 0;                ///< blocks that are not there
    std::uint64_t damaged = 0;                ///< blocks that came damaged
    std::uint64_t failed = 0;                 ///< blocks whose nodes did not answer
    std::vector<bad_block> bad;               ///< the first of them
    std::optional<bool> checksum_right;       ///< empty: not compared
    std::optional<std::uint64_t> differs_at;  ///< first byte that is not that of `verify`

    [[nodiscard]] std::uint64_t bad_blocks() const noexcept { return missing + damaged + failed; }
    [[nodiscard]] bool right() const noexcept {
        return bad_blocks() == 0 && checksum_right.value_or(true) && !differs_at.has_value();
    }
};

/// Fetches a file, some 16 MiB of it at a time, and writes it in order up to its first bad block.
/// The sink is not committed.
///
/// \return as `read_manifest`; as reads of `verify` and writes end. Bad blocks are no error here.
[[nodiscard]] absl::StatusOr<fetch_file_result> fetch_file(fabric_client& client,
                                                           const fetch_file_options& options);

}  // namespace sluice::command
