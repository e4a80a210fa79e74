// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/base/bytes.hpp>
#include <sluice/base/clock.hpp>
#include <sluice/base/ids.hpp>
#include <sluice/cost/cost_model.hpp>
#include <sluice/kv/block_key.hpp>
#include <sluice/kv/layout.hpp>
#include <sluice/kv/slot_pool.hpp>
#include <sluice/sched/policy.hpp>
#include <sluice/stage/stage.hpp>

namespace sluice {

class block_stage;
class compute;
class device;
class loop;
class store;

namespace demand {
class app_tracker;
}

/// Who gives out the pages of L1.
enum class l1_owner : std::uint8_t {
    engine,   ///< the engine binds pages when a `want_pages` event asks for them
    library,  ///< the pipeline reserves them, and keeps L1 as a cache
};

/// When a request asks for its L1 pages.
enum class reservation_mode : std::uint8_t {
    proactive,     ///< when its first fetch starts (CALVO)
    just_in_time,  ///< so that they are granted about when its fetch ends
    late,          ///< when all its blocks are in L2, or L2 has no room for the rest
};

/// What becomes of a request some of whose blocks cannot be had.
enum class load_failure : std::uint8_t {
    recompute,  ///< a shorter prefix is loaded, the rest is computed
    fail,       ///< the request fails
};

/// What a pipeline is made of. What is pointed to must outlive the pipeline.
struct pipeline_options {
    /// \name The engine's side
    ///@{
    const layout* l1 = nullptr;  ///< required
    std::uint32_t block_tokens = 16;
    l1_owner owner = l1_owner::library;
    /// Given: the library drives compute and requests end `computed`. Null: the engine does.
    class compute* compute = nullptr;
    std::uint32_t concurrent_computes = 1;  ///< jobs in flight
    ///@}

    /// \name The other seams
    ///@{
    class device* device = nullptr;     ///< required
    class store* store = nullptr;       ///< null: no L3, only L1 and L2
    std::vector<block_stage*> inbound;  ///< between fetch and copy, in this order; at most 8
    ///@}

    /// \name Memory
    ///@{
    std::uint64_t l2_bytes = 256 * mib;  ///< pinned; allocated from the device
    reservation_mode reservation = reservation_mode::proactive;
    /// The order of eviction in L2; null: least recently used.
    std::unique_ptr<eviction_order> l2_eviction;
    double write_back_share = 0.125;  ///< of L2 that blocks on their way to the store may pin
    double quarantine_share = 0.5;    ///< of L2; past it the store counts as dead
    ///@}

    /// \name Order and cost
    ///@{
    std::unique_ptr<class policy> policy;  ///< null: sjf
    /// Whose applications the requests are parts of; null: of none. It serves one pipeline at a
    /// time.
    demand::app_tracker* applications = nullptr;
    std::unique_ptr<class cost_model> cost;  ///< null: a linear model that learns from nothing
    bool split = false;  ///< choose how much to load (true) or load all that is cached (false)
    ///@}

    /// \name Limits
    ///@{
    stage_limits fetch{64, 4 * mib};
    stage_limits copy{64, 4 * mib};
    stage_limits write_back{8, 4 * mib};
    std::uint32_t max_requests = 65536;  ///< submitted and not released
    duration fetch_soft_timeout{0};  ///< of a block; zero: the larger of 250 ms and 4 x predicted
    duration fetch_hard_timeout = std::chrono::seconds(10);
    duration load_timeout{0};  ///< of a request, unless it has its own; zero: none
    load_failure on_load_failure = load_failure::recompute;
    ///@}

