// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include <sluice/kv/block_table.hpp>
#include <sluice/kv/slot_pool.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/sched/indexed_heap.hpp>
#include <sluice/stage/stage.hpp>

#include "event_queue.hpp"
#include "operations.hpp"
#include "rank_key.hpp"
#include "request.hpp"

namespace sluice::detail {

/// The half of the pipeline that moves bytes: block table, L1 and L2, reservations, and the stages
/// from lookup to put. Calls no user code but the seams; takes ranks as control publishes them.
///
/// Lives on the I/O loop: everything here runs there, but for `stats` and what says otherwise.
class mover {
 public:
    mover(const pipeline_options& options, loop& io, loop& control, event_queue& events,
          std::span<std::byte> l2_memory, std::uint64_t l2_stride,
          std::unique_ptr<eviction_order> l2_eviction);
    mover(const mover&) = delete;
    mover& operator=(const mover&) = delete;
    ~mover();

    /// Signals of a request: `context` is the mover.
    static void look(void* self, request& r, std::uint32_t flags) noexcept;

    /// Called when a request can be buried; true if its memory may be used again, false if the
    /// engine has just raised its signal.
    std::function<bool(request&)> on_buried;
    /// Called at the end of a turn after which nothing is in flight.
    std::function<void()> on_quiet;

    /// No more puts; makes hung transfers fail now.
    void begin_close();
    /// Any thread: the pages of a request whose `pages_known` is set.
    [[nodiscard]] std::vector<slot_id> pages(const request& r) const {
        const std::scoped_lock lock(pages_mutex_);
        return {r.slots.data(), r.slots.data() + r.slots.size()};
    }
    /// Any thread. Nothing is in flight.
    [[nodiscard]] bool quiet() const noexcept { return quiet_.load(std::memory_order_acquire); }

    /// Any thread: counters as of the end of the last turn in which something changed.
    [[nodiscard]] pipeline_stats stats() const;

 private:
    using level = block_entry::level;
    struct worst_first {
        bool operator()(const rank_key& a, const rank_key& b) const noexcept { return b < a; }
    };

    // The uses of the stage template; see the members of the same names.
    struct lookup_use {
        using op_type = lookup_op;
        mover& m;
        taken take(std::uint32_t r, op_type*& op) { return m.take_lookup(r, op); }
        void start(std::span<op_type* const> ops) { m.start_lookups(ops); }
    };
    struct fetch_use {
        using op_type = fetch_op;
        mover& m;
        taken take(std::uint32_t r, op_type*& op) { return m.take_fetch(r, op); }
        void start(std::span<op_type* const> ops) { m.start_fetches(ops); }
        void held_back(std::uint32_t r) { m.fetch_held_back(r); }
    };
    struct inbound_use {
        using op_type = inbound_op;
        mover& m;
        std::uint8_t at;
        taken take(std::uint32_t r, op_type*& op) { return m.take_inbound(at, r, op); }
        void start(std::span<op_type* const> ops) { m.start_inbound(at, ops); }
    };
    struct copy_use {
        using op_type = copy_op;
        mover& m;
        taken take(std::uint32_t r, op_type*& op) { return m.take_copy(r, op); }
        void start(std::span<op_type* const> ops) { m.start_copies(ops); }
    };
    struct compute_use {
        using op_type = compute_op;
        mover& m;
        taken take(std::uint32_t r, op_type*& op) { return m.take_compute(r, op); }
        void start(std::span<op_type* const> ops) { m.start_computes(ops); }
    };
    struct copy_out_use {
        using op_type = copy_op;
        mover& m;
        taken take(std::uint32_t r, op_type*& op) { return m.take_copy_out(r, op); }
        void start(std::span<op_type* const> ops) { m.start_copy_outs(ops); }
    };
    struct put_use {
        using op_type = put_op;
        mover& m;
        taken take(std::uint32_t r, op_type*& op) { return m.take_put(r, op); }
        void start(std::span<op_type* const> ops) { m.start_puts(ops); }
    };
    template <class Use>
    struct staged_use {
        template <class... Args>
        staged_use(loop& io, stage_limits limits, Args&&... args)
            : use{std::forward<Args>(args)...}, run(io, use, limits) {}
        Use use;
        stage<Use> run;
    };

