// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/coro/event.hpp>
#include <sluice/coro/scope.hpp>
#include <sluice/coro/task.hpp>
#include <sluice/cost/cost_model.hpp>
#include <sluice/device/device.hpp>
#include <sluice/kv/block_table.hpp>
#include <sluice/kv/slot_pool.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/sched/policy.hpp>
#include <sluice/sched/request_view.hpp>
#include <sluice/stage/await_operation.hpp>
#include <sluice/stage/compute.hpp>
#include <sluice/stage/stage.hpp>
#include <sluice/store/store.hpp>

namespace sluice::baselines {

/// How engines load today.
enum class baseline_kind : std::uint8_t {
    /// vLLM with LMCache as CALVO (arXiv 2603.21257) measured it: one control loop, first in first
    /// out; fetches all blocks of a request, copies all, computes, and only then looks at the next.
    /// With a policy, which CALVO's ablations need, that says which is next.
    coupled,
    /// An asynchronous connector: some requests load at once, their blocks in order of arrival; L1
    /// is allocated whole before a load starts, and admission stops at the first request that does
    /// not fit; a request is handed on as a whole; what has been loaded is seen when the running
    /// compute ends, or at the next poll while nothing computes.
    async,
};

/// What a baseline is made of: the seams of a pipeline. What is pointed to must outlive it.
struct baseline_options {
    baseline_kind kind = baseline_kind::coupled;
    const layout* l1 = nullptr;  ///< of one group that needs all blocks
    std::uint32_t block_tokens = 16;
    class compute* compute = nullptr;
    class device* device = nullptr;
    class store* store = nullptr;
    std::uint64_t l2_bytes = 256 * mib;
    double write_back_share = 0.125;  ///< of L2 that blocks on their way to the store may pin
    stage_limits fetch = pipeline_options{}.fetch;
    stage_limits copy = pipeline_options{}.copy;
    stage_limits write_back = pipeline_options{}.write_back;
    std::uint32_t loading = 8;                     ///< async: requests that load at once
    duration poll = std::chrono::milliseconds(1);  ///< async: for loads, while nothing computes
    class policy* policy = nullptr;    ///< coupled: who is next; null: the first that arrived
    class cost_model* cost = nullptr;  ///< predicts for the policy, and learns; null: nobody does
    loop* home = nullptr;
};

struct baseline_spec {
    std::span<const block_key> keys;  ///< of the prompt's full blocks; borrowed until the outcome
    std::uint64_t prompt_tokens = 0;
    std::uint32_t pages = 0;  ///< that it will touch (loaded, computed, generated); 0: the prompt's
    /// It keeps its pages after its outcome, if that is good, until `release`.
    bool keep_pages = false;
    std::uint32_t max_load_blocks = std::numeric_limits<std::uint32_t>::max();
    time_point arrival = never;   ///< `never`: now
    time_point deadline = never;  ///< of the first token, for the policy
    bool write_back = true;
    void* user = nullptr;  ///< comes back in compute jobs and the outcome
};

/// How a request ended: `computed` if the status is OK, else failed.
struct baseline_outcome {
    absl::Status status;
    void* user = nullptr;
    std::uint32_t id = 0;      ///< for `release`
    time_point begun = never;  ///< the control loop took it up
    request_report report;     ///< predictions only if there is a cost model
};

/// A serving loop like those that the pipeline is compared with, over the same seams, caches,
/// transfer windows and checksums, as coroutines of one loop, on real or virtual time.
///
/// Everything on the loop's thread, but for `create`.
class baseline {
 public:
    using outcome_function = std::function<void(const baseline_outcome&)>;

    /// \param on_outcome  called once per request, on the loop.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<baseline>> create(
        const baseline_options& options, outcome_function on_outcome);
    /// \pre `closed` has been awaited, or nothing was ever submitted.
    ~baseline();

