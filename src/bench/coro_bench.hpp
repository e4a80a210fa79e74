// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace sluice::bench {

/// One operation of the coroutine layer beside the same by hand. Medians of several repeats.
struct coro_bench_row {
    std::string operation;
    double ns = 0;           ///< per operation
    double baseline_ns = 0;  ///< the same without coroutines
    double allocations = 0;  ///< per operation
};

/// Rows:
///   await_ready     co_await of an event that is set; baseline: a function call
///   await           a hand-written awaiter that suspends, and its resumption; baseline: a call
///                   through a function pointer
///   await_task      co_await of a task that ends at once; baseline: a function call
///   spawn           a task of its own in a scope; baseline: an allocated callback, called and
///   freed event           set, and its waiter running; baseline: a work item posted and run hop to
///   another loop's thread; baseline: mutex and condition variable hop_eventfd     the same hop;
///   baseline: two threads that block on eventfds hop_spin        the same between loops that spin
///   for 50 us; baseline: as for hop
///
/// Takes some seconds; starts threads. The two threads of a hop run on different processors, where
/// waking one that sleeps costs most.
[[nodiscard]] std::vector<coro_bench_row> run_coro_bench();

}  // namespace sluice::bench
