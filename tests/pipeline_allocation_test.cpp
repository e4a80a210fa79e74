// SPDX-License-Identifier: Apache-2.0
// What a request may allocate once a pipeline has warmed up: at most four times per request, and
// nothing per block.
#include <sluice/pipeline.hpp>

#include <array>

#include <catch2/catch_test_macros.hpp>

#include "support/allocation_counter.hpp"
#include "support/rig.hpp"

namespace sluice {
namespace {

constexpr std::uint32_t most_blocks = 48;

/// Serves requests one after the other, each of `blocks` cached blocks that are neither in L1 nor
/// in L2 any more.
void serve(test::rig& r, std::uint32_t requests, std::uint32_t blocks) {
    std::array<block_key, most_blocks> keys;
    std::array<request_event, 8> events;
    for (std::uint32_t i = 0; i < requests; ++i) {
        for (std::uint32_t b = 0; b < blocks; ++b) {
            keys[b] = block_key::from_u64(1 + (i % 3) * most_blocks + b);
        }
        request_spec spec;
        spec.keys = std::span(keys).first(blocks);
        spec.prompt_tokens = std::uint64_t{blocks} * 16 + 1;
        const auto h = r.pipe->submit(spec);
        r.loop.run_until_idle();
        while (r.pipe->poll_events(events) > 0) {
        }
        (void)r.pipe->compute_done(*h);
        (void)r.pipe->release(*h);
        r.loop.run_until_idle();
        while (r.pipe->poll_events(events) > 0) {
        }
        r.loop.run_until_idle();
    }
}

TEST_CASE("pipeline: at most four allocations per request, none per block") {
    test::rig r({.slots = 50, .l2_blocks = 16, .library_computes = false});
    r.fill(1, 3 * most_blocks);
    r.open(r.options());
    constexpr std::uint32_t requests = 60;
    serve(r, requests, most_blocks);  // warm
    serve(r, requests, 2);

    const std::uint64_t gets = r.l3->stats().gets;
    std::uint64_t many = 0;
    std::uint64_t few = 0;
    {
        const test::allocation_counter count;
        serve(r, requests, most_blocks);
        many = count.allocations();
    }
    CHECK(r.l3->stats().gets >= gets + requests * (most_blocks - 2));  // they did move
    {
        const test::allocation_counter count;
        serve(r, requests, 40);
        few = count.allocations();
    }
    CAPTURE(many, few);
    CHECK(many <= 4 * requests);
    CHECK(many == few);
    r.close();
}

}  // namespace
}  // namespace sluice
