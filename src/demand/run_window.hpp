// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include <sluice/demand/unit_visit.hpp>

namespace sluice::demand::detail {

/// The way to a place in a run, as a number: the units that ended before, in order.
using way_hash = std::uint64_t;
inline constexpr way_hash way_begin = 0x9e3779b97f4a7c15;

[[nodiscard]] inline way_hash way_on(way_hash way, unit_id unit) noexcept {
    // splitmix64: ways that differ in one unit have nothing in common.
    std::uint64_t x = way + 0x9e3779b97f4a7c15 * (std::uint64_t{unit} + 1);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

/// A run as it is kept.
struct kept_run {
    std::vector<unit_visit> visits;
    std::vector<way_hash> ways;        ///< before each visit, and at the end
    std::vector<double> service_left;  ///< before each visit, and 0 at the end
    std::vector<double> path_left;

    [[nodiscard]] std::size_t size() const noexcept { return visits.size(); }
};

/// A state of a window.
struct window_mark {
    std::uint64_t added = 0;  ///< runs, ever
    std::uint64_t rates = 0;  ///< changes with the rates
};

/// The newest runs of a class.
class run_window {
 public:
    run_window(std::size_t capacity, const service_rates& rates)
        : capacity_(capacity), rates_(rates) {}

    /// The oldest makes room.
    void add(std::span<const unit_visit> visits);
    void set_rates(const service_rates& rates);

    [[nodiscard]] const service_rates& rates() const noexcept { return rates_; }
    [[nodiscard]] std::size_t size() const noexcept { return runs_.size(); }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] const kept_run& operator[](std::size_t i) const noexcept { return runs_[i]; }
    [[nodiscard]] window_mark mark() const noexcept { return now_; }
    /// Whether what was made of the runs at `mark` should be made anew: at other rates, or once a
    /// quarter of the runs is new. Tables cost much more than what is looked up in them, and one
    /// run in a hundred changes little.
    [[nodiscard]] bool moved_since(window_mark mark) const noexcept {
        return mark.rates != now_.rates ||
               now_.added - mark.added > (mark.added == 0 ? 0 : runs_.size() / 4);
    }

 private:
    void cost(kept_run& run) const;

    std::size_t capacity_;
    service_rates rates_;
    std::deque<kept_run> runs_;
    window_mark now_;
};

}  // namespace sluice::demand::detail
