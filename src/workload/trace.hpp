// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace sluice::workload {

/// Tokens in a block of the Mooncake trace format.
inline constexpr std::uint32_t trace_block_tokens = 512;

/// A line of a trace.
struct trace_request {
    std::uint64_t timestamp_ms = 0;
    std::uint32_t input_length = 0;  ///< tokens, at least 1
    std::uint32_t output_length = 0;
    std::vector<std::uint64_t> hash_ids;  ///< one per started block; equal ids, equal prefixes
    std::uint64_t line = 0;               ///< of the file, from 1; 0: of no file
};

struct trace_limits {
    std::size_t max_line_bytes = std::size_t{1} << 20;
    std::uint32_t max_input_tokens = 100'000'000;
};

/// Reads a trace in the Mooncake format, a JSON object per line: `timestamp` (ms), `input_length`,
/// `output_length`, `hash_ids` (below 2^63). Other keys are errors; blank lines are skipped. Memory
/// is bounded by the longest line allowed.
class trace_reader {
 public:
    /// \return kNotFound: no such file; kInvalidArgument: a directory; kPermissionDenied.
    [[nodiscard]] static absl::StatusOr<trace_reader> open(const std::string& path,
                                                           trace_limits limits = {});

    trace_reader(trace_reader&&) noexcept;
    trace_reader& operator=(trace_reader&&) noexcept;
    ~trace_reader();

    /// The next request; empty at the end of the file.
    ///
    /// \return kInvalidArgument, naming file, line and key: not JSON, a key missing, unknown, twice
    /// there or of a wrong type, a number out of range, as many `hash_ids` as `input_length` does
    /// not need, a timestamp before that of the line above, a line that is too long, a file without
    /// requests; kUnavailable: the file could not be read. After an error there is nothing more to
    /// read.
    [[nodiscard]] absl::StatusOr<std::optional<trace_request>> next();

 private:
    struct state;
    explicit trace_reader(std::unique_ptr<state> s) noexcept;

    std::unique_ptr<state> state_;
};

/// The first `limit` requests of a trace, all with 0. Errors as of `trace_reader`, which does not
/// look behind the limit.
[[nodiscard]] absl::StatusOr<std::vector<trace_request>> read_trace(const std::string& path,
                                                                    std::size_t limit = 0,
                                                                    trace_limits limits = {});

/// One line as JSON, without its line break; what `trace_reader` reads.
[[nodiscard]] std::string to_json_line(const trace_request& request);

}  // namespace sluice::workload
