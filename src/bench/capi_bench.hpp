// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

namespace sluice::bench {

struct capi_bench_options {
    std::uint64_t requests = 20'000;  ///< per case and API
};

/// Submit to ready, by one API.
struct capi_bench_row {
    std::string name;  ///< of the case
    std::string api;   ///< "c++" or "c"
    double p25_ns = 0, p50_ns = 0, p75_ns = 0;
    double allocations = 0;  ///< per request, up to its release, of all threads
};

/// What the C API adds in a case: of pairs of requests, one by each API, the difference.
struct capi_bench_overhead {
    std::string name;
    double p25_ns = 0, p50_ns = 0, p75_ns = 0;
};

/// One call, of many made back to back; medians.
struct capi_bench_call {
    std::string call;
    double cpp_ns = 0, c_ns = 0;
};

struct capi_bench_result {
    std::vector<capi_bench_row> rows;
    std::vector<capi_bench_overhead> overheads;  ///< one per case
    std::vector<capi_bench_call> calls;
};

/// Measures what the C API costs over the C++ API: two pipelines of the same options, one by each,
/// to which requests go in turns, the first of each pair by either. A request has one block, which
/// is in L1 already, so that nothing moves; the engine drives. Cases: on a loop of the caller's
/// (calls alone, no thread takes part) and on threads of the pipeline's own with its event
/// descriptor (as an engine sees it); L1 owned by the library, and by the engine with the block
/// submitted as resident. The C side is the shared library, whose copy of everything is its own.
///
/// \return what a pipeline or a call says; kInternal: a request was not as described
[[nodiscard]] absl::StatusOr<capi_bench_result> run_capi_bench(const capi_bench_options& options);

}  // namespace sluice::bench
