// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <unordered_map>
#include <vector>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include "../src/experiment/bound.hpp"

using sluice::experiment::bound_job;
using sluice::experiment::clairvoyant_ttft;
using sluice::experiment::ttft_bound;

namespace {

// A request in slots of time: blocks that each take so many slots of the link and of the copy
// engine, and a computation.
struct tiny_job {
    std::uint32_t arrival, blocks, fetch, copy, compute;
};

bound_job job_of(const tiny_job& j) {
    const double fetch = j.blocks * j.fetch;
    const double copy = j.blocks * j.copy;
    const double first = j.fetch;
    const double last = j.copy;
    const double compute = j.compute;
    return {static_cast<double>(j.arrival),
            {{{0, fetch, last + compute},
              {first, copy, compute},
              {std::max(fetch + last, first + copy), compute, 0}}}};
}

ttft_bound bound_of(const std::vector<tiny_job>& jobs) {
    std::vector<bound_job> as;
    for (const tiny_job& j : jobs) {
        as.push_back(job_of(j));
    }
    return clairvoyant_ttft(as);
}

// The best of all schedules, slot by slot; more than the real pipeline may do, since blocks and
// computations may be interrupted.
class all_schedules {
 public:
    explicit all_schedules(const std::vector<tiny_job>& jobs) : jobs_(jobs), at_(jobs.size()) {}

    double smallest_mean() {
        return static_cast<double>(best(0)) / static_cast<double>(jobs_.size());
    }

 private:
    struct progress {
        std::uint32_t fetched = 0, copied = 0, computed = 0;  // slots
    };
    [[nodiscard]] bool done(std::size_t i) const {
        const tiny_job& j = jobs_[i];
        return at_[i].copied == j.blocks * j.copy && at_[i].computed == j.compute;
    }
    [[nodiscard]] bool can(std::size_t i, int stage, std::uint32_t now) const {
        const tiny_job& j = jobs_[i];
        const progress& p = at_[i];
        switch (stage) {
        case 0: return j.arrival <= now && p.fetched < j.blocks * j.fetch;
        case 1: return p.copied < j.blocks * j.copy && p.copied / j.copy < p.fetched / j.fetch;
        default: return p.copied == j.blocks * j.copy && p.computed < j.compute;
        }
    }
    std::uint32_t& of(std::size_t i, int stage) {
        progress& p = at_[i];
        return stage == 0 ? p.fetched : stage == 1 ? p.copied : p.computed;
    }

    // What all requests will still wait, together, from slot `now` on.
    std::uint32_t best(std::uint32_t now) {
        std::uint32_t waiting = 0;
        bool left = false;
        std::uint64_t key = now;
        for (std::size_t i = 0; i < jobs_.size(); ++i) {
            left |= !done(i);
            waiting += jobs_[i].arrival <= now && !done(i) ? 1 : 0;
            key = key << 12 | at_[i].fetched << 8 | at_[i].copied << 4 | at_[i].computed;
        }
        if (!left) {
            return 0;
        }
        if (const auto known = known_.find(key); known != known_.end()) {
            return known->second;
        }
        // One choice per stage, nothing included where there is nothing to do.
        std::array<std::vector<std::size_t>, 3> choices;
        for (int stage = 0; stage < 3; ++stage) {
            for (std::size_t i = 0; i < jobs_.size(); ++i) {
                if (can(i, stage, now)) {
                    choices[static_cast<std::size_t>(stage)].push_back(i);
                }
            }
            if (choices[static_cast<std::size_t>(stage)].empty()) {
                choices[static_cast<std::size_t>(stage)].push_back(none);
            }
        }
        std::uint32_t smallest = UINT32_MAX;
        for (const std::size_t f : choices[0]) {
            for (const std::size_t c : choices[1]) {
                for (const std::size_t p : choices[2]) {
                    step(f, c, p, 1);
                    smallest = std::min(smallest, best(now + 1));
                    step(f, c, p, -1);
                }
            }
        }
        return known_[key] = smallest + waiting;
    }
    void step(std::size_t f, std::size_t c, std::size_t p, int by) {
        const std::array chosen{f, c, p};
        for (int stage = 0; stage < 3; ++stage) {
            const std::size_t i = chosen[static_cast<std::size_t>(stage)];
            if (i != none) {
                of(i, stage) += static_cast<std::uint32_t>(by);
            }
        }
    }

    static constexpr std::size_t none = SIZE_MAX;
    const std::vector<tiny_job>& jobs_;
    std::vector<progress> at_;
    std::unordered_map<std::uint64_t, std::uint32_t> known_;
};

}  // namespace

TEST_CASE("bound: a request alone needs what the pipeline lets it have", "[bound]") {
    // Three blocks: the last lands at 6, its copy ends at 7, compute at 9.
    CHECK(bound_of({{0, 3, 2, 1, 2}}).mean_s() == 9);
    // Copying is the slower: it starts at 1, ends at 7.
    CHECK(bound_of({{5, 3, 1, 2, 0}}).mean_s() == 7);
}

TEST_CASE("bound: shortest remaining first on the link", "[bound]") {
    // The second arrives when the first has 3 of 4 left, and has 2: it goes first.
    const ttft_bound b = bound_of({{0, 4, 1, 1, 0}, {1, 2, 1, 1, 0}});
    CHECK(b.fetch_s == ((6 + 1) + (3 - 1 + 1)) / 2.0);
    CHECK(b.alone_s == (5 + 3) / 2.0);
    CHECK(b.mean_s() == b.fetch_s);
}

TEST_CASE("bound: a busy engine is one too", "[bound]") {
    const ttft_bound b = bound_of({{0, 1, 1, 1, 5}, {0, 1, 1, 1, 3}});
    CHECK(b.compute_s == (5 + 10) / 2.0);
    CHECK(b.mean_s() == b.compute_s);
}

TEST_CASE("bound: no schedule of few blocks is better", "[bound]") {
    const std::uint32_t seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto upto = [&random](std::uint32_t low, std::uint32_t high) {
        return std::uniform_int_distribution<std::uint32_t>(low, high)(random);
    };
    for (int n = 0; n < 300; ++n) {
        std::vector<tiny_job> jobs(upto(1, 3));
        const std::uint32_t fetch = upto(1, 2);
        const std::uint32_t copy = upto(1, 2);
        for (tiny_job& j : jobs) {
            j = {upto(0, 4), upto(1, 3), fetch, copy, upto(0, 3)};
        }
        const double best = all_schedules(jobs).smallest_mean();
        const double bound = bound_of(jobs).mean_s();
        CAPTURE(n, best, bound);
        CHECK(bound <= best + 1e-9);
    }
}

TEST_CASE("bound: reached where only the link is busy", "[bound]") {
    const std::uint32_t seed = std::random_device{}();
    CAPTURE(seed);
    std::mt19937 random(seed);
    for (int n = 0; n < 100; ++n) {
        std::vector<tiny_job> jobs(1 + random() % 3);
        for (tiny_job& j : jobs) {
            j = {static_cast<std::uint32_t>(random() % 5),
                 1 + static_cast<std::uint32_t>(random() % 3), 2, 1, 0};
        }
        CAPTURE(n);
        CHECK(bound_of(jobs).mean_s() == Catch::Approx(all_schedules(jobs).smallest_mean()));
    }
}
