// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <sluice/coro/loop.hpp>
#include <sluice/kv/block_set.hpp>
#include <sluice/kv/block_table.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/sched/request_view.hpp>

namespace sluice::detail {

struct request;

/// Says to another loop "look at me": many raises before it looks are one look. `Flags` tell what
/// for.
class request_signal : private work {
 public:
    using handler = void (*)(void* context, request&, std::uint32_t flags) noexcept;

    explicit request_signal(request& owner) noexcept
        : work([](work& w) noexcept { static_cast<request_signal&>(w).look(); }), owner_(owner) {}

    /// Where the looks go; once, before the first raise.
    void bind(loop& target, void* context, handler on_look) noexcept {
        target_ = &target;
        context_ = context;
        on_look_ = on_look;
    }

    /// Any thread.
    void raise(std::uint32_t flags) noexcept {
        // acq_rel: what the raiser wrote before is seen by the look that takes the flags.
        if (flags_.fetch_or(flags, std::memory_order_acq_rel) == 0) {
            target_->post(*this);
        }
    }

    /// Whether a look is still to come.
    [[nodiscard]] bool pending() const noexcept {
        return flags_.load(std::memory_order_acquire) != 0;
    }

 private:
    void look() noexcept {
        on_look_(context_, owner_, flags_.exchange(0, std::memory_order_acq_rel));
    }

    request& owner_;
    loop* target_ = nullptr;
    void* context_ = nullptr;
    handler on_look_ = nullptr;
    std::atomic<std::uint32_t> flags_{0};
};

/// What control tells the mover, what the engine does, and what the mover tells control.
namespace tell {
inline constexpr std::uint32_t attach = 1, plan = 2, ranks = 4, bury = 8;                  // to io
inline constexpr std::uint32_t bind = 16, cancel = 32, release = 64, done = 128, taken = 256;
inline constexpr std::uint32_t submitted = 1, looked_up = 2, served = 4, settled = 8, retire = 16,
                               engine_computed = 32;
}  // namespace tell

enum class phase : std::uint8_t {
    idle,        ///< not attached yet
    looking_up,
    planning,    ///< control decides how much to load
    loading,
    queued,      ///< loaded; waits for compute
    computing,
    settled,     ///< has had its outcome
    buried,
};

/// One ranked stage of a request as published by control.
enum ranked_stage : std::uint8_t { rank_fetch, rank_copy, rank_compute, ranked_stages };

/// What io counts and control reads; written before a `served` or later signal is raised.
struct progress {
    std::atomic<std::uint64_t> fetch_left{0};  ///< bytes that nobody has started to fetch
    std::atomic<std::uint64_t> copy_left{0};   ///< bytes not in L1
    std::atomic<std::int64_t> fetch_ns{0};     ///< of the stages' resources
    std::atomic<std::int64_t> copy_ns{0};
    std::atomic<std::int64_t> compute_ns{0};
};

/// Everything about one submitted request. Each part has one owner; see the headings.
struct request {
    request(std::uint32_t i, std::uint32_t e) noexcept
        : index(i), epoch(e), to_io(*this), from_engine(*this), to_control(*this) {}

    // --- Set by submit, then constant.
    std::uint32_t index;
    std::uint32_t epoch;
    std::uint32_t order = 0;   ///< arrival order, for ties
    std::uint32_t blocks = 0;  ///< named blocks per group
    std::uint32_t per_group = 0;  ///< pages per group
    std::uint32_t resident = 0;
    std::uint32_t max_load = 0;
    bool write_back = true;
    duration load_timeout{0};
    void* user = nullptr;
    std::uint64_t tokens = 0;

    // --- Signals between the loops.
    request_signal to_io;
    request_signal from_engine;
    request_signal to_control;

    // --- Published by control, read by io.
    std::atomic<std::uint64_t> ranks[ranked_stages] = {};
    std::atomic<std::uint32_t> flow{0};
    std::atomic<float> flow_weight{1};
    std::uint32_t plan_blocks = 0;    ///< with tell::plan
    float fetch_per_byte = 0;         ///< predicted seconds, with tell::plan
    float copy_per_byte = 0;
    float compute_seconds = 0;