    // mover.cpp: a request's way from submit to loaded
    void obey(request& r, std::uint32_t flags);
    void attach(request& r);
    taken take_lookup(std::uint32_t id, lookup_op*& op);
    void start_lookups(std::span<lookup_op* const> ops);
    void lookup_done(lookup_op& op);
    void looked_up(request& r);
    void forget_keys(request& r);
    void begin_plan(request& r, std::uint32_t blocks);
    void set_plan(request& r, std::uint32_t k);
    [[nodiscard]] std::uint32_t usable(const request& r, std::uint32_t limit) const;
    void rerank(request& r);
    void rerank_fetch(const request& r);
    void check_loaded(request& r);
    void tell_progress(request& r, std::uint32_t what);
    void load_timed_out(request& r);
    void stop_loading(request& r);

    // mover_outcome.cpp: compute, outcome, burial
    taken take_compute(std::uint32_t id, compute_op*& op);
    void start_computes(std::span<compute_op* const> ops);
    void compute_done(compute_op& op);
    void settle(request& r, event_kind kind, absl::Status status = absl::OkStatus());
    void maybe_quiesced(request& r);
    void maybe_retire(request& r);
    void bury(request& r);
    void abort_all();
    void update_quiet();

    // mover_fetch.cpp: L3 to L2
    [[nodiscard]] bool begin_ref(request& r, block_ref& ref);
    void detach_ref(request& r, block_ref& ref);
    void drop_ref(request& r, block_ref& ref);
    void lose_ref(request& r, block_ref& ref);
    void shorten(request& r, std::uint32_t limit);
    void queue_inbound(request& r, std::uint8_t at, std::uint32_t index);
    taken take_fetch(std::uint32_t id, fetch_op*& op);
    void start_fetches(std::span<fetch_op* const> ops);
    void fetch_overdue(fetch_op& op);
    void fetch_done(fetch_op& op);
    taken take_inbound(std::uint8_t at, std::uint32_t id, inbound_op*& op);
    void start_inbound(std::uint8_t at, std::span<inbound_op* const> ops);
    void inbound_done(inbound_op& op);
    void start_moving(std::uint32_t entry, slot_id s);
    void join_waiters(std::uint32_t entry, slot_id s, bool first);
    void left_stage(std::uint32_t entry, slot_id s, const absl::Status& status,
                    const request* starter);
    void landed(std::uint32_t entry, const request* starter);
    void lost(std::uint32_t entry);
    void count_failure(const absl::Status& why);
    void check_store();

    // mover_l2.cpp: memory of L2
    [[nodiscard]] slot_id acquire_idle_l2(const request& r, std::uint32_t index);
    [[nodiscard]] slot_id acquire_l2(request& r, std::uint32_t index);
    [[nodiscard]] slot_id steal_l2(request& r);
    [[nodiscard]] bool may_take(const request& taker, std::uint32_t entry);
    [[nodiscard]] bool stop_warming();
    void evict_l2(slot_id s);
    void l2_left(std::uint32_t entry, slot_id s, slot_pool::left what);
    void l2_room();
    void note_victim(request& r);

    // mover_reserve.cpp: reservations of L1
    void want_l1(request& r);
    void want_soon(request& r, bool fetch_stuck);
    void fetch_held_back(std::uint32_t id);
    void consider_wants();
    [[nodiscard]] bool wants_now(const request& r) const;
    void grant_all();
    [[nodiscard]] bool can_grant(const request& r);
    [[nodiscard]] bool revoke_for(request& r);
    [[nodiscard]] bool grant(request& r);
    void granted(request& r);
    void ungrant(request& r);
    void give_back_page(std::uint32_t group, slot_id s);
    [[nodiscard]] slot_id take_page(std::uint32_t group, std::uint32_t owner, bool spare = false);
    void unmap_l1(std::uint32_t entry);
    [[nodiscard]] bool keep_pages(request& r, std::uint32_t from, std::uint32_t to);
    [[nodiscard]] bool make_private(request& r, std::uint32_t from, std::uint32_t to);
    void bind_pages(request& r);

