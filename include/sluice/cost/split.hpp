// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>

#include <sluice/cost/cost_model.hpp>
#include <sluice/sched/request_view.hpp>

namespace sluice {

/// What stands in front of a request: seconds until each stage has worked off what goes before it.
struct stage_backlog {
    double fetch = 0;
    double copy = 0;
    double compute = 0;
};

/// What a second of each stage costs, the others included. The first three are factors on the
/// request's own time, from `shadow_price`; 1 is an idle stage.
struct stage_prices {
    double fetch = 1;
    double copy = 1;
    double compute = 1;
    /// Requests that arrive, per second. Nothing preempts a computation: who comes while one of c
    /// seconds runs waits c / 2 for its end, on average, however small it is itself.
    double arrivals_per_s = 0;
};

/// The price of a stage that was busy for `utilisation`, 0 to 1, of the recent past:
/// 1 / (1 - utilisation), at most 20. So much longer, on average, does a second of work keep the
/// queue of a stage busy (M/M/1), and so much of it is paid by others.
[[nodiscard]] constexpr double shadow_price(double utilisation) noexcept {
    constexpr double highest = 0.95;
    const double busy = utilisation > 0 ? (utilisation < highest ? utilisation : highest) : 0;
    return 1 / (1 - busy);
}

struct split_choice {
    std::uint32_t load_blocks = 0;  ///< k
    double priced_s = 0;            ///< what was minimised, for k
    double ttft_s = 0;              ///< the same with all prices 1: seconds from now to the answer
};

/// TTFT of loading k of the leading blocks and computing the rest, from now:
///
///     TTFT(k) = max(load(k), compute backlog) + compute(n-k | k)
///     load(k) = 0 for k = 0, else
///               max(max(fetch backlog + F/k, copy backlog) + C, fetch backlog + F + C/k)
///
/// F, C: fetch and copy time of the k blocks. The stages overlap by block: either copying is the
/// slower and starts when the first block has landed, or fetching is, and the last block's copy
/// follows it.
[[nodiscard]] double split_ttft(std::uint32_t k, const stage_seconds& own,
                                const stage_backlog& backlog) noexcept;

/// Chooses how many of `blocks` leading blocks to load: the k in 0..blocks with the smallest priced
/// TTFT, where each stage's own time is multiplied by its price (the backlog is not), plus
/// arrivals_per_s * c^2 / 2 * price of compute for a computation of c seconds. All k are tried; on
/// a tie the larger goes, since what is loaded costs no compute.
///
/// \param times  called as `times(k)` for k = 0, 1, ... blocks, in this order; returns the
///               `stage_seconds` of loading k blocks and computing the rest. What is negative or
///               not finite counts as 0.
template <std::invocable<std::uint32_t> Times>
[[nodiscard]] split_choice choose_split(std::uint32_t blocks, Times&& times,
                                        const stage_backlog& backlog = {},
                                        const stage_prices& prices = {}) {
    const auto sane = [](double s) { return std::isfinite(s) && s > 0 ? s : 0.0; };
    split_choice best{0, std::numeric_limits<double>::infinity(), 0};
    for (std::uint32_t k = 0;; ++k) {
        const stage_seconds raw = times(k);
        const stage_seconds own{sane(raw.fetch), sane(raw.copy), sane(raw.compute)};
        const stage_seconds priced{own.fetch * prices.fetch, own.copy * prices.copy,
                                   own.compute * prices.compute};
        const double held_up = prices.arrivals_per_s * own.compute * priced.compute / 2;
        const double here = split_ttft(k, priced, backlog) + held_up;
        if (here <= best.priced_s) {
            best = {k, here, split_ttft(k, own, backlog)};
        }
        if (k == blocks) {
            return best;
        }
    }
}

/// The blocks of a prompt that can be loaded, for `choose_split` below. Every span has an entry per
/// k = 0..blocks: what loading the first k blocks takes. Spans are borrowed for the call.
struct split_shapes {
    std::span<const std::uint64_t> tokens;             ///< that k blocks cover
    std::span<const std::uint64_t> fetch_bytes;        ///< less than copy_bytes where L2 has some
    std::span<const std::uint64_t> fetch_descriptors;  ///< empty: as many as blocks
    std::span<const std::uint64_t> copy_bytes;
    std::span<const std::uint64_t> copy_descriptors;  ///< empty: as many as blocks
    std::uint64_t prompt_tokens = 0;
};

/// The same with times from a cost model. The compute part is the prompt's tokens beyond those
/// loaded. \pre all spans that are not empty have the size of `tokens`, which is at least 1
[[nodiscard]] split_choice choose_split(const cost_model& model, const split_shapes& shapes,
                                        const stage_backlog& backlog = {},
                                        const stage_prices& prices = {});

}  // namespace sluice
