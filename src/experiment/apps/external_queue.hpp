// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <sluice/coro/loop.hpp>
#include <sluice/sched/policy.hpp>

namespace sluice::experiment {

/// A backend that serves so many at once, each for a known time: the best first, and whoever has
/// begun is not interrupted.
///
/// \par Thread safety
/// On the loop only.
class external_queue {
 public:
    struct options {
        std::uint32_t places = 0;  ///< 0: no limit
        bool fifo = false;         ///< by arrival, whatever the ranks say
    };
    /// \param rank  of an item that waits, asked whenever a place is free; smaller goes first
    /// \param done  called at an item's end
    /// \param on  outlives it
    external_queue(options o, std::function<rank_value(std::uint32_t item)> rank,
                   std::function<void(std::uint32_t item)> done, loop& on);
    ~external_queue();
    external_queue(const external_queue&) = delete;
    external_queue& operator=(const external_queue&) = delete;

    void add(std::uint32_t item, double seconds);

    /// Asked when an item has its place: seconds until it begins there; empty: 0.
    std::function<double(std::uint32_t item)> start_seconds;
    /// Called when an item has its place.
    std::function<void(std::uint32_t item)> begun;

    [[nodiscard]] double busy_seconds() const noexcept { return busy_s_; }
    [[nodiscard]] double waited_seconds() const noexcept { return waited_s_; }
    [[nodiscard]] std::uint64_t items() const noexcept { return items_; }

 private:
    struct waiter {
        std::uint32_t item = 0;
        double seconds = 0;
        time_point since{};
    };
    struct place : timer {
        explicit place(external_queue& q) noexcept;
        external_queue& owner;
        std::uint32_t item = 0;
    };

    void fill();
    void ended(place& p);

    const options options_;
    const std::function<rank_value(std::uint32_t)> rank_;
    const std::function<void(std::uint32_t)> done_;
    loop& loop_;
    std::vector<waiter> waiting_;  // by arrival
    std::vector<std::unique_ptr<place>> places_;
    std::vector<place*> free_;
    double busy_s_ = 0;
    double waited_s_ = 0;
    std::uint64_t items_ = 0;
};

}  // namespace sluice::experiment