    // --- io: written there; control reads what it is told of.
    phase at = phase::idle;
    bool wants_l1 = false;      ///< in the reservation queue, or waits for the engine
    bool holder = false;        ///< its L1 reservation is granted
    bool copied_once = false;
    bool timed_out = false;
    bool fetch_stuck = false;    ///< its fetch cannot go on unless it holds L1
    bool released = false;
    bool retired = false;        ///< control has been told that io is done with it
    bool job_running = false;
    bool lookup_running = false;
    bool quiesce_owed = false;   ///< a `quiesced` event was promised
    bool storing = false;        ///< write-back has begun and not ended
    std::uint8_t revoked = 0;
    std::uint32_t plan = 0;      ///< blocks to load
    std::uint32_t waiting = 0;   ///< blocks not in L1 yet
    std::uint32_t fetching = 0;  ///< of those, not in L2 yet
    std::uint32_t landed = 0;    ///< of those, in L2
    std::uint32_t draining = 0;
    std::uint32_t out_left = 0;   ///< blocks whose L1 page write-back still reads
    std::uint32_t store_left = 0; ///< blocks that write-back has not ended
    std::uint32_t stored = 0;
    std::uint64_t fetch_left = 0;
    std::uint64_t copy_left = 0;
    std::vector<block_key> keys;        ///< until looked up
    std::vector<std::uint8_t> found;    ///< what the lookup answers
    std::vector<block_ref> ref_memory;  ///< [0] names the request, the rest are its blocks
    std::vector<block_set> inbound;     ///< per inbound stage: blocks queued there
    block_set copies;                   ///< landed blocks that may be copied
    std::unique_ptr<std::pair<block_set, block_set>> outgoing;  ///< write-back: copy-outs, puts
    std::vector<slot_id> slots;         ///< while holder (and until given back)
    request_report report;
    time_point wanted_at = never;
    std::uint64_t copied_bytes = 0;     ///< by copies that it started

    progress counts;

    // --- The event queue's, under its lock.
    struct {
        request* next = nullptr;
        std::uint32_t pending = 0;  ///< bit per event_kind
        std::uint32_t outcome_blocks = 0;
        std::uint32_t loaded_blocks = 0;
        std::uint32_t stored_blocks = 0;
        bool busy = false;
        absl::Status status;
    } events;

    // --- Engine's pages, under the table's lock until tell::bind.
    std::vector<slot_id> bound;
    bool has_bound = false;
    std::atomic<bool> outcome_known{false};  ///< io does not write `report` any more
    std::atomic<bool> pages_known{false};    ///< loaded: `slots` may be asked for
    std::atomic<bool> compute_reported{false};
    std::atomic<std::int64_t> first_token_ns{-1};  ///< engine drives
    double compute_seconds_told = 0;

    // --- control
    request_view view;
    std::uint64_t planned_fetch = 0;  ///< bytes, as planned
    std::uint64_t planned_copy = 0;
    std::uint32_t min_query = 1;
    std::uint32_t told = 0;  ///< signals from io not yet seen by the request's task
    std::coroutine_handle<> awaiting;

    /// Makes a finished request a fresh one, under a new epoch, and keeps its buffers unless they
    /// are large.
    void recycle() noexcept {
        constexpr std::size_t keep = 4096;  // elements
        auto k = std::move(keys);
        auto f = std::move(found);
        auto b = std::move(ref_memory);
        auto i = std::move(inbound);
        auto c = std::move(copies);
        auto s = std::move(slots);
        const std::uint32_t at_index = index;
        const std::uint32_t next_epoch = epoch + 1 == 0 ? 1 : epoch + 1;
        std::destroy_at(this);
        std::construct_at(this, at_index, next_epoch);
        if (b.capacity() <= keep && s.capacity() <= keep) {
            keys = std::move(k);
            found = std::move(f);
            ref_memory = std::move(b);
            inbound = std::move(i);
            copies = std::move(c);
            slots = std::move(s);
            keys.clear();
            found.clear();
            ref_memory.clear();
            slots.clear();
        }
    }

    [[nodiscard]] block_ref* refs() const noexcept { return const_cast<block_ref*>(ref_memory.data()) + 1; }
    [[nodiscard]] bool settled() const noexcept { return at >= phase::settled; }
    [[nodiscard]] request_handle handle() const noexcept { return {index, epoch}; }
};

/// The index of the request that a reference belongs to.
inline std::uint32_t request_index(const block_ref& ref) noexcept {
    return (&ref - ref.index - 1)->entry;
}

}  // namespace sluice::detail
