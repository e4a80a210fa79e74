// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "byte_stream.hpp"
#include "fabric_options.hpp"
#include "stored_file.hpp"

namespace sluice::command {

struct put_file_options {
    std::string name;  ///< under which it is fetched
    std::uint64_t block_bytes = mib;
    bool replace = false;  ///< another file of that name is removed first
};

struct put_file_result {
    file_manifest file;
    std::uint64_t already_there = 0;  ///< blocks
    double seconds = 0;               ///< of reading and putting
};

/// Puts what the source has: its blocks, and then the manifest. Holds 64 MiB of it at a time.
///
/// Blocks are immutable, so a name that is taken keeps its file: the same file may be put again
/// (which brings back what was evicted of it), another one only with `replace`.
///
/// \return kAlreadyExists: the name is taken; kResourceExhausted: no room; kUnavailable: nodes or
///         the file could not be reached; kAborted: the file changed meanwhile; as `check` of a
///         manifest. The message says how many blocks are concerned. Then there is no manifest.
[[nodiscard]] absl::StatusOr<put_file_result> put_file(fabric_client& client, byte_source& from,
                                                       const put_file_options& options);

/// The manifest of a file.
/// \return kNotFound: no such file; as `decode`; as gets end.
[[nodiscard]] task<absl::StatusOr<file_manifest>> read_manifest(fabric_client& client,
                                                                const file_keys& keys);

}  // namespace sluice::command
