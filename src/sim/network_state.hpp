// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
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

    /// A time in which it does not answer.
    struct outage {
        instant from = 0;
        instant until = 0;  ///< `no_instant`: for good
        bool dead = false;  ///< else it hangs
    };

    /// To be called before anything else, with the present.
    void advance(instant now) noexcept {
        while (next_ < outages_.size() && outages_[next_].from <= now) {
            const outage& o = outages_[next_++];
            if (o.dead) {
                out.drop(o.from);
                in.drop(o.from);
                dead_until_ = o.until;
                ++life_;
            }
        }
    }
    /// Counts from 1; its blocks are those of this life.
    [[nodiscard]] std::uint16_t life() const noexcept { return life_; }
    [[nodiscard]] bool dead(instant now) const noexcept { return now < dead_until_; }
    /// The first outage that begins before `end` and is not over at `at`, or null.
    [[nodiscard]] const outage* outage_in(instant at, instant end) const noexcept {
        for (const outage& o : outages_) {
            if (o.from < end && at < o.until) {
                return &o;
            }
        }
        return nullptr;
    }
    [[nodiscard]] instant next_death() const noexcept {
        for (std::size_t i = next_; i < outages_.size(); ++i) {
            if (outages_[i].dead) {
                return outages_[i].from;
            }
        }
        return no_instant;
    }
    /// When it answers what it is asked at `at`, but for the latency.
    [[nodiscard]] instant answers(instant at) const noexcept {
        const outage* const o = outage_in(at, std::nextafter(at, no_instant));
        return o == nullptr ? at : o->dead ? no_instant : o->until;
    }

    const double overhead;
    const double latency;
    const double jitter;
    const double loss;
    flow out;  ///< gets
    flow in;   ///< puts
    node_stats stats;

 private:
    static std::vector<speed_step> steps_of(const node_options& o);

    std::vector<outage> outages_;  // by time
    std::size_t next_ = 0;
    std::uint16_t life_ = 1;
    instant dead_until_ = -no_instant;
};

}  // namespace detail

struct network::state {
    state(const network_options& o, loop& on, const std::vector<std::string>& names);

    loop& clock;
    std::vector<detail::node> nodes;
    const std::uint32_t replicas;
    sluice::detail::placement placement;
    detail::presence blocks;
    const std::uint64_t seed;
    std::uint64_t links = 0;

    [[nodiscard]] detail::instant now() const noexcept { return detail::instant_of(clock.now()); }
    /// A block's nodes, best first. \param known  what there is of it, or null
    [[nodiscard]] detail::candidates of(const block_key& key,
                                        const detail::presence::block* known) noexcept {
        if (known == nullptr) {
            return placement.of(key);
        }
        detail::candidates out;
        for (const detail::presence::home& h : blocks.homes(*known)) {
            out.nodes[out.count++] = h.node;
        }
        return out;
    }
    /// Bytes of the block if the node has it, as that of the block's nodes which is at `place`.
    [[nodiscard]] std::uint64_t bytes_at(const detail::node& n, std::uint32_t place,
                                         const detail::presence::block* known) noexcept {
        return known != nullptr && blocks.homes(*known)[place].life == n.life() ? known->bytes : 0;
    }
};

}  // namespace sluice::sim
