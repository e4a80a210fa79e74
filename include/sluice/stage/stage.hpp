// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <span>
#include <vector>

#include <sluice/base/bytes.hpp>
#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>
#include <sluice/sched/ready_queue.hpp>

namespace sluice {

/// How much a stage's executor may have in flight. One operation is always allowed, however large.
struct stage_limits {
    std::uint32_t operations = 64;  ///< at least 1
    std::uint64_t bytes = 4 * mib;  ///< at least 1
};

/// What a stage has done; counters since it was made.
struct stage_counters {
    std::uint64_t operations = 0;
    std::uint64_t bytes = 0;
    duration busy{0};  ///< at least one operation was in flight
};

/// What `Use::take` found for a request.
enum class taken : std::uint8_t {
    started,  ///< an operation was handed out
    last,     ///< as well, and the request has no more work at this stage
    nothing,  ///< the request has no work at this stage any more
    blocked,  ///< what its next operation needs is not there: park the request, try the next one
    starved,  ///< nor is it there for any request behind this one
};

/// One independently progressing step of the pipeline: a dispatcher that decides what starts next,
/// by rank, and an executor with a bounded number of operations in flight.
///
/// The dispatcher queues *requests*; the best request's next operation starts whenever there is
/// credit, so a better request overtakes at block granularity. `Use` makes it a concrete stage:
///  - `Use::op_type`: an operation, with members `std::uint64_t bytes`, `double charge` (predicted
///    seconds), and for the stage `time_point started` and `bool credited`;
///  - `taken take(std::uint32_t request, op_type*& op)`: the request's next operation;
///  - `void start(std::span<op_type* const>)`: gives operations to the executor, which ends each by
///    way of `finished`;
///  - optionally `void held_back(std::uint32_t request)`: only L1 holders of a worse rank keep the
///    request from being the next.
///
/// \par Thread safety
/// Everything on the stage's loop.
template <class Use>
class stage {
 public:
    using op_type = typename Use::op_type;

    stage(loop& home, Use& use, stage_limits limits)
        : home_(home), use_(use), limits_(limits), turn_(*this) {}

    /// `request` has work here, or its rank has changed.
    void ready(std::uint32_t request, const ready_queue::entry& e) {
        queue_.set(request, e);
        kick();
    }
    /// Ranks a request anew if it is queued here.
    void rerank(std::uint32_t request, const ready_queue::entry& e) {
        if (queue_.contains(request)) {
            queue_.set(request, e);
            kick();
        }
    }
    void withdraw(std::uint32_t request) noexcept {
        queue_.erase(request);
        std::erase(parked_, request);
    }

    /// Something that a parked request may have waited for is there. `entry_of(request)` gives what
    /// it is queued under.
    template <class EntryOf>
    void unpark(EntryOf entry_of) {
        for (const std::uint32_t request : parked_) {
            queue_.set(request, entry_of(request));
        }
        parked_.clear();
        starved_ = false;
        kick();
    }
    [[nodiscard]] bool waits_for_memory() const noexcept { return starved_ || !parked_.empty(); }

    /// An operation has ended. Returns how long it had the resource: since it started, or since the
    /// operation before it ended, whichever is later; so overlapping operations count once.
    duration finished(op_type& op) noexcept {
        const time_point now = home_.now();
        const duration service = now - (op.started > last_end_ ? op.started : last_end_);
        last_end_ = now;
        ++counters_.operations;
        counters_.bytes += op.bytes;
        give_back(op);
        return service;
    }

    /// The operation no longer counts against the limits, though it may still be under way: for
    /// transfers that were given up.
    void give_back(op_type& op) noexcept {
        if (op.credited) {
            op.credited = false;
            bytes_ -= op.bytes;
            if (--operations_ == 0) {
                counters_.busy += home_.now() - busy_since_;
            }
            kick();
        }
    }

    [[nodiscard]] stage_counters counters() const noexcept {
        stage_counters c = counters_;
        if (operations_ > 0) {
            c.busy += home_.now() - busy_since_;
        }
        return c;
    }
    [[nodiscard]] std::uint32_t in_flight() const noexcept { return operations_; }
    [[nodiscard]] std::uint64_t bytes_in_flight() const noexcept { return bytes_; }
    [[nodiscard]] std::size_t queued() const noexcept { return queue_.size() + parked_.size(); }

    /// Dispatches at the end of the loop's turn, once, so that completions of one turn make one
    /// batch.
    void kick() noexcept {
        if (!turn_.posted) {
            turn_.posted = true;
            home_.post(turn_);
        }
    }

 private:
    static constexpr std::size_t batch_size = 64;

    struct turn : work {
        explicit turn(stage& owner) noexcept
            : work([](work& w) noexcept {
                  auto& self = static_cast<turn&>(w);
                  self.posted = false;
                  self.owner.dispatch();
              }),
              owner(owner) {}
        stage& owner;
        bool posted = false;
    };

    [[nodiscard]] bool has_credit() const noexcept {
        return operations_ == 0 || (operations_ < limits_.operations && bytes_ < limits_.bytes);
    }

    void dispatch() noexcept {
        std::array<op_type*, batch_size> batch;
        std::size_t n = 0;
        while (!starved_ && !queue_.empty() && has_credit()) {
            const std::uint32_t request = queue_.top();
            op_type* op = nullptr;
            const taken what = use_.take(request, op);
            switch (what) {
            case taken::started:
            case taken::last:
                if (operations_++ == 0) {
                    busy_since_ = home_.now();
                }
                bytes_ += op->bytes;
                op->credited = true;
                op->started = home_.now();
                queue_.charge(request, op->charge);
                if (what == taken::last) {
                    queue_.erase(request);
                }
                batch[n++] = op;
                if (n == batch.size()) {
                    use_.start({batch.data(), n});
                    n = 0;
                }
                break;
            case taken::nothing: queue_.erase(request); break;
            case taken::starved: starved_ = true; break;
            case taken::blocked:
                queue_.erase(request);
                parked_.push_back(request);
                break;
            }
        }
        if (n > 0) {
            use_.start({batch.data(), n});
        }
        if constexpr (requires(std::uint32_t request) { use_.held_back(request); }) {
            if (const std::uint32_t request = queue_.held_back(); request != ready_queue::nobody) {
                use_.held_back(request);
            }
        }
    }

    loop& home_;
    Use& use_;
    stage_limits limits_;
    ready_queue queue_;
    std::vector<std::uint32_t> parked_;
    bool starved_ = false;
    std::uint32_t operations_ = 0;
    std::uint64_t bytes_ = 0;
    time_point busy_since_{};
    time_point last_end_{};
    stage_counters counters_;
    turn turn_;
};

}  // namespace sluice
