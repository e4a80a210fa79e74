// SPDX-License-Identifier: Apache-2.0
// Where a pipeline puts blocks in L2.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/stage/block_stage.hpp>

#include "support/rig.hpp"

namespace sluice {
namespace {

using test::rig;

/// Passes blocks on and remembers where each was.
class recorder final : public block_stage {
 public:
    explicit recorder(loop& home) : home_(home) {}
    [[nodiscard]] std::string_view name() const noexcept override { return "recorder"; }
    void start(std::span<block_op* const> ops) noexcept override {
        for (block_op* const op : ops) {
            seen.emplace_back(op->key, op->memory.data());
            done_.push_back(std::make_unique<answer>(*op));
            home_.post(*done_.back());
        }
    }

    std::vector<std::pair<block_key, std::byte*>> seen;

 private:
    struct answer : work {
        explicit answer(block_op& o) noexcept
            : work([](work& w) noexcept { static_cast<answer&>(w).op.complete(absl::OkStatus()); }),
              op(o) {}
        block_op& op;
    };
    loop& home_;
    std::vector<std::unique_ptr<answer>> done_;  // kept: posted work must not move
};

/// Least recently used without exception.
class strict_order final : public eviction_order {
 public:
    explicit strict_order(std::uint32_t slots) : inner_(slots) {}
    void became_cold(slot_id slot) override { inner_.became_cold(slot); }
    void no_longer_cold(slot_id slot) noexcept override { inner_.no_longer_cold(slot); }
    [[nodiscard]] slot_id victim() const noexcept override { return inner_.victim(); }

 private:
    least_recently_used inner_;
};

/// How many blocks of a request land next to each other, on average, once L2 has been in use for
/// long: four requests at a time for prefixes of 8 to 16 blocks, some of them used before.
double run_under_churn(bool strict) {
    constexpr std::uint32_t l2_blocks = 128;
    constexpr std::uint32_t prefixes = 60;
    constexpr int rounds = 100;
    rig r({.l2_blocks = l2_blocks});
    r.fill(0, prefixes * 16);
    recorder stage(r.loop);
    auto o = r.options();
    o.inbound = {&stage};
    if (strict) {
        o.l2_eviction = std::make_unique<strict_order>(l2_blocks);
    }
    r.open(std::move(o));
    std::mt19937 random(1);
    for (int i = 0; i < rounds; ++i) {
        if (i == rounds / 2) {
            stage.seen.clear();
        }
        std::vector<request_handle> handles;
        for (int n = 0; n < 4; ++n) {
            const auto prefix = static_cast<std::uint32_t>(random() % prefixes);
            handles.push_back(r.submit(prefix * 16, 8 + prefix % 9));
        }
        r.run();
        for (const request_handle h : handles) {
            CHECK(r.pipe->release(h).ok());
        }
        r.loop.run_until_idle();
    }
    const pipeline_stats s = r.pipe->stats();
    CHECK(s.l2_evictions > 4 * l2_blocks);
    CHECK(s.l2_free + s.l2_cold == s.l2_slots);
    double runs = 1;
    for (std::size_t i = 1; i < stage.seen.size(); ++i) {
        runs += stage.seen[i].second != stage.seen[i - 1].second + r.s_.block_bytes;
    }
    r.close();
    return static_cast<double>(stage.seen.size()) / runs;
}

TEST_CASE("pipeline: blocks land next to each other where eviction lets neighbours go") {
    const double run = run_under_churn(false);
    const double strict = run_under_churn(true);
    CAPTURE(run, strict);
    CHECK(run > 3.5);
    CHECK(strict < 2.5);
}

}  // namespace
}  // namespace sluice
