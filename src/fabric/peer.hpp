// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/coro/loop.hpp>
#include <sluice/fabric/fabric_store.hpp>
#include <sluice/store/store.hpp>

#include "../wire/connection.hpp"
#include "../wire/handshake.hpp"
#include "../wire/messages.hpp"
#include "../wire/secret.hpp"
#include "counts.hpp"
#include "deferred.hpp"
#include "item_queue.hpp"
#include "lane.hpp"
#include "local_memory.hpp"
#include "spot_cache.hpp"
#include "tuning.hpp"

namespace sluice::fabric {

/// A get on its way: waits at a peer to be located or read, or is part of a transfer.
struct read_item {
    store_get* op = nullptr;
    spot where;
    std::uint32_t attempt = 0;  ///< which of the block's nodes
    bool doubted = false;       ///< landed too late once already
    std::uint8_t stale = 0;     ///< how often its lease was over before it was read
    bool aborted = false;       ///< ends as soon as nothing touches its memory
    absl::StatusCode failure = absl::StatusCode::kNotFound;  ///< of the nodes asked before
    time_point posted{};
    read_item* next = nullptr;
};

/// A put on its way to one node.
struct put_item {
    store_put* op = nullptr;
    std::uint64_t checksum = 0;
    std::uint64_t token = 0;  // the node's
    std::uint64_t staging_offset = 0;
    bool granted = false;  // room for it is reserved
    bool lost = false;     // its write failed
    void* job = nullptr;   ///< the user's
    put_item* next = nullptr;
};

/// What all peers of a store have in common.
struct peer_settings {
    loop* on = nullptr;
    std::string provider;
    std::string congestion_control;
    std::optional<wire::shared_secret> secret;
    std::uint32_t connections = 1;
    std::uint64_t bytes_in_flight = 0;
    duration soft_timeout{0};
    duration connect_timeout{0};
    local_memory* memory = nullptr;
    store_counts* counts = nullptr;
};

/// One memory node as a client has it: control connection, data connections, what is under way on
/// them, and how the node does.
///
/// Used on its loop only.
class peer final : wire::connection::owner {
 public:
    /// The store. Not called inside calls to the peer, except where said; may call the peer.
    class user {
     public:
        /// \param asked  when: a lease counts from then
        virtual void on_located(peer& p, read_item& item, const wire::placement& at,
                                time_point asked) = 0;
        /// The bytes are there.
        virtual void on_landed(peer& p, read_item& item) = 0;
        /// Nothing touches its memory any more.
        virtual void on_failed(peer& p, read_item& item, absl::StatusCode why) = 0;
        virtual void on_put(peer& p, put_item& item, absl::StatusCode how) = 0;
        /// The node was removed from, or came back to, those that are asked.
        virtual void on_health(peer& p) = 0;

     protected:
        ~user() = default;
    };

    peer(const peer_settings& settings, const wire::address& at, std::string name,
         std::uint32_t index, user& who);
    ~peer();

    void start();

    [[nodiscard]] std::uint32_t index() const noexcept { return index_; }
    /// Changes with the pool behind the address.
    [[nodiscard]] std::uint32_t session() const noexcept { return session_; }
    /// Whether to ask it anything: it answers, or is being connected to for the first time.
    [[nodiscard]] bool usable() const noexcept {
        return !draining_ && (state_ == node_state::ready || state_ == node_state::connecting);
    }
    /// Whether what was located may be read: it is usable, or finishes before it ends.
    [[nodiscard]] bool readable() const noexcept {
        return state_ == node_state::ready || state_ == node_state::connecting;
    }
    [[nodiscard]] std::uint64_t pool_bytes() const noexcept { return pool_bytes_; }
    [[nodiscard]] duration lease() const noexcept { return lease_; }
    [[nodiscard]] const node_health& health() const noexcept { return health_; }

    /// Asks where the block is; `on_located` or `on_failed` follows.
    void locate(read_item& item);
    /// Reads the block at its spot; `on_landed` or `on_failed` follows.
    void read(read_item& item);
    /// `on_put` follows.
    void put(put_item& item);
    /// A message that is answered by `Answer`, or fails within the soft timeout.
    /// \param work  bytes that the node goes through before it answers
    template <class Answer, class Request>
    void ask(const Request& request, std::function<void(absl::StatusOr<Answer>)> then,
             std::uint64_t work = 0) {
        const std::uint64_t id =
            add_call(Answer::type, work,
                     [this, then = std::move(then)](const absl::StatusOr<wire::frame>& answer) {
                         if (!answer.ok()) {
                             then(answer.status());
                             return;
                         }
                         absl::StatusOr<Answer> decoded = wire::decode<Answer>(answer->body);
                         if (decoded.ok()) {
                             then(std::move(decoded));
                         } else {
                             then(absl::UnavailableError("the node's answer is malformed"));
                             condemn(decoded.status());
                         }
                     });
        wire::encode(request, id, outbox_);
        send_outbox();
    }
    /// The node broke the protocol.
    void condemn(absl::Status why);

    /// Gives up a get or put at once, by closing the connection on which it moves if need be.
    /// \return whether it was here; `on_failed` or `on_put` has been called, for all that moved
    ///         with it too.
    bool abort(const operation& op);

    [[nodiscard]] const std::optional<tuning>& tuned() const noexcept { return tuning_; }