    void submit(const baseline_spec& spec);
    /// A request that keeps its pages has no more use for them. Once; its id is another's then.
    void release(std::uint32_t id);

    /// Until every request has had its outcome, write-back has ended and pages are released.
    task<void> idle();
    /// Forgets what L1 and L2 hold. \pre idle
    void drop_caches();
    /// `idle`, and then ends the control loop; nothing may be submitted any more.
    task<void> close();

    [[nodiscard]] pipeline_stats stats() const;

 private:
    using level = block_entry::level;

    struct request {
        explicit request(loop& home) noexcept : moved(home) {}
        baseline_spec spec;
        std::uint32_t id = 0;
        std::uint32_t order = 0;  // of arrival
        std::uint32_t limit = 0;  // blocks that may be loaded
        std::uint32_t plan = 0;   // blocks to load
        std::uint32_t pages_needed = 0;
        bool kept = false;  // by the engine, until `release`
        bool storing = false;
        std::uint32_t in_flight = 0;
        bool looked_up = false;
        bool landed = false;  // async: nothing of it is to be waited for
        bool seen = false;    // async: the control loop knows
        std::vector<std::uint8_t> found;
        std::vector<std::uint32_t> entries;  // of the block table, per block
        std::vector<slot_id> pages;
        std::vector<std::uint32_t> own;      // blocks that it brings to L1 itself
        std::vector<std::uint32_t> pending;  // of them, those that wait for the stage at work
        std::size_t next_pending = 0;
        event moved;  // a transfer that it may wait for has ended
        request_view view;
        demand_shape fetch_shape, copy_shape, compute_shape;  // as predicted from
        baseline_outcome outcome;
    };

    // What an operation carries beside what its seam asks for.
    template <class Base>
    struct moving : Base {
        baseline* owner = nullptr;
        request* of = nullptr;
        std::uint32_t index = 0;  // of the block in its request
        slot_id l2_slot = no_slot;
        std::uint64_t bytes = 0;
        double charge = 0;
        time_point started{};
        bool credited = false;
    };
    using fetch_op = moving<store_get>;
    using copy_op = moving<device_copy>;
    using put_op = moving<store_put>;

    template <class Op>
    struct op_pool {
        std::deque<Op> all;
        std::vector<Op*> unused;
        Op& take() {
            if (unused.empty()) {
                return all.emplace_back();
            }
            Op& op = *unused.back();
            unused.pop_back();
            return op;
        }
    };

    // Uses of the stage template; the members of baseline with these names do the work.
    template <class Op, taken (baseline::*Take)(request&, Op*&),
              void (baseline::*Start)(std::span<Op* const>)>
    struct use_of {
        using op_type = Op;
        baseline& b;
        taken take(std::uint32_t id, Op*& op) { return (b.*Take)(*b.requests_[id], op); }
        void start(std::span<Op* const> ops) { (b.*Start)(ops); }
    };

    baseline(const baseline_options& options, outcome_function on_outcome,
             std::span<std::byte> l2_memory);

    // baseline.cpp: the way of a request
    task<void> serve_one_by_one();
    task<void> admit();
    task<void> load_one(request& r);
    task<void> step();
    task<void> look_up(request& r);
    task<void> compute_one(request& r);
    task<void> store_back(request& r);
    void finish(request& r, absl::Status status);
    void retire(request& r);

    // baseline_order.cpp: who is next, by predictions
    task<void> meet_waiting();
    [[nodiscard]] request& take_next();
    void predict(request& r);
    void learn(request& r);

    // baseline_memory.cpp: L1, L2 and what moves between them
    [[nodiscard]] bool reserve(request& r);
    void release_pages(request& r);
    void give_up_pages(request& r);
    task<bool> bring(request& r);
    void publish(request& r);
    [[nodiscard]] slot_id take_l1(std::uint32_t owner);
    [[nodiscard]] slot_id take_l2(std::uint32_t entry);
    void forget_l1(slot_id s);
    void forget_l2(slot_id s);
    void let_go_of_l2(slot_id s);
    void lose(request& r, std::uint32_t index);
    [[nodiscard]] bool in_place(const request& r, std::uint32_t index);
    [[nodiscard]] bool still_comes(const request& r, std::uint32_t index);
    void ended(request& r);

