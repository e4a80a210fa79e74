// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <variant>

#include <sluice/coro/loop.hpp>

#include "../wire/messages.hpp"
#include "block_pool.hpp"
#include "node_metrics.hpp"
#include "running_checksum.hpp"

namespace sluice::node {

/// What touches the bytes of blocks: takes committed blocks from staging memory into the pool, and
/// looks at blocks that are said to be damaged. Clients take turns, and a turn of the loop copies
/// `bytes_per_turn` at most, so that reads are served in between however much is put.
///
/// \par Thread safety
/// None: belongs to one loop.
class intake {
 public:
    static constexpr std::size_t bytes_per_turn = 4 * 1024 * 1024;
    /// Requests of one client that wait here.
    static constexpr std::size_t most_jobs = 64;

    struct commit_job {
        std::uint64_t id = 0;
        wire::commit request;
        wire::committed answer;
    };
    struct report_job {
        std::uint64_t id = 0;
        wire::report request;
    };

    /// A client with its jobs. Gone with its jobs undone when it is destroyed.
    class client {
     public:
        explicit client(intake& i) noexcept : intake_(&i) {}
        client(const client&) = delete;
        client& operator=(const client&) = delete;

        /// Undone jobs are forgotten.
        void forget() noexcept;

     protected:
        ~client() { forget(); }

     private:
        friend intake;
        virtual void on_committed(const commit_job& done) = 0;
        virtual void on_reported(std::uint64_t id, const wire::reported& answer) = 0;

        intake* intake_;
        std::uint64_t owner_ = 0;  // of reservations
        std::span<const std::byte> staging_;
        std::deque<std::variant<commit_job, report_job>> jobs_;
        // Of the block under way.
        std::size_t item_ = 0;
        std::uint64_t done_ = 0;  // bytes
        running_checksum sum_;
    };

    intake(loop& on, block_pool& pool, std::span<std::byte> memory, node_metrics& counts) noexcept;
    ~intake();

    /// Whether it has to wait for answers before it may ask for more.
    [[nodiscard]] bool is_full(const client& c) const noexcept {
        return c.jobs_.size() >= most_jobs;
    }
    /// `on_committed` follows, not from inside. Answers come in the order of the requests.
    /// A block that does not lie inside its staging memory is unknown, and its reservation is given
    /// back: a token may come to be the owner's only after the request.
    /// \param staging  stays until `forget`; may be empty
    /// \pre not full
    void commit(client& c, std::uint64_t id, wire::commit request, std::uint64_t owner,
                std::span<const std::byte> staging);
    /// `on_reported` follows, not from inside.
    /// \pre not full
    void report(client& c, std::uint64_t id, wire::report request);

 private:
    struct alarm : timer {
        explicit alarm(intake& i) noexcept;
        intake* self;
    };

    void line_up(client& c);
    void take_turn();
    bool advance(client& c, std::size_t& budget);
    bool advance(client& c, commit_job& job, std::size_t& budget);
    bool advance(client& c, report_job& job, std::size_t& budget);
    [[nodiscard]] std::optional<wire::commit_verdict> take_in(client& c,
                                                              const wire::commit::block& block,
                                                              std::size_t& budget);
    /// \param from  if there is one, `length` bytes that are copied there first
    /// \return whether all of it is in the sum
    bool sum_up(client& c, std::uint64_t offset, std::uint64_t length,
                std::optional<std::span<const std::byte>> from, std::size_t& budget);

    loop& loop_;
    block_pool& pool_;
    const std::span<std::byte> memory_;
    node_metrics& counts_;
    std::deque<client*> line_;  // those who have jobs
    alarm alarm_;
};

}  // namespace sluice::node
