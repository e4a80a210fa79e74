// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include <sluice/coro/loop.hpp>
#include <sluice/demand/warmable.hpp>
#include <sluice/sched/policy.hpp>

namespace sluice::experiment {

/// What it was worth that things were warm, or were not.
struct cold_start_counts {
    std::uint64_t uses = 0;  ///< of what nobody else was using
    std::uint64_t warm = 0;  ///< of them, those that waited for nothing
    double waited_s = 0;     ///< the others, for a start or the rest of one
    /// Held on a guess: from being warm until a visit came for it, or all of it if it was given up.
    double wasted_s = 0;

    void add(const cold_start_counts& other) noexcept;
};

/// Things that take a while to start, so many of them at once: containers, models, adapters in host
/// memory. Room is made by what nobody wants, the longest unused first; then by what a visit or the
/// prewarmer wants, the one that ranks last.
///
/// \par Thread safety
/// On the loop only.
class warm_pool final : public demand::warmable {
 public:
    struct options {
        double start_s = 0;
        std::uint32_t slots = 1;  ///< more only if more are in use at once
        /// The room is there anyway: what holding costs is the share of it that somebody wants.
        bool priced_by_share = false;
    };
    using rank_of_task = std::function<rank_value(std::uint32_t task)>;
    /// \param rank  of a task whose visit waits; smaller goes first
    /// \param on  outlives it
    warm_pool(options o, rank_of_task rank, loop& on);
    ~warm_pool() override;

    /// `task` is who uses it, or one of those; it has that one's rank.
    void join(demand::warm_key key, std::uint32_t task);
    /// `task` does not ask for it any more, and claims nothing. If nobody does, it is wanted by
    /// nobody.
    void part(demand::warm_key key, std::uint32_t task);

    /// A visit of `task` waits for its place, and will use it: it is started if there is room, or
    /// in place of what nobody wants, or only ones that rank behind it do.
    /// \pre it has joined
    void claim(demand::warm_key key, std::uint32_t task);
    /// The visit has ended.
    void unclaim(demand::warm_key key, std::uint32_t task);
    /// It is used from now on, and is not given up before `leave`.
    /// \return seconds until it is warm
    [[nodiscard]] double use(demand::warm_key key);
    void leave(demand::warm_key key);
    /// It is of no use any more. \pre not in use
    void forget(demand::warm_key key);

    [[nodiscard]] const cold_start_counts& counts() const noexcept { return counts_; }
    [[nodiscard]] std::uint32_t held() const noexcept { return held_; }

    // Of the prewarmer.
    [[nodiscard]] demand::warm_cost cost(demand::warm_key key) noexcept override;
    void warm(demand::warm_key key, demand::warm_done done) noexcept override;
    void cool(demand::warm_key key) noexcept override;
    void used(demand::warm_key key) noexcept override;

 private:
    enum class state : std::uint8_t { absent, starting, warm };
    struct item : timer {
        item(warm_pool& p, demand::warm_key k) noexcept;
        warm_pool& owner;
        const demand::warm_key key;
        state is = state::absent;
        std::uint32_t users = 0;
        std::vector<std::uint32_t> tasks;   // that use it now and then
        std::vector<std::uint32_t> claims;  // of them, those with a visit
        bool prewarmed = false;             // the prewarmer wants it
        bool guessed = false;               // started for the prewarmer, and nobody has come yet
        demand::warm_done done;             // while it is starting for the prewarmer
        time_point since;                   // its start
        time_point ready;
        std::uint64_t order = 0;  // of its last use or start
    };
    item& at(demand::warm_key key);
    void start(item& i);
    void give_up(item& i);
    void came(item& i);
    void wrong(item& i);
    void tidy(item& i);
    [[nodiscard]] bool make_room(const std::optional<rank_value>& rank);
    void fill();
    [[nodiscard]] rank_value rank_of(const item& i) const;

    const options options_;
    const rank_of_task rank_;
    loop& loop_;
    std::map<demand::warm_key, std::unique_ptr<item>> items_;
    std::uint32_t held_ = 0;
    std::uint64_t order_ = 0;
    cold_start_counts counts_;
};

}  // namespace sluice::experiment
