// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "../workload/trace.hpp"
#include "replay_options.hpp"

namespace sluice::command {

/// Where a trace is looked for.
struct trace_search {
    std::string flag;    ///< a file; nothing else is looked at if it is given
    std::string folder;  ///< as SLUICE_DATA says; nothing else below this is looked at either
    std::vector<std::string> roots;  ///< repositories that may have ../shared/data beside them
};

/// The search of this process: `flag`, the environment, the working directory and the folders above
/// the program.
[[nodiscard]] trace_search default_search(std::string flag);

/// \return the file; empty: there is none, so one is to be made up; kNotFound: what the flag or the
/// variable names is not there.
[[nodiscard]] absl::StatusOr<std::string> find_trace(const trace_search& search);

struct loaded_trace {
    std::vector<workload::trace_request> requests;
    std::string description;  ///< for the report: file and number, or the statistics
    bool made_up = false;
    std::string note;  ///< for the report's notes: why it was made up; else empty
};

/// The first `options.requests` requests of the trace that is found, or of a made-up one. Errors as
/// of `find_trace` and `trace_reader`.
[[nodiscard]] absl::StatusOr<loaded_trace> load_trace(const replay_options& options);

}  // namespace sluice::command
