// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/coro/thread_loop.hpp>
#include <sluice/stage/stage.hpp>
#include <sluice/store/store.hpp>

#include "../readable_event.hpp"
#include "handles.hpp"
#include "loop.hpp"

namespace sluice::capi {

/// Memory that batches name, made known to the store: by the user for long, or for as long as
/// batches use it. Any thread.
class batch_memory {
 public:
    explicit batch_memory(store& s) noexcept : store_(s) {}
    ~batch_memory();

    /// \return kAlreadyExists: it overlaps what is registered; what the store says.
    absl::Status add(std::span<std::byte> memory);
    /// \return kNotFound; kFailedPrecondition: batches use it.
    absl::Status remove(std::span<std::byte> memory);

    /// For a block of a batch, and back. \return as `add`.
    absl::Status begin_use(std::span<std::byte> block);
    void end_use(std::span<std::byte> block) noexcept;

 private:
    struct range {
        std::size_t size = 0;
        std::uint32_t uses = 0;
        bool by_user = false;
    };
    using ranges = std::map<std::byte*, range>;

    [[nodiscard]] ranges::iterator around(std::span<std::byte> block);
    absl::Status insert(std::span<std::byte> memory, range r);

    store& store_;
    std::mutex mutex_;  // guards the map
    ranges ranges_;
};

/// Batches of blocks between a store and memory of the user's, block by block in the order of their
/// ranks. Members from any thread.
class batch_queue {
 public:
    /// \param on  the user's loop; null: a thread of its own
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<batch_queue>> create(store& s,
                                                                             loop_object* on);
    /// Cancels, aborts what is under way, and waits for it.
    ~batch_queue();

    [[nodiscard]] absl::StatusOr<std::uint64_t> submit(const sluice_batch& given);
    absl::Status cancel(std::uint64_t ticket);
    [[nodiscard]] std::uint32_t poll(std::span<sluice_batch_result> out);
    [[nodiscard]] absl::StatusOr<sluice_batch_result> wait(std::uint64_t ticket,
                                                           std::uint64_t timeout_ns);
    void wake_waiters() noexcept;
    [[nodiscard]] int event_fd() const noexcept { return readable_.fd(); }
    [[nodiscard]] batch_memory& memory() noexcept { return memory_; }

 private:
    struct batch;
    struct batch_op;
    /// The stage's use: blocks of batches, by the index of their batch.
    struct block_use {
        using op_type = batch_op;
        batch_queue& q;
        taken take(std::uint32_t index, batch_op*& op);
        void start(std::span<batch_op* const> ops);
    };
    /// What other threads ask for, done on the loop.
    struct turn : work {
        explicit turn(batch_queue& queue) noexcept;
        batch_queue& owner;
    };

    batch_queue(store& s, loop_object* on, loop& home);

    // On the loop.
    void obey();
    void begin(std::unique_ptr<batch> b);
    void skip_rest(batch& b);
    void op_done(batch_op& op);
    void end_if_over(batch& b);

    void post_turn();  // under the lock

    store& store_;
    loop_object* const on_;
    std::unique_ptr<thread_loop> own_;
    loop& home_;
    batch_memory memory_;

    std::mutex mutex_;  // guards what follows, up to the loop's own
    std::condition_variable changed_;
    struct known {
        bool ended = false;
        bool waited_for = false;
        sluice_batch_result result{};
    };
    std::unordered_map<std::uint64_t, known> known_;  // by ticket; not taken yet
    std::deque<std::uint64_t> ended_;                 // tickets, oldest end first
    std::vector<std::unique_ptr<batch>> submitted_;
    std::vector<std::uint64_t> cancelled_;
    std::uint64_t next_ticket_ = 1;
    std::uint32_t live_ = 0;  // batches that have not ended
    bool woken_ = false;      // nobody may wait any more
    bool closing_ = false;
    bool turn_posted_ = false;
    sluice::detail::readable_event readable_;

    // Of the loop.
    turn turn_;
    block_use use_;
    std::unique_ptr<stage<block_use>> blocks_;
    std::vector<std::unique_ptr<batch>> running_;  // by index
    std::vector<std::uint32_t> free_;
    std::uint32_t next_order_ = 0;
    std::deque<batch_op> ops_;
    std::vector<batch_op*> free_ops_;
};

}  // namespace sluice::capi