    // baseline_transfers.cpp: operations
    taken take_fetch(request& r, fetch_op*& op);
    void start_fetches(std::span<fetch_op* const> ops);
    void fetched(fetch_op& op);
    taken take_copy(request& r, copy_op*& op);
    void start_copies(std::span<copy_op* const> ops);
    void copied(copy_op& op);
    taken take_copy_out(request& r, copy_op*& op);
    void start_copy_outs(std::span<copy_op* const> ops);
    void copied_out(copy_op& op);
    taken take_put(request& r, put_op*& op);
    void start_puts(std::span<put_op* const> ops);
    void put_ended(put_op& op);
    template <class Op>
    [[nodiscard]] Op* next_op(request& r, op_pool<Op>& pool);

    /// Sends the request's pending blocks through a stage, and waits for the last.
    template <class Use>
    task<void> run(request& r, stage<Use>& through) {
        r.next_pending = 0;
        r.in_flight = static_cast<std::uint32_t>(r.pending.size());
        if (r.in_flight > 0) {
            through.ready(r.id, {.rank = 0, .arrival_order = r.order});
        }
        while (r.in_flight > 0) {
            r.moved.reset();
            co_await r.moved;
        }
        through.withdraw(r.id);
        r.pending.clear();
    }

    [[nodiscard]] std::byte* l2_at(slot_id s) const noexcept {
        return l2_memory_.data() + std::uint64_t{s} * block_bytes_;
    }
    const baseline_options o_;
    const outcome_function on_outcome_;
    loop& home_;
    const std::uint64_t block_bytes_;
    std::span<std::byte> l2_memory_;

    block_table table_;
    slot_pool l1_;
    slot_pool l2_;
    std::vector<std::unique_ptr<request>> requests_;  // by id
    std::vector<std::uint32_t> free_ids_;
    std::uint32_t submitted_ = 0;
    std::uint32_t live_ = 0;  // without an outcome, or still storing
    std::uint32_t write_back_slots_ = 0;

    std::deque<request*> waiting_;   // in order of arrival
    std::deque<request*> admitted_;  // async: loading or ready, in order of arrival
    std::uint32_t loading_ = 0;  // async: of those, whose load the control loop has not seen end
    bool closing_ = false;
    event work_;       // the control loop has something to look at
    event may_admit_;  // async
    event room_;       // pages of L1 have been given back
    event quiet_;      // live_ is 0

    struct poll_timer : timer {
        explicit poll_timer(baseline& owner) noexcept
            : timer([](timer& t) noexcept { static_cast<poll_timer&>(t).b.work_.set(); }),
              b(owner) {}
        baseline& b;
    } poll_timer_{*this};

    op_pool<fetch_op> fetch_ops_;
    op_pool<copy_op> copy_ops_;
    op_pool<put_op> put_ops_;
    use_of<fetch_op, &baseline::take_fetch, &baseline::start_fetches> fetch_use_{*this};
    use_of<copy_op, &baseline::take_copy, &baseline::start_copies> copy_use_{*this};
    use_of<copy_op, &baseline::take_copy_out, &baseline::start_copy_outs> copy_out_use_{*this};
    use_of<put_op, &baseline::take_put, &baseline::start_puts> put_use_{*this};
    stage<decltype(fetch_use_)> fetch_;
    stage<decltype(copy_use_)> copy_;
    stage<decltype(copy_out_use_)> copy_out_;
    stage<decltype(put_use_)> put_;
    pipeline_stats stats_;
    scope tasks_;
};

}  // namespace sluice::baselines