    // mover_prewarm.cpp: requests that nobody waits for
    void check_warm(request& r);
    [[nodiscard]] bool revoke_warm(const request& r);
    [[nodiscard]] bool is_counted_on(std::uint32_t entry);

    // mover_copy.cpp: L2 to L1
    void land(request& r, block_ref& ref);
    void finish_ref(request& r, block_ref& ref);
    taken take_copy(std::uint32_t id, copy_op*& op);
    void start_copies(std::span<copy_op* const> ops);
    void copy_done(copy_op& op);
    void l1_left(std::uint32_t group, std::uint32_t entry, slot_id s, slot_pool::left what);

    // mover_write_back.cpp: L1 to L2 to L3
    /// The first token is there.
    void computed(request& r);
    void begin_write_back(request& r);
    void store_blocks(request& r);
    void publish_pages(request& r);
    taken take_copy_out(std::uint32_t id, copy_op*& op);
    void start_copy_outs(std::span<copy_op* const> ops);
    void copy_out_done(copy_op& op);
    taken take_put(std::uint32_t id, put_op*& op);
    void drop_put(request& r, std::uint32_t n);
    void start_puts(std::span<put_op* const> ops);
    void put_done(put_op& op);
    void block_stored(request& r, bool ok);

    // Shared helpers
    [[nodiscard]] request& at(std::uint32_t index) noexcept { return *requests_[index]; }
    [[nodiscard]] std::uint32_t groups() const noexcept {
        return static_cast<std::uint32_t>(layout_.groups().size());
    }
    [[nodiscard]] bool library_owned() const noexcept { return owner_ == l1_owner::library; }
    [[nodiscard]] std::byte* l2_address(slot_id s) const noexcept {
        return l2_memory_.data() + std::size_t{s} * l2_stride_;
    }
    [[nodiscard]] std::uint64_t rank_of(const request& r, ranked_stage s) const noexcept {
        return r.ranks[s].load(std::memory_order_relaxed);
    }
    [[nodiscard]] rank_key key_of(const request& r, ranked_stage s) const noexcept {
        return {rank_of(r, s), r.order};
    }
    [[nodiscard]] ready_queue::entry entry_of(const request& r, ranked_stage s) const noexcept {
        return {rank_of(r, s), r.order, r.holder && s != rank_compute,
                r.flow.load(std::memory_order_relaxed),
                r.flow_weight.load(std::memory_order_relaxed)};
    }
    [[nodiscard]] ready_queue::entry arrival_entry(const request& r) const noexcept {
        return {0, r.order, false, 0, 1};
    }
    [[nodiscard]] slot_id& page(request& r, std::uint32_t group, std::uint32_t i) noexcept {
        return r.slots[std::size_t{group} * r.per_group + i];
    }
    /// The request that started an operation, if it still lives.
    [[nodiscard]] request* starter_of(std::uint32_t index, std::uint32_t epoch) noexcept {
        request* const r = index < requests_.size() ? requests_[index] : nullptr;
        return r != nullptr && r->epoch == epoch ? r : nullptr;
    }
    template <class Op>
    void begin_op(Op& op, const request& r, std::uint64_t bytes, float seconds_per_byte) {
        op.owner = this;
        op.starter = r.index;
        op.starter_epoch = r.epoch;
        op.bytes = bytes;
        op.charge = static_cast<double>(seconds_per_byte) * static_cast<double>(bytes);
    }

    const pipeline_options& options_;
    const layout& layout_;
    const l1_owner owner_;
    store* const store_;
    device& device_;
    loop& io_;
    loop& control_;
    event_queue& events_;
    const std::span<std::byte> l2_memory_;
    const std::uint64_t l2_stride_;

