// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include <sluice/coro/loop.hpp>
#include <sluice/kv/block_set.hpp>
#include <sluice/kv/block_table.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/sched/ready_queue.hpp>
#include <sluice/sched/request_view.hpp>

#include "compact_array.hpp"

namespace sluice::detail {

struct request;

/// Says to another loop "look at me": many raises before it looks are one look. `Flags` tell what
/// for.
class request_signal : private work {
 public:
    /// Where looks go: one for all requests of a pipeline.
    struct target {
        loop* home = nullptr;
        void* context = nullptr;
        void (*look)(void* context, request&, std::uint32_t flags) noexcept = nullptr;
    };

    explicit request_signal(request& owner) noexcept
        : work([](work& w) noexcept { static_cast<request_signal&>(w).look(); }), owner_(owner) {}

    /// Before the first raise; `t` outlives the request.
    void bind(const target& t) noexcept { target_ = &t; }

    /// Any thread.
    void raise(std::uint32_t flags) noexcept {
        // acq_rel: what the raiser wrote before is seen by the look that takes the flags.
        if (flags_.fetch_or(flags, std::memory_order_acq_rel) == 0) {
            target_->home->post(*this);
        }
    }

    /// Whether a look is still to come.
    [[nodiscard]] bool pending() const noexcept {
        return flags_.load(std::memory_order_acquire) != 0;
    }

 private:
    void look() noexcept {
        target_->look(target_->context, owner_, flags_.exchange(0, std::memory_order_acq_rel));
    }

    request& owner_;
    const target* target_ = nullptr;
    std::atomic<std::uint32_t> flags_{0};
};

/// What control tells the mover, what the engine does, and what the mover tells control.
namespace tell {
inline constexpr std::uint32_t attach = 1, plan = 2, ranks = 4, bury = 8;  // to io
inline constexpr std::uint32_t bind = 16, cancel = 32, release = 64, done = 128, taken = 256,
                               detach = 512, rank = 1024,
                               from_engine = bind | cancel | release | done | taken | detach | rank;
inline constexpr std::uint32_t submitted = 1, looked_up = 2, served = 4, settled = 8, retire = 16,
                               engine_computed = 32, ranked = 64;
}  // namespace tell

enum class phase : std::uint8_t {
    idle,  ///< not attached yet
    looking_up,
    planning,  ///< control decides how much to load, and ranks it
    loading,
    queued,  ///< loaded; waits for compute
    computing,
    settled,  ///< has had its outcome
    buried,
};

/// The rank of a request that the policy has not ranked yet: behind those that it has, except for
/// the hopeless; among themselves they go in arrival order.
[[nodiscard]] inline std::uint64_t unranked(rank_tier tier = rank_tier::normal) noexcept {
    return pack_rank({std::numeric_limits<double>::infinity(), tier});
}

/// One ranked stage of a request as published by control.
enum ranked_stage : std::uint8_t { rank_fetch, rank_copy, rank_compute, ranked_stages };

/// A number that one thread writes and others may read at any time.
template <class T>
class progress_number {
 public:
    progress_number(T v = T{}) noexcept : value_(v) {}
    progress_number& operator=(T v) noexcept {
        value_.store(v, std::memory_order_relaxed);
        return *this;
    }
    progress_number& operator+=(T v) noexcept { return *this = *this + v; }
    progress_number& operator-=(T v) noexcept { return *this = *this - v; }
    progress_number& operator++() noexcept { return *this += 1; }
    progress_number& operator--() noexcept { return *this -= 1; }
    operator T() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
    std::atomic<T> value_;
};

/// What io counts and control reads; written before a `served` or later signal is raised.
struct progress {
    progress_number<std::uint64_t> fetch_left;  ///< bytes that nobody has started to fetch
    progress_number<std::uint64_t> copy_left;   ///< bytes not in L1
    progress_number<std::int64_t> fetch_ns;     ///< of the stages' resources
    progress_number<std::int64_t> copy_ns;
    progress_number<std::int64_t> compute_ns;
    progress_number<duration::rep> compute_begin = not_yet;  ///< by io's clock

    static constexpr duration::rep not_yet = never.time_since_epoch().count();
};

/// What of a `request_report` is not known from elsewhere.
struct story {
    time_point looked_up = never;
    time_point first_fetch = never;
    time_point fetched = never;
    time_point granted = never;
    time_point first_copy = never;
    time_point loaded = never;
    std::uint32_t hit_blocks = 0;
    std::uint32_t planned_blocks = 0;
    std::uint32_t loaded_blocks = 0;
    std::uint64_t bytes_fetched = 0;
    std::uint64_t bytes_deduplicated = 0;
};

/// The computed blocks of a request on their way back.
struct write_back_state {
    block_set copy_outs;            ///< blocks that wait to be copied to L2
    block_set puts;                 ///< blocks in L2 that wait to be put
    std::uint32_t pages_read = 0;   ///< blocks whose L1 page is still read
    std::uint32_t blocks_left = 0;  ///< blocks for which this has not ended
    std::uint32_t stored = 0;
};

/// Everything about one submitted request. Each part has one owner; see the headings.
struct request {
    request(std::uint32_t i, std::uint32_t e) noexcept
        : index(i), epoch(e), to_io(*this), to_control(*this) {}

