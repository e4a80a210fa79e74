// SPDX-License-Identifier: Apache-2.0
// Random histories of a pipeline, with faults, checked from outside.
//
//     histories_test [--seed N] [--first N] [--count N] [--print] [--no-shrink] [--trace]
//
// SLUICE_HISTORIES: how many (1000); SLUICE_SEED: only that one, told at length. A failing seed is
// printed, and shrunk to a short history that fails the same check.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string_view>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "run_history.hpp"
#include "shrink.hpp"

namespace {

using namespace sluice::histories;

struct choice {
    std::uint64_t first = 1;
    std::uint64_t count = 1000;
    bool print = false;
    bool shrinks = true;
    bool trace = false;
};

/// Seen by the process that watches: which seed is being run, and how much has happened.
struct progress {
    std::uint64_t seed;
    std::uint64_t operations;
    sluice::pipeline_stats sum;
    std::uint64_t simulated;  ///< histories
    sluice::sim::link_stats links;
};

void add(sluice::pipeline_stats& to, const sluice::pipeline_stats& s) {
    to.submitted += s.submitted;
    to.bytes_deduplicated += s.bytes_deduplicated;
    to.l1_hits += s.l1_hits;
    to.l2_hits += s.l2_hits;
    to.blocks_missed += s.blocks_missed;
    to.blocks_corrupt += s.blocks_corrupt;
    to.blocks_failed += s.blocks_failed;
    to.soft_timeouts += s.soft_timeouts;
    to.hard_timeouts += s.hard_timeouts;
    to.l2_evictions += s.l2_evictions;
    to.l2_steals += s.l2_steals;
    to.l1_evictions += s.l1_evictions;
    to.revocations += s.revocations;
    to.stored_blocks += s.stored_blocks;
    to.store_drops += s.store_drops;
    to.policy_faults += s.policy_faults;
    to.cost_faults += s.cost_faults;
}

void add(sluice::sim::link_stats& to, const sluice::sim::link_stats& s) {
    to.gets += s.gets;
    to.puts += s.puts;
    to.misses += s.misses;
    to.timeouts += s.timeouts;
    to.failovers += s.failovers;
}

/// A suite in which nothing rare happens proves little.
void tell_coverage(const progress& all) {
    const sluice::pipeline_stats& s = all.sum;
    fmt::print(
        "{} requests; {} l1 hits, {} l2 hits, {} missed, {} corrupt, {} failed; {} soft and {} "
        "hard timeouts; {} evictions and {} steals in l2, {} evictions in l1, {} revocations; "
        "{} stored, {} dropped; {} policy and {} cost faults\n",
        s.submitted, s.l1_hits, s.l2_hits, s.blocks_missed, s.blocks_corrupt, s.blocks_failed,
        s.soft_timeouts, s.hard_timeouts, s.l2_evictions, s.l2_steals, s.l1_evictions,
        s.revocations, s.stored_blocks, s.store_drops, s.policy_faults, s.cost_faults);
    fmt::print("{} simulated: {} gets and {} puts, {} misses, {} timeouts, {} failovers\n",
               all.simulated, all.links.gets, all.links.puts, all.links.misses, all.links.timeouts,
               all.links.failovers);
}

std::uint64_t number(const char* text) { return std::strtoull(text, nullptr, 10); }

choice choose(int argc, char** argv) {
    choice c;
    if (const char* n = std::getenv("SLUICE_HISTORIES")) {
        c.count = number(n);
    }
    if (const char* seed = std::getenv("SLUICE_SEED")) {
        c.first = number(seed);
        c.count = 1;
    }
    for (int i = 1; i < argc; ++i) {
        const std::string_view arg = argv[i];
        const bool more = i + 1 < argc;
        if (arg == "--seed" && more) {
            c.first = number(argv[++i]);
            c.count = 1;
        } else if (arg == "--first" && more) {
            c.first = number(argv[++i]);
        } else if (arg == "--count" && more) {
            c.count = number(argv[++i]);
        } else if (arg == "--print") {
            c.print = true;
        } else if (arg == "--trace") {
            c.trace = true;
        } else if (arg == "--no-shrink") {
            c.shrinks = false;
        } else {
            fmt::print(
                "histories_test [--seed N] [--first N] [--count N] [--print] [--no-shrink] "
                "[--trace]\n");
            std::exit(2);
        }
    }
    return c;
}

/// Runs them in a process of its own; \return the seed that failed, or 0.
std::uint64_t run_all(const choice& c, progress& shared) {
    const pid_t child = ::fork();
    if (child == 0) {
        for (std::uint64_t seed = c.first; seed < c.first + c.count; ++seed) {
            shared.seed = seed;
            ::alarm(60);
            const verdict v = run(generate(seed));
            if (!v.ok()) {
                ::_exit(1);
            }
            shared.operations += v.operations;
            add(shared.sum, v.stats);
            shared.simulated += v.simulated ? 1 : 0;
            add(shared.links, v.link);
        }
        std::exit(0);  // not _exit: leaks are looked for
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : shared.seed;
}

void tell(const history& h, const verdict& v) {
    fmt::print("{}: {}\n{}{}", v.check, v.what, to_text(h), v.dump);
}

}  // namespace

int main(int argc, char** argv) {
    const choice c = choose(argc, argv);
    if (c.print) {
        for (std::uint64_t seed = c.first; seed < c.first + c.count; ++seed) {
            fmt::print("{}", to_text(generate(seed)));
        }
    }
    void* const page = ::mmap(nullptr, sizeof(progress), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return 2;
    }
    auto& shared = *new (page) progress{};
    const auto begin = std::chrono::steady_clock::now();
    const std::uint64_t failed = run_all(c, shared);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (failed == 0) {
        fmt::print("{} histories, {} operations, {:.1f} s\n", c.count, shared.operations, seconds);
        tell_coverage(shared);
        return 0;
    }
    const history h = generate(failed);
    const verdict v = run_apart(h, true);
    fmt::print("FAILED: seed {} (number {}); again: SLUICE_SEED={} histories_test\n", failed,
               failed - c.first + 1, failed);
    if (v.ok()) {
        fmt::print("but it passes alone\n");
        return 1;
    }
    if (!c.shrinks) {
        tell(h, v);
        return 1;
    }
    fmt::print("{}: {}\nshrinking...\n", v.check, v.what);
    std::fflush(stdout);
    history small = shrink(h, v.check);
    small.trace = c.trace;
    tell(small, run_apart(small, true));
    return 1;
}
