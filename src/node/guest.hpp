// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/coro/loop.hpp>

#include "../wire/connection.hpp"
#include "../wire/handshake.hpp"
#include "../wire/messages.hpp"
#include "intake.hpp"
#include "mapped.hpp"
#include "service.hpp"

namespace sluice::node {

/// A client as the node has it: its control connection, what it has reserved, and its staging
/// memory. That memory is taken with its first data connection, so clients that never open one cost
/// little; and pages of it come with the first put.
///
/// \par Thread safety
/// None: belongs to one loop.
class guest final : wire::connection::owner, intake::client {
 public:
    class host {
     public:
        /// It has proven itself.
        /// \return not OK: there is no place for it, and it has to be told so
        [[nodiscard]] virtual absl::Status on_proven(guest& g) = 0;
        /// The last call; may destroy the guest.
        virtual void on_left(guest& g) = 0;

     protected:
        ~host() = default;
    };

    /// Takes over a socket.
    /// \param number  names it at the pool and at the targets; never used twice
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<guest>> receive(service& s, host& h,
                                                                        std::uint64_t number,
                                                                        int socket);
    guest(const guest&) = delete;
    guest& operator=(const guest&) = delete;
    /// Closes its connections; what it has reserved is free.
    ~guest();

    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
    /// The node is about to end. Who has not proven himself yet has to go.
    void tell_draining();

 private:
    enum class state {
        greeting,  // has not proven himself
        rejected,  // has not, and will be told so
        served,
        leaving,
    };
    struct alarm : timer {
        explicit alarm(guest& g) noexcept;
        guest* self;
    };

    struct reservation {
        std::uint64_t bytes = 0;
        bool committing = false;  // a commit of it waits or is under way
    };

    guest(service& s, host& h, std::uint64_t number);

    void on_frame(wire::connection& c, const wire::frame& f) override;
    void on_malformed(wire::connection& c, const absl::Status& why) override;
    void on_closed(wire::connection& c, absl::Status why) override;
    void on_committed(const intake::commit_job& done) override;
    void on_reported(std::uint64_t id, const wire::reported& answer) override;
    void on_alarm();

    void greet(const wire::frame& f);
    void serve(const wire::frame& f);
    template <class Request>
    void serve_as(const wire::frame& f);
    void answer(const wire::open_lane& request, std::uint64_t id);
    void answer(const wire::lookup& request, std::uint64_t id);
    void answer(const wire::reserve& request, std::uint64_t id);
    void answer(wire::commit& request, std::uint64_t id);
    void answer(const wire::remove& request, std::uint64_t id);
    void answer(wire::report& request, std::uint64_t id);
    void answer(const wire::ping& request, std::uint64_t id);

    [[nodiscard]] absl::StatusOr<wire::lane> admit(const wire::open_lane& request);
    void make_room(std::uint64_t bytes, std::size_t blocks);
    void settled(std::uint64_t token);
    void refuse(const absl::Status& why, std::uint64_t id);
    void dismiss(const absl::Status& why, std::uint64_t id);
    void condemn(const absl::Status& why, std::uint64_t id);
    void release() noexcept;

    service& service_;
    host* host_;
    const std::uint64_t number_;
    state state_ = state::greeting;
    std::uint64_t rejected_id_ = 0;  // what is answered late
    wire::node_handshake handshake_;
    alarm alarm_;
    mapped staging_;
    std::unordered_map<std::uint64_t, reservation> reserved_;  // by token
    std::deque<std::uint64_t> tokens_;  // oldest first; those that are settled too, for a while
    std::uint64_t reserved_bytes_ = 0;
    std::uint64_t committing_bytes_ = 0;  // of reserved_bytes_
    std::size_t committing_blocks_ = 0;
    bool has_reserved_ = false;
    std::unique_ptr<wire::connection> control_;
};

}  // namespace sluice::node
