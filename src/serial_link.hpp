// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>

#include <sluice/coro/loop.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/stage/operation.hpp>
#include <sluice/stage/rate_limiter.hpp>

namespace sluice::detail {

/// An operation on its way through a serial_link.
struct link_entry {
    operation* op = nullptr;  ///< null once it was aborted
    std::uint32_t kind = 0;   ///< the server's
    std::uint64_t bytes = 0;  ///< at most; `serve` says how many really pass the link
    void* data = nullptr;     ///< the server's, from `serve` to `settle`
    absl::Status status;      ///< how it ends
    time_point arrival = never;
    time_point due = never;
};

/// What a serial_link does its work with; called on the link's loop.
class link_server {
 public:
    /// Does the work of `e`, sets its status and the bytes that pass the link. For entries that use
    /// the link: a little before they are through.
    virtual void serve(link_entry& e) noexcept = 0;
    /// `e` is through, or it was aborted after `serve` and its effect must not become visible.
    virtual void settle(link_entry& e, bool aborted) noexcept = 0;

 protected:
    ~link_server() = default;
};

/// Carries operations out one after the other, at a bounded rate and after a latency, and completes
/// them in that order: one link to a machine, or one copy engine.
///
/// The time at which an operation is through follows from when it was posted, never from when the
/// loop woke up, so that the rate is exact under a backlog. The bytes of the next operation move
/// while the one before is "on the wire".
///
/// `post` and `abort` may be called from any thread, the rest on the loop or when it does not run.
class serial_link {
 public:
    struct options {
        double rate = 0;            ///< bytes per second; 0: unlimited
        duration per_operation{0};  ///< that each operation takes of the link
        duration latency{0};        ///< from being through to completion; takes nothing of the link
    };
    /// \return kInvalidArgument if one of them is negative or no number.
    static absl::Status check(const options& o);

    serial_link(loop& on, link_server& server, const options& o) noexcept;

    /// Frees a link on which nothing is under way. A wake-up that its loop still has queued finds
    /// an empty shell and frees that.
    struct orphan {
        void operator()(serial_link* link) const noexcept;
    };
    using pointer = std::unique_ptr<serial_link, orphan>;

    /// Queues operations, each with an upper bound of its bytes, that arrive at this moment.
    /// \param size  std::uint64_t(const Op&)
    template <class Op, class Size>
    void post(std::span<Op* const> ops, std::uint32_t kind, Size size) noexcept {
        if (ops.empty()) {
            return;
        }
        const time_point now = loop_.now();
        const std::lock_guard lock(mutex_);
        for (Op* const op : ops) {
            inbox_.push_back({op, size(std::as_const(*op)), now, kind});
        }
        wake();
    }

    /// Queues a small message: after the latency, past what uses the link.
    void post_message(operation& op, std::uint32_t kind) noexcept;

    /// Completes `op` with kDeadlineExceeded, unless it has completed already.
    void abort(operation& op) noexcept;

    /// Changes the rate of what is posted from now on, and perhaps of what waits; any thread.
    /// \pre `check` accepts it
    void set_rate(double rate) noexcept;

    /// Seconds that the link was taken; any thread.
    [[nodiscard]] double busy_seconds() const noexcept;

 private:
    struct posted {
        operation* op;
        std::uint64_t bytes;
        time_point arrival;
        std::uint32_t kind;
    };
    static constexpr std::uint32_t kind_abort = UINT32_MAX;
    static constexpr std::uint32_t message_flag = std::uint32_t{1} << 31;

    // First in, first out; keeps its memory.
    struct lane {
        std::vector<link_entry> entries;
        std::size_t head = 0;
        std::size_t served = 0;  // entries [head, served) are served and wait for their time

        [[nodiscard]] bool empty() const noexcept { return head == entries.size(); }
        void pop() noexcept;
        link_entry* find(const operation* op) noexcept;
    };

    struct wake_work : work {
        explicit wake_work(serial_link& l) noexcept : work(&serial_link::on_wake), link(l) {}
        serial_link& link;
    };
    struct due_timer : timer {
        explicit due_timer(serial_link& l) noexcept : timer(&serial_link::on_timer), link(l) {}
        serial_link& link;
    };

    ~serial_link() = default;
    static void on_wake(work& w) noexcept;
    static void on_timer(timer& t) noexcept;

    void wake() noexcept;  // with mutex_ held
    void run() noexcept;
    void take_inbox() noexcept;
    void abort_now(const operation* op) noexcept;
    void serve_next() noexcept;
    void deliver_due(time_point now) noexcept;
    void settle(lane& l) noexcept;
    void flush() noexcept;
    void arm_timer() noexcept;

    loop& loop_;
    link_server& server_;
    const duration latency_;
    rate_limiter limiter_;
    lane wire_;
    lane messages_;
    std::vector<std::pair<operation*, absl::Status>> done_;
    std::uint64_t done_bytes_ = 0;
    std::vector<posted> taken_;
    due_timer timer_{*this};
    wake_work wake_{*this};
    std::atomic<std::int64_t> busy_ns_{0};

    // Guards what follows. Held while the wake-up is posted, never while serving.
    std::mutex mutex_;
    std::vector<posted> inbox_;
    std::optional<double> new_rate_;
    bool awake_ = false;  // wake_ is posted
    bool orphaned_ = false;
};

/// A serial_link and the loop it runs on: a thread of its own, unless one is given.
class link_host {
 public:
    link_host() = default;
    link_host(const link_host&) = delete;
    link_host& operator=(const link_host&) = delete;
    /// Every operation must have completed. On the given loop, or when that does not run.
    ~link_host();

    /// \param given  null: makes a thread of that name.
    absl::Status open(loop* given, std::string_view name, link_server& server,
                      const serial_link::options& o);

    serial_link* operator->() const noexcept { return link_.get(); }

 private:
    std::unique_ptr<thread_loop> own_;
    serial_link::pointer link_;  // dies first
};

}  // namespace sluice::detail
