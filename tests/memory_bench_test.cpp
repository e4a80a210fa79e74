// SPDX-License-Identifier: Apache-2.0
// What a queued request takes of the heap.
#include <catch2/catch_test_macros.hpp>

#include "bench/memory_bench.hpp"

namespace {

TEST_CASE("memory: a queued request takes less than a kibibyte, a block of it some lines") {
    const sluice::bench::memory_figures m = sluice::bench::run_memory_bench();
    CHECK(m.bytes_per_request < 1024);
    CHECK(m.bytes_per_block < 96);
}

}  // namespace