    // --- Set by submit, then constant.
    std::uint32_t index;
    std::uint32_t epoch;
    std::uint32_t order = 0;      ///< arrival order, for ties
    std::uint32_t blocks = 0;     ///< named blocks per group
    std::uint32_t per_group = 0;  ///< pages per group
    std::uint32_t resident = 0;
    std::uint32_t max_load = 0;  ///< blocks that may be loaded: enough must be left to compute
    bool write_back = true;
    bool tell_lookup = false;
    bool storing = false;  ///< nothing is loaded or computed: its blocks are only to be stored
    bool prewarm = false;  ///< nothing is computed, and its pages are given back: as the view's
    duration load_timeout{0};

    // --- Signals between the loops.
    request_signal to_io;
    request_signal to_control;

    // --- Published by control, read by io.
    std::atomic<std::uint64_t> ranks[ranked_stages] = {};
    std::atomic<std::uint32_t> flow{0};
    std::atomic<float> flow_weight{1};
    std::uint32_t plan_blocks = 0;          ///< with tell::plan
    progress_number<float> fetch_per_byte;  ///< predicted seconds; 0: not known yet
    progress_number<float> copy_per_byte;
    progress_number<float> predicted[ranked_stages];  ///< at admission, with tell::plan

    // --- io: written there; control reads what it is told of.
    phase at = phase::idle;
    bool wants_l1 = false;  ///< in the reservation queue, or waits for the engine
    bool holder = false;    ///< its L1 reservation is granted
    bool copied_once = false;
    bool timed_out = false;
    bool fetch_stuck = false;  ///< its fetch cannot go on unless it holds L1
    bool attached = false;     ///< its blocks have entries
    bool released = false;
    bool retired = false;  ///< control has been told that io is done with it
    bool job_running = false;
    bool lookup_running = false;
    bool quiesce_owed = false;  ///< a `quiesced` event was promised
    std::uint8_t revoked = 0;
    // Here since they fit: said by io, or the engine, to others.
    std::atomic<bool> outcome_known{false};  ///< io does not write `report` any more
    std::atomic<bool> pages_known{false};    ///< loaded: `slots` may be asked for
    std::atomic<bool> compute_reported{false};
    progress_number<std::uint32_t> hits;      ///< as `report.hit_blocks`, plus 1; 0: not known
    progress_number<std::uint32_t> plan;      ///< blocks to load
    progress_number<std::uint32_t> waiting;   ///< blocks not in L1 yet
    progress_number<std::uint32_t> fetching;  ///< of those, not in L2 yet
    std::uint32_t draining = 0;
    bool has_bound = false;  ///< of the engine's pages
    std::atomic<rank_tier> tier_told{rank_tier::normal};
    compact_array<block_key> keys;               ///< until looked up
    compact_array<block_ref> blocks_wanted;      ///< all named blocks; tagged with the index
    block_set fetches;                           ///< blocks that wait to be fetched
    block_set landed;                            ///< blocks in L2 that nobody copies yet
    std::unique_ptr<block_set[]> custom;         ///< blocks that wait for each stage of the user's
    std::unique_ptr<write_back_state> outgoing;  ///< while write-back goes on
    compact_array<slot_id> slots;                ///< while holder (and until given back)
    story report;
    time_point wanted_at = never;
    std::uint64_t copied_bytes = 0;  ///< by copies that it started

    progress counts;

    // --- The event queue's, under its lock.
    struct {
        request* next = nullptr;
        std::uint16_t pending = 0;  ///< bit per event_kind
        bool busy = false;
        std::uint32_t outcome_blocks = 0;
        std::uint32_t loaded_blocks = 0;
        std::uint32_t stored_blocks = 0;
        absl::Status status;
    } events;

    // --- Engine's pages, under the table's lock until tell::bind.
    compact_array<slot_id> bound;
    std::atomic<std::int64_t> first_token_ns{-1};  ///< as io or the engine says
    std::atomic<double> rank_told{0};              ///< of the engine's own; then `tier_told`

    // --- control
    request_view view;
    std::uint64_t planned_fetch = 0;  ///< bytes: io says of all hits, control makes it the plan's
    std::uint64_t planned_copy = 0;
    float compute_seconds_told = 0;  ///< by the engine, with tell::engine_computed
    std::uint32_t told = 0;          ///< signals from io not yet seen by the request's task
    std::coroutine_handle<> awaiting;

    /// Makes a finished request a fresh one, under a new epoch.
    void recycle() noexcept {
        const std::uint32_t at_index = index;
        const std::uint32_t next_epoch = epoch + 1 == 0 ? 1 : epoch + 1;
        std::destroy_at(this);
        std::construct_at(this, at_index, next_epoch);
    }

    [[nodiscard]] block_ref* refs() const noexcept { return blocks_wanted.data(); }
    /// Blocks that wait at a stage on the way to L2; 0 is fetch.
    [[nodiscard]] block_set& inbound(std::uint8_t stage) noexcept {
        return stage == 0 ? fetches : custom[stage - 1U];
    }
    /// Whether write-back still reads pages of the request.
    [[nodiscard]] bool pages_read() const noexcept {
        return outgoing != nullptr && outgoing->pages_read > 0;
    }
    /// Of the fit at admission. Any thread.
    [[nodiscard]] stage_seconds predicted_seconds() const noexcept {
        return {double(predicted[rank_fetch]), double(predicted[rank_copy]),
                double(predicted[rank_compute])};
    }
    [[nodiscard]] bool settled() const noexcept { return at >= phase::settled; }
    [[nodiscard]] request_handle handle() const noexcept { return {index, epoch}; }
};

/// The index of the request that a reference belongs to.
inline std::uint32_t request_index(const block_ref& ref) noexcept {
    return compact_array<block_ref>::tag_of(&ref - ref.index);
}

}  // namespace sluice::detail