    /// \name Loops; null: threads of the pipeline's own
    ///@{
    /// With loops of the caller's the pipeline must be closed (`begin_close`, `closed`) before it
    /// is destroyed. Both may be the same loop.
    loop* control = nullptr;  ///< calls the policy and the cost model
    loop* io = nullptr;       ///< moves bytes; must not be delayed
    ///@}
};

/// A request as the engine submits it.
struct request_spec {
    /// Names of the full blocks of the prompt, group-major: block i of group g is keys[g * n + i]
    /// with n = keys.size() / groups. Borrowed for the call. May be empty: nothing is cached.
    std::span<const block_key> keys;
    std::uint64_t prompt_tokens = 0;  ///< at least 1, at least the tokens of the n blocks
    /// Pages per group that the request will touch (loaded, computed, generated); 0: the prompt's.
    std::uint32_t pages = 0;
    /// Engine-owned L1: leading blocks that the engine has in its pages already; not loaded again.
    std::uint32_t resident_blocks = 0;
    std::uint32_t max_load_blocks = std::numeric_limits<std::uint32_t>::max();
    /// Tokens that are computed even if all is cached (a first token needs one).
    std::uint32_t min_query_tokens = 1;
    time_point arrival = never;   ///< `never`: now
    time_point deadline = never;  ///< of the first token
    std::int32_t priority = 0;    ///< for policies of yours; smaller is more urgent
    std::uint32_t tenant = 0;
    double tenant_weight = 1;
    /// The application that it is a part of: its rank and its deadline are the request's too. One
    /// that has ended is as none.
    app_handle application;
    /// Nobody waits for it: its blocks are brought near for requests to come, and it ends `ready`.
    /// Library-owned L1: to L1, where they stay as long as nobody needs the room; engine-owned: to
    /// L2, and `bind` is not asked for. It takes what is idle only: it goes after everything else,
    /// takes memory from nobody, gives up what it has not finished to anybody who needs it, and
    /// ends with what it has when there is no memory for the rest. Nothing is computed;
    /// `prompt_tokens`, `pages`, `min_query_tokens` and `write_back` mean nothing. The outcome is
    /// its last event: there is nothing to release, and `next_ready` does not know it.
    bool prewarm = false;
    rank_value rank;           ///< the engine's own, for the policy `external`; smaller goes first
    duration load_timeout{0};  ///< zero: the pipeline's
    bool write_back = true;    ///< computed blocks go to L2 and the store
    bool tell_lookup = false;  ///< send `looked_up`
    void* user = nullptr;      ///< comes back in events and compute jobs
};

enum class event_kind : std::uint8_t {
    want_pages,  ///< engine-owned L1: `bind` the request's pages (all of them, in one call)
    loaded,      ///< the blocks to load are in L1; library drives: compute is queued
    // One of these, once per request:
    ready,     ///< engine drives: the first `blocks` blocks are in L1, compute the rest
    detached,  ///< as `ready`, but the load timeout passed: `blocks` are what had arrived
    computed,  ///< library drives: the first token is there; `blocks` were loaded
    cancelled,
    failed,  ///< see `status`
    // Afterwards:
    quiesced,  ///< no transfer touches the request's pages any more
    /// Write-back has ended; `blocks` were stored. Always comes after `compute_done` or `computed`,
    /// unless `write_back` is off. Wait for it before pages of the engine's are used for anything
    /// else, and before the end if the blocks are to be in the store then.
    stored,
    /// If the request asked for it; before its other events. `blocks`: the usable prefix that
    /// lookup found.
    looked_up,
};

/// True for the kinds of which every request gets exactly one.
constexpr bool is_outcome(event_kind k) noexcept {
    return k >= event_kind::ready && k <= event_kind::failed;
}

struct request_event {
    event_kind kind = event_kind::failed;
    /// Outcomes: transfers or a computation may still touch the request's pages; a `quiesced`
    /// event follows, and pages of the engine's must not be used for anything else before it.
    bool busy = false;
    std::uint32_t blocks = 0;
    request_handle request;
    void* user = nullptr;
    absl::Status status;
};

/// What happened to a request, and when; instants that did not happen are `never`.
struct request_report {
    time_point arrival = never;
    time_point looked_up = never;
    time_point first_fetch = never;
    time_point fetched = never;  ///< the last block landed in L2
    time_point granted = never;  ///< L1 pages
    time_point first_copy = never;
    time_point loaded = never;
    time_point compute_begin = never;
    time_point first_token = never;  ///< TTFT ends
    stage_seconds predicted;         ///< at admission
    stage_seconds attained;          ///< of the stages' resources
    std::uint32_t hit_blocks = 0;    ///< usable prefix found by lookup
    std::uint32_t planned_blocks = 0;
    std::uint32_t loaded_blocks = 0;
    std::uint64_t bytes_fetched = 0;       ///< by transfers that this request started
    std::uint64_t bytes_deduplicated = 0;  ///< came by transfers that others started
};

/// How far a request is, as of now. Blocks are counted per group where it says so, and else are
/// leading blocks of the prompt.
struct request_progress {
    bool looked_up = false;            ///< `hit_blocks` is known
    std::uint32_t hit_blocks = 0;      ///< usable prefix that lookup found
    std::uint32_t planned_blocks = 0;  ///< to be in L1 before compute; less if one is lost
    std::uint32_t fetching = 0;        ///< over all groups: not in L2 yet
    std::uint32_t loading = 0;         ///< over all groups: not in L1 yet
    stage_seconds predicted;           ///< at admission
};

/// Counters of a pipeline since it was made.
struct pipeline_stats {
    stage_counters fetch, copy, compute, copy_out, put;
    stage_counters inbound;  ///< of all stages of the user's together
    std::uint64_t submitted = 0, outcomes = 0;
    std::uint64_t bytes_deduplicated = 0;
    std::uint64_t l1_hits = 0, l2_hits = 0;  ///< blocks found there when planned
    std::uint64_t blocks_missed = 0;         ///< expected in L3, not there
    std::uint64_t blocks_corrupt = 0;
    std::uint64_t blocks_failed = 0;    ///< for other reasons, timeouts included
    std::uint64_t blocks_verified = 0;  ///< fetched whole; checksums are the store's
    std::uint64_t soft_timeouts = 0, hard_timeouts = 0;
    std::uint64_t l2_evictions = 0, l2_steals = 0, l1_evictions = 0;
    std::uint64_t revocations = 0;
    std::uint64_t stored_blocks = 0, store_drops = 0;
    std::uint64_t prewarm_requests = 0;  ///< that have had their outcome
    std::uint64_t prewarmed_blocks = 0;  ///< over all groups, that were there when they ended
    std::uint64_t policy_faults = 0, cost_faults = 0;
    std::uint32_t l2_slots = 0, l2_free = 0, l2_cold = 0, l2_quarantined = 0;
    std::uint32_t l1_free = 0, l1_cold = 0, l1_quarantined = 0;  ///< library-owned, all groups
    std::uint32_t live_requests = 0;
    double l1_idle_slot_seconds = 0;  ///< granted, before the request's first copy
    /// Mean relative error of predictions, |predicted - actual| / actual.
    stage_seconds relative_error;
    bool store_dead = false;
};

/// What an engine embeds: requests go in; their cached blocks flow L3 to L2 to L1, each stage by
/// itself, in the policy's order; outcomes come back as events.
///
/// \par Thread safety
/// Every member may be called from any thread, concurrently, and none blocks, except that only one
/// thread may destroy the pipeline, and that the destructor waits.
///
/// \par Lifetime of a request
/// `submit` gives a handle. It names the request until its outcome has been taken from
/// `poll_events` and, after `ready`, `detached` or `computed`, `release` has been called (pages
/// given by the library stay the request's until then). A stale handle gives kNotFound.
class pipeline {
 public:
    /// \return kInvalidArgument saying which option is wrong; what the device or store says.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<pipeline>> create(pipeline_options options);

