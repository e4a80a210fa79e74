// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

namespace sluice::demand {

struct call_record {
    std::uint32_t prompt_tokens = 0;
    std::uint32_t completion_tokens = 0;
    std::uint32_t cached_tokens = 0;
    double seconds = 0;
};
struct unit_record {
    std::string unit;
    std::string backend;
    std::vector<call_record> calls;
    bool llm() const { return backend == "llm"; }
};
struct run_record {
    std::string application;
    std::uint64_t run = 0;
    std::vector<unit_record> units;
};
absl::StatusOr<std::vector<run_record>> read_runs(const std::string& file);

}  // namespace sluice::demand
