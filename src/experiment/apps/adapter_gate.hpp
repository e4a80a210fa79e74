// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include <sluice/coro/loop.hpp>
#include <sluice/sched/policy.hpp>

#include "warm_pool.hpp"

namespace sluice::experiment {

/// Calls come to the engine through here when it has places for so many adapters at once: the best
/// first, but one whose adapter has no place is skipped, and those behind it go on. An adapter
/// keeps its place while a call of it is in the engine; it takes it from host memory, and the call
/// waits there until it is loaded.
///
/// \par Thread safety
/// On the loop only.
class adapter_gate {
 public:
    /// \param host, on  outlive it
    /// \param pass  takes a call
    adapter_gate(std::uint32_t places, warm_pool& host, warm_pool::rank_of_task rank,
                 std::function<void(std::uint32_t call)> pass, loop& on);
    ~adapter_gate();
    adapter_gate(const adapter_gate&) = delete;
    adapter_gate& operator=(const adapter_gate&) = delete;

    void add(std::uint32_t call, std::uint32_t task, demand::warm_key adapter);
    /// \pre it has been passed
    void ended(demand::warm_key adapter);

    /// Adapters that have a place.
    [[nodiscard]] std::size_t placed() const noexcept { return calls_of_.size(); }

 private:
    struct waiter {
        std::uint32_t call = 0;
        std::uint32_t task = 0;
        demand::warm_key adapter = 0;
    };
    struct loading : timer {
        loading(adapter_gate& g, std::uint32_t c) noexcept;
        adapter_gate& owner;
        const std::uint32_t call;
    };

    void fill();

    const std::uint32_t places_;
    warm_pool& host_;
    const warm_pool::rank_of_task rank_;
    const std::function<void(std::uint32_t)> pass_;
    loop& loop_;
    std::vector<waiter> waiting_;  // by arrival
    std::map<demand::warm_key, std::uint32_t> calls_of_;
    std::map<std::uint32_t, std::unique_ptr<loading>> loading_;
};

}  // namespace sluice::experiment