    pipeline(const pipeline&) = delete;
    pipeline& operator=(const pipeline&) = delete;
    /// Cancels what is not finished, waits until no transfer is under way, and ends. \pre with
    /// loops of the caller's: `closed()`.
    ~pipeline();

    /// Starts a request: lookup and loading to L2 begin at once.
    /// \return kInvalidArgument: the specification contradicts itself or the layout;
    ///         kOutOfRange: it can never fit into L1; kResourceExhausted: max_requests;
    ///         kFailedPrecondition: closed. Nothing else happens then.
    [[nodiscard]] absl::StatusOr<request_handle> submit(const request_spec& spec);

    /// Engine-owned L1: gives the request its pages, group-major: pages[g * per_group + i], with
    /// per_group as submitted. `no_slot` marks a hole, allowed where nothing is loaded.
    /// \return kFailedPrecondition: bound already, or the library owns L1; kInvalidArgument: wrong
    ///         number, or a slot out of range; kNotFound: stale handle.
    absl::Status bind(request_handle request, std::span<const slot_id> pages);

    /// Stops waiting: the request ends `detached` with what has arrived, as after its load timeout.
    /// No effect once it is loaded.
    absl::Status detach(request_handle request);

    /// Ends a request early; its outcome is `cancelled` unless it has had one.
    absl::Status cancel(request_handle request);

