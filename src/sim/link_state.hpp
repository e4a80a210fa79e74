// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include <absl/status/status.h>

#include <sluice/sim/link.hpp>

#include "due_queue.hpp"
#include "flow.hpp"
#include "network_state.hpp"

namespace sluice::sim {

/// What is under way on a link, and what it knows of the nodes.
struct link::state {
    state(network::state& over, const link_options& o)
        : net(over),
          overhead(detail::span_of(o.per_operation)),
          soft_timeout(detail::span_of(o.soft_timeout)),
          in(o.rate, drift_of(o)),
          out(o.rate, drift_of(o)),
          chance(over.seed * 0x9e3779b97f4a7c15u + ++over.links),
          peers(over.nodes.size()) {}
    ~state() { net.clock.disarm(alarm); }
    state(const state&) = delete;
    state& operator=(const state&) = delete;
    static std::vector<detail::speed_step> drift_of(const link_options& o);

    static constexpr std::uint32_t no_job = UINT32_MAX;

    /// What happens when a flight is due.
    enum class step : std::uint8_t {
        enter,      ///< the node sends, the link begins
        arrive,     ///< it is through
        give_up,    ///< the node has not answered in time
        break_off,  ///< the node has died
        answer,     ///< of a lookup or remove
        late,       ///< a lookup or remove has missed the node's answer
    };
    /// A block on its way between the link and one node; or a message.
    struct flight {
        operation* op = nullptr;  ///< of a get or message; null: aborted
        std::uint64_t bytes = 0;
        detail::instant deadline = 0;
        detail::instant node_end = 0;
        double wait = 0;             ///< latency and jitter
        std::uint32_t job = no_job;  ///< of a put
        std::uint16_t node = 0;
        std::uint8_t place = 0;  ///< of the node among the block's
        step next = step::answer;
        absl::StatusCode how = absl::StatusCode::kOk;  ///< what has become of it so far
    };
    struct put_job {
        store_put* op = nullptr;  ///< null: aborted
        std::uint32_t left = 0;   ///< flights
        absl::StatusCode best = absl::StatusCode::kUnavailable;
        std::array<std::uint16_t, detail::max_replicas> lives{};  ///< where it has landed
    };
    /// A node as this link sees it.
    struct peer {
        std::uint32_t late_in_a_row = 0;
        bool slow = false;
        double pause = 0;
        detail::instant probe = 0;   ///< the next one
        std::uint64_t asked = 0;     ///< by the last message of that number
        detail::instant answer = 0;  ///< `no_instant`: none in time
    };
    struct alarm_timer : timer {
        explicit alarm_timer(state& s) noexcept
            : timer([](timer& t) noexcept { static_cast<alarm_timer&>(t).owner.run(); }),
              owner(s) {}
        state& owner;
    };

    std::uint32_t new_flight() {
        if (free_flights.empty()) {
            flights.emplace_back();
            return static_cast<std::uint32_t>(flights.size() - 1);
        }
        const std::uint32_t id = free_flights.back();
        free_flights.pop_back();
        flights[id] = flight{};
        return id;
    }
    void end_flight(std::uint32_t id) {
        flights[id].op = nullptr;
        free_flights.push_back(id);
    }
    void due(detail::instant at, std::uint32_t id, step next) {
        flights[id].next = next;
        queue.push(at, id);
    }

    // link_blocks.cpp
    void start(store_get& op);
    void ask_next(std::uint32_t id);
    void start(store_put& op);
    void send(std::uint32_t id, detail::node& n, detail::flow& queue_of, std::uint64_t bytes);
    void enter(std::uint32_t id, detail::instant now);
    void interrupt(std::uint32_t id, detail::instant now, const detail::node::outage& o);
    void arrived(std::uint32_t id);
    void got(std::uint32_t id);
    void failed_over(std::uint32_t id, absl::StatusCode why);
    void put_ended(std::uint32_t job, absl::StatusCode how);
    void end_get(std::uint32_t id, absl::StatusCode how);

    // link.cpp
    void message(operation& op, std::span<const block_key> keys, std::uint8_t* present);
    detail::instant ask_message(std::uint16_t node);
    void reply(operation& op, absl::StatusCode how);

    [[nodiscard]] bool usable(std::uint16_t node);
    void heard(std::uint16_t node) noexcept { peers[node].late_in_a_row = 0; }
    void missed(std::uint16_t node) noexcept;

    void run() noexcept;
    void arm();
    void take(std::uint32_t id, detail::instant at);

    network::state& net;
    const double overhead;
    const double soft_timeout;
    detail::flow in;
    detail::flow out;
    detail::draws chance;
    std::vector<peer> peers;
    std::vector<flight> flights;
    std::vector<std::uint32_t> free_flights;
    std::vector<put_job> jobs;
    std::vector<std::uint32_t> free_jobs;
    detail::due_queue<std::uint32_t> queue;
    alarm_timer alarm{*this};
    std::uint64_t messages = 0;
    link_stats counts;
};

}  // namespace sluice::sim
