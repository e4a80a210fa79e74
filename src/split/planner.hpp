// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/pipeline.hpp>
#include <sluice/sched/indexed_heap.hpp>

#include "../pipeline/rank_key.hpp"
#include "../readable_event.hpp"
#include "message.hpp"

namespace sluice::split {

struct planner_options {
    std::uint32_t workers = 1;  ///< 1 to `max_workers`
    std::uint32_t groups = 1;
    std::uint32_t pages = 0;  ///< of L1, per group
    std::uint32_t block_tokens = 16;
    std::uint32_t max_requests = 65536;
    std::uint32_t block_pieces = 1;  ///< descriptors of a block's copy, over groups
    std::uint64_t block_bytes = 0;   ///< of a block at one rank, over groups
    std::unique_ptr<class policy> policy;
    std::unique_ptr<class cost_model> cost;
    std::function<time_point()> now;  ///< any thread
    /// Whose applications the requests are parts of; outlives the planner. Null: of none.
    demand::app_tracker* applications = nullptr;
};

/// A scheduler's side: it is used like a pipeline, decides like one, and moves nothing. What it
/// decides goes to all workers as plans; what they did comes back as reports. A request is where
/// the last of the ranks is: looked up when it is at all, ready when it is at all, failed when it
/// failed at one and has ended at all.
///
/// \par Thread safety
/// All members, any thread. Only `export_plan` and `import_report` call the policy and the cost
/// model, one at a time; the others never wait for those.
class planner {
 public:
    /// \return as `pipeline::create`.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<planner>> create(planner_options options);
    planner(const planner&) = delete;
    planner& operator=(const planner&) = delete;
    ~planner();

    /// \name As those of `pipeline`
    ///@{
    [[nodiscard]] absl::StatusOr<request_handle> submit(const request_spec& spec);
    absl::Status bind(request_handle h, std::span<const slot_id> pages);
    absl::Status detach(request_handle h);
    absl::Status cancel(request_handle h);
    absl::Status release(request_handle h);
    absl::Status set_rank(request_handle h, rank_value rank);
    absl::Status compute_done(request_handle h, double compute_seconds);
    [[nodiscard]] absl::StatusOr<request_handle> store_blocks(std::span<const block_key> keys,
                                                              std::span<const slot_id> pages,
                                                              void* user);
    std::size_t poll_events(std::span<request_event> out);
    [[nodiscard]] int event_fd() const noexcept { return readable_.fd(); }
    [[nodiscard]] absl::StatusOr<std::vector<slot_id>> pages(request_handle h) const;
    /// Blocks are counted as all missing until the request is ready at all ranks.
    [[nodiscard]] absl::StatusOr<request_progress> progress(request_handle h) const;
    [[nodiscard]] absl::StatusOr<request_report> report(request_handle h) const;
    void sort_by_rank(std::span<request_handle> requests) const;
    [[nodiscard]] request_handle next_ready();
    [[nodiscard]] pipeline_stats stats() const;
    [[nodiscard]] std::string metrics_text() const;
    ///@}

    /// Hands what has been decided to `take(bytes)`, which says whether it has taken them; else
    /// they are part of the next plan. No bytes: nothing to tell.
    /// \return what `take` says; kFailedPrecondition: inside the policy or cost model.
    absl::Status export_plan(const std::function<absl::Status(std::span<const std::byte>)>& take);

    /// \return kInvalidArgument: not a report, of another planner, or of a rank that there is not;
    ///         nothing is done then. kFailedPrecondition as above.
    absl::Status import_report(std::span<const std::byte> bytes);

 private:
    struct entry;
    /// What the policy is yet to be told, or asked; with the request as it was then.
    struct news {
        enum class kind : std::uint8_t { submitted, looked_up, ranked, ended, computed };
        kind what;
        request_view view;
        std::uint32_t loaded_blocks = 0;
        std::uint64_t bytes_fetched = 0;
    };
    /// The policy's turn: one at a time, and not inside another.
    class turn;
    /// Ranks applications, in turns.
    class app_ranks;

    explicit planner(planner_options options);
    absl::Status take_applications();

    // Under the lock.
    [[nodiscard]] entry* find(request_handle h) noexcept;
    [[nodiscard]] const entry* find(request_handle h) const noexcept;
    [[nodiscard]] absl::StatusOr<entry*> take_entry();
    order& tell(const entry& e, order::kind what);
    void tell_once(entry& e, order::kind what, bool& told);
    /// Takes back a request that no worker knows of. \return whether it was such a one
    bool recall(entry& e);
    /// Takes the orders about such requests out.
    void forget_recalled();
    void push(entry& e, event_kind kind, std::uint32_t blocks = 0, bool busy = false,
              absl::Status status = absl::OkStatus());
    void settle(entry& e, event_kind kind, std::uint32_t blocks, bool busy, absl::Status status);
    void learn(entry& e, const fact& f);
    void retire_if_over(entry& e);
    void note(const entry& e, news::kind what);

    // In a turn, without the lock but where it says so.
    void think();
    void tell_policy(const news& n);
    [[nodiscard]] request_view latest(const request_view& noted) const;
    [[nodiscard]] bool waits(request_handle h) const;
    void predict(request_handle h);
    void rerank(request_handle h);
    void rerank_due(time_point now);
    void observe_load(const news& n);
    void observe(stage_id stage, const demand_shape& shape, double seconds, double& error);
    [[nodiscard]] double predict(stage_id stage, const demand_shape& shape);
    [[nodiscard]] demand_shape fetched(std::uint64_t bytes) const noexcept;
    [[nodiscard]] demand_shape copied(std::uint64_t blocks) const noexcept;
    [[nodiscard]] demand_shape computed(const request_view& v,
                                        std::uint64_t loaded_blocks) const noexcept;
    /// Requests that wait for their outcome and are ranked.
    [[nodiscard]] std::vector<request_handle> ranked() const;
    // planner_apps.cpp: the same, of applications
    void rank_applications(time_point now);
    void admit_to_application(const request_view& noted);
    void application_ranked(app_handle a, rank_value rank);

    const planner_options options_;
    std::optional<layout> l1_;  // as many groups and pages, and no memory
    pipeline_options checks_;   // what the checks of a pipeline look at
    const std::uint64_t id_;

    std::mutex turn_mutex_;
    std::atomic<std::thread::id> in_turn_;  // whose turn it is
    std::uint64_t generation_ = 0;          // of the cost model; of the turn, as what follows
    time_point next_interval_ = never;
    indexed_heap<time_point::rep> changes_;  // when a rank changes by itself
    std::unique_ptr<app_ranks> applications_;

    mutable std::mutex mutex_;   // guards what follows
    std::deque<entry> entries_;  // by index
    std::vector<std::uint32_t> free_;
    std::vector<news> news_;
    std::vector<order> orders_;
    std::vector<std::uint64_t> recalled_;    // whose orders are not to be told
    std::vector<request_handle> new_ranks_;  // that the workers do not have
    std::uint64_t next_sequence_ = 1;
    std::deque<request_event> events_;
    sluice::detail::readable_event readable_;
    indexed_heap<sluice::detail::rank_key> offers_;  // ready, and not given out by next_ready
    std::uint32_t next_order_ = 0;
    pipeline_stats stats_;
};

}  // namespace sluice::split