    /// Gives the request another rank of the engine's own. \return kInvalidArgument: NaN.
    absl::Status set_rank(request_handle request, rank_value rank);

    /// Stores blocks that are in L1, for example generated ones, from these pages, which must not
    /// change before the handle's `stored` event says how many were stored. Blocks that the store
    /// has already are not moved again, and not counted. Never waits for memory: what finds none is
    /// left out. That event is the handle's last (or `cancelled`, if it is cancelled in time).
    /// Pages that the library gave: their request is not released before it. \param keys, pages
    /// group-major, of one length. \return as `submit`.
    [[nodiscard]] absl::StatusOr<request_handle> store_blocks(std::span<const block_key> keys,
                                                              std::span<const slot_id> pages,
                                                              void* user = nullptr);

    /// Engine drives: the first token is there. Starts write-back.
    /// \param compute_seconds  what the computation took, for the cost model; 0: not known.
    /// \return kFailedPrecondition before `ready` or `detached`, or a second time.
    absl::Status compute_done(request_handle request, double compute_seconds = 0);

    /// The engine has no more use for the request or its pages. Before an outcome it cancels.
    absl::Status release(request_handle request);

    /// Takes events, oldest first. \return how many.
    std::size_t poll_events(std::span<request_event> out);
    /// Readable while events are waiting; for the engine's own poll loop. Owned by the pipeline.
    [[nodiscard]] int event_fd() const noexcept;

    /// \name The pages and the story of a request
    /// kNotFound for a stale handle, kFailedPrecondition if it is too early.
    ///@{

    /// Pages of a request that is `loaded`, `ready` or further and not released, group-major; what
    /// was bound, if the engine owns L1.
    [[nodiscard]] absl::StatusOr<std::vector<slot_id>> pages(request_handle request) const;
    /// Any time.
    [[nodiscard]] absl::StatusOr<request_progress> progress(request_handle request) const;
    /// Once it has had its outcome.
    [[nodiscard]] absl::StatusOr<request_report> report(request_handle request) const;
    ///@}

    /// \name When the engine drives compute
    ///@{

    /// Sorts by the last published ranks, best first; what the policy has not ranked yet behind
    /// them, stale handles last. Calls no user code.
    void sort_by_rank(std::span<request_handle> requests) const;
    /// The best request that is ready and has not been given out; a default handle if none is. Its
    /// event may still wait in `poll_events`; `report` says how many blocks were loaded.
    [[nodiscard]] request_handle next_ready();
    ///@}

    /// Refuses new requests and cancels the rest.
    void begin_close();
    /// Nothing is under way any more.
    [[nodiscard]] bool closed() const noexcept;

    [[nodiscard]] pipeline_stats stats() const;
    /// The same and more as Prometheus text.
    [[nodiscard]] std::string metrics_text() const;

 private:
    class impl;
    explicit pipeline(std::unique_ptr<impl> i) noexcept;
    std::unique_ptr<impl> impl_;
};

}  // namespace sluice
