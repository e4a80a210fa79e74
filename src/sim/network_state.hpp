// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <sluice/sim/network.hpp>

#include "../placement.hpp"
#include "flow.hpp"
#include "presence.hpp"

namespace sluice::sim {
namespace detail {

/// Chance, the same everywhere (SplitMix64).
class draws {
 public:
    explicit draws(std::uint64_t seed) noexcept : state_(seed) {}
    /// In [0, 1).
    double next() noexcept {
        std::uint64_t x = state_ += 0x9e3779b97f4a7c15u;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        return static_cast<double>((x ^ (x >> 31)) >> 11) * 0x1p-53;
    }

 private:
    std::uint64_t state_;
};

/// A memory node: its two queues, and when it does not answer.
class node {
 public:
    explicit node(const node_options& o);

    /// To be called before anything else, with the present.
    void advance(instant now) noexcept {
        while (next_death_ < deaths_.size() && deaths_[next_death_].from <= now) {
            out.drop(deaths_[next_death_].from);
            in.drop(deaths_[next_death_].from);
            ++next_death_;
        }
    }
    /// Counts from 1; its blocks are those of this life.
    [[nodiscard]] std::uint16_t life() const noexcept {
        return static_cast<std::uint16_t>(next_death_ + 1);
    }
    [[nodiscard]] bool dead(instant now) const noexcept {
        return next_death_ > 0 && deaths_[next_death_ - 1].until > now;
    }
    [[nodiscard]] instant next_death() const noexcept {
        return next_death_ < deaths_.size() ? deaths_[next_death_].from : no_instant;
    }
    /// When it answers what it is asked at `at`, but for the latency.
    [[nodiscard]] instant answers(instant at) const noexcept;

    const double overhead;
    const double latency;
    const double jitter;
    const double loss;
    flow out;  ///< gets
    flow in;   ///< puts
    node_stats stats;

 private:
    struct outage {
        instant from, until;
    };
    static std::vector<speed_step> steps_of(const node_options& o);

    std::vector<outage> hangs_;
    std::vector<outage> deaths_;
    std::size_t next_death_ = 0;
};

}  // namespace detail

struct network::state {
    state(const network_options& o, loop& on, const std::vector<std::string>& names);

    loop& clock;
    std::vector<detail::node> nodes;
    sluice::detail::placement placement;
    detail::presence blocks;
    const std::uint64_t seed;
    std::uint64_t links = 0;

    [[nodiscard]] detail::instant now() const noexcept { return detail::instant_of(clock.now()); }
    /// A block's nodes, best first.
    [[nodiscard]] sluice::detail::candidates of(const block_key& key) const noexcept {
        if (nodes.size() == 1) {
            sluice::detail::candidates one;
            one.count = 1;
            return one;
        }
        return placement.of(key);
    }
    /// Bytes of the block if the node has it, as that of the block's nodes which is at `place`.
    [[nodiscard]] std::uint64_t bytes_at(const detail::node& n, std::uint32_t place,
                                         const block_key& key) noexcept {
        const detail::presence::block* const b = blocks.find(key);
        return b != nullptr && b->lives[place] == n.life() ? b->bytes : 0;
    }
};

}  // namespace sluice::sim