 private:
    struct pending_call {
        wire::message_type answer;
        time_point deadline;
        std::function<void(const absl::StatusOr<wire::frame>&)> then;
    };
    // A data connection.
    struct strand final : lane::owner {
        explicit strand(peer& p) noexcept : owner(&p) {}
        void on_ready() override { owner->strand_ready(*this); }
        void on_transfer(transfer& t, absl::Status status) override {
            owner->transferred(*this, t, std::move(status));
        }
        void on_broken(absl::Status why) override { owner->strand_broke(*this, std::move(why)); }
        void on_drained() override { owner->after_transfers(); }

        peer* owner;
        std::unique_ptr<fabric::lane> lane;
        bool broken = false;
        absl::Status why;
        std::uint64_t opened = 0;     // how often; tells answers to an earlier opening apart
        time_point deadline = never;  // while it is being made, or takes nothing
        time_point last_end{};        // of a transfer
    };
    struct alarm : timer {
        explicit alarm(peer& p) noexcept
            : timer([](timer& t) noexcept { static_cast<alarm&>(t).owner->on_alarm(); }),
              owner(&p) {}
        peer* owner;
    };
    // Puts between reservation and commit.
    struct put_batch {
        std::vector<put_item*> items;
        std::uint64_t number = 0;  // tells answers to an earlier batch apart
        std::size_t next_write = 0;
        std::size_t writes_left = 0;
        bool active = false;
        bool writing = false;  // reserved, and not all is written yet
    };

    // peer.cpp: connections and health
    void connect();
    void on_connected(wire::connection& c) override;
    void on_frame(wire::connection& c, const wire::frame& f) override;
    void on_closed(wire::connection& c, absl::Status why) override;
    void shake_hands(const wire::frame& f);
    void welcomed(const wire::welcome& w);
    void go_down(absl::Status why);
    void go_slow();
    void come_back();
    void strike(std::uint32_t& in_a_row);
    void leave_if_drained();
    void set_state(node_state s);
    void on_alarm();
    [[nodiscard]] static bool is_late(const strand& s, time_point now) noexcept;
    [[nodiscard]] bool finds_lateness(time_point now) noexcept;
    void give_up_late(time_point now);
    void wake_by(time_point at);
    void on_turn();
    void take_turn() noexcept { turn_.post(); }
    std::uint64_t add_call(wire::message_type answer, std::uint64_t work,
                           std::function<void(const absl::StatusOr<wire::frame>&)> then);
    void send_outbox();
    void fail_calls(absl::Status why);
    void probe();
    [[nodiscard]] duration soft_timeout(std::uint64_t bytes) const noexcept;

    // peer_strands.cpp: data connections
    void open_strands();
    void open_strand(strand& s);
    void strand_ready(strand& s);
    void strand_broke(strand& s, absl::Status why);
    void close_strand(strand& s, absl::StatusCode why);
    void close_strands(absl::StatusCode why);
    void transferred(strand& s, transfer& t, absl::Status status);
    void give_back(transfer& t, absl::StatusCode why);
    void probe_read(strand& s);

    // peer_reads.cpp
    void send_locates();
    void pump();
    void after_transfers();
    void pump_reads(strand& s);
    void posted(strand& s, bool taken);
    bool pack(transfer& t);
    void unpack(transfer& t);
    void fail_reads(absl::StatusCode why);
    bool abort_read(const operation& op);

    // peer_puts.cpp
    void begin_batch();
    void granted(const wire::reserved& answer);
    void pump_writes(strand& s);
    void pack(transfer& t, std::size_t& next);
    void written(put_item& item, bool ok);
    void commit_batch();
    void committed(const wire::committed& answer);
    void end_item(std::size_t i, absl::StatusCode how);
    void end_batch(absl::StatusCode why);
    void fail_puts(absl::StatusCode why);
    void fail_waiting_puts(absl::StatusCode why);
    bool abort_put(const operation& op);

    const peer_settings& settings_;
    const wire::address address_;
    const std::uint32_t index_;
    user* user_;
    node_health health_;
    node_state state_ = node_state::connecting;
    bool draining_ = false;
    std::uint32_t session_ = 0;
    std::uint32_t late_calls_ = 0;      // in a row
    std::uint32_t late_transfers_ = 0;  // in a row

    std::unique_ptr<wire::connection> control_;
    std::unique_ptr<wire::connection> ended_control_;
    std::optional<wire::client_handshake> handshake_;
    bool welcome_ = false;
    std::uint64_t pool_bytes_ = 0;
    std::uint64_t max_block_bytes_ = 0;
    std::uint64_t staging_bytes_ = 0;
    duration lease_{0};
    time_point connect_deadline_ = never;
    time_point retry_at_ = never;
    duration pause_{0};
    bool looked_ = false;  // something was late, and what has come is being looked at

    std::map<std::uint64_t, pending_call> calls_;
    std::uint64_t next_call_ = 1;
    std::vector<std::byte> outbox_;

    std::shared_ptr<domain> domain_;
    std::optional<tuning> tuning_;
    std::vector<std::unique_ptr<strand>> strands_;
    wire::remote_memory pool_;
    wire::remote_memory staging_;
    double bytes_per_second_ = 0;
    time_point stirred_at_{};
    alignas(64) std::array<std::byte, 4096> scratch_{};

    item_queue<read_item> to_locate_;
    item_queue<read_item> to_read_;
    item_queue<read_item> refused_;  // empty but inside `pump_reads`
    using located_items = std::shared_ptr<std::vector<read_item*>>;  // null: aborted
    std::vector<located_items> locating_;                            // in messages under way
    item_queue<put_item> to_put_;
    put_batch batch_;

    alarm alarm_;
    deferred turn_;
};

}  // namespace sluice::fabric