    std::vector<request*> requests_;  // by index
    block_table table_;
    slot_pool l2_;
    std::vector<slot_pool> l1_;                      // per group, library-owned only
    indexed_heap<rank_key> l1_queue_;                // library-owned: wait for a reservation
    indexed_heap<rank_key, worst_first> victims_;    // no L1 holder, has blocks in L2
    indexed_heap<rank_key, worst_first> revocable_;  // L1 holder without a copy begun
    // The best that waits for a reservation is tried anew when L1 has room that it had not, or when
    // it may take more from others than it might: trying looks at all of its blocks.
    struct l1_attempt {
        std::uint32_t request = UINT32_MAX;
        std::uint64_t room = 0;
        std::uint64_t order = 0;
    } l1_failed_;
    std::uint64_t l1_room_ = 0;       // grows with what `can_grant` may say yes to
    std::uint64_t l1_order_ = 0;      // grows with changes among ranks of waiters and holders
    std::uint32_t warm_ = 0;          // requests that prewarm and have had no outcome
    std::uint32_t warm_holders_ = 0;  // L1 holders that prewarm: revocable until they have ended
    double mean_grant_wait_ = 0;      // seconds
    std::uint32_t write_back_slots_ = 0;
    std::uint32_t overdue_fetches_ = 0;  // at the store, and nobody waits for them
    std::uint32_t live_ = 0;
    bool store_dead_ = false;
    bool granting_ = false;
    bool closing_ = false;
    mutable std::mutex pages_mutex_;  // `slots` of requests, once the engine may ask for them

    staged_use<lookup_use> lookup_;
    staged_use<fetch_use> fetch_;
    std::deque<staged_use<inbound_use>> inbound_;
    staged_use<copy_use> copy_;
    staged_use<compute_use> compute_;
    staged_use<copy_out_use> copy_out_;
    staged_use<put_use> put_;
    op_pool<lookup_op> lookups_;
    op_pool<fetch_op> fetches_;
    op_pool<inbound_op> inbounds_;
    op_pool<copy_op> copies_;
    op_pool<compute_op> computes_;
    op_pool<put_op> puts_;

    struct load_timer : timer {
        load_timer(mover& m, std::uint32_t r) noexcept
            : timer([](timer& t) noexcept {
                  auto& self = static_cast<load_timer&>(t);
                  self.owner.load_timed_out(self.owner.at(self.request));
              }),
              owner(m),
              request(r) {}
        mover& owner;
        std::uint32_t request;
    };
    std::vector<std::unique_ptr<load_timer>> load_timers_;  // by request index, made when needed

    std::atomic<bool> quiet_{true};
    mutable std::mutex stats_mutex_;
    pipeline_stats published_;
    pipeline_stats stats_;
    struct publish_turn : work {
        explicit publish_turn(mover& m) noexcept;
        mover& owner;
        bool posted = false;
    } publish_;
    void publish_soon() noexcept;

    /// Requests that control is to plan and rank. The policy is the user's: whom it keeps waiting
    /// is loaded without it. Nearly always all are answered at once, and the timer does not fire.
    struct awaited_plans : timer {
        explicit awaited_plans(mover& m) noexcept;
        void asked(const request& r, time_point now);
        /// One of them, or it waits no more.
        void answered();
        void go_without(time_point now);

        struct waiter {
            std::uint32_t index, epoch;
            time_point until;
        };
        mover& owner;
        std::uint32_t waiting = 0;
        std::vector<waiter> waiters;  // oldest first; also those that have been answered
    } plans_;

    // Requests that may have come to want L1; looked at once per turn, outside of any dispatch.
    struct wants_turn : work {
        explicit wants_turn(mover& m) noexcept;
        mover& owner;
        bool posted = false;
        std::vector<std::pair<std::uint32_t, std::uint32_t>> requests;  // index, epoch
    } wants_;
};

}  // namespace sluice::detail
