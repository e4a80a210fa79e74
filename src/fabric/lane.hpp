// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <sys/uio.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_rma.h>

#include <sluice/coro/loop.hpp>

#include "domain.hpp"
#include "queue_watch.hpp"

namespace sluice::fabric {

/// One read or write of a lane: up to `max_pieces` pieces on each side.
struct transfer {
    static constexpr std::size_t max_pieces = 16;

    fi_context2 context;  // the provider's; first, so that its address is the transfer's
    std::array<iovec, max_pieces> local;
    std::array<void*, max_pieces> descriptors;
    std::array<fi_rma_iov, max_pieces> remote;
    std::uint32_t locals = 0;
    std::uint32_t remotes = 0;
    std::uint64_t bytes = 0;
    bool write = false;
    time_point posted_at{};
    time_point deadline = never;  ///< the owner's
    void* user = nullptr;         ///< the owner's

    // The lane's list of transfers in flight, oldest first.
    transfer* older = nullptr;
    transfer* newer = nullptr;
};

/// A client's data connection to one node: one-sided reads and writes of its memory.
///
/// Used on its loop only. Not to be closed or destroyed inside its owner's callbacks.
class lane {
 public:
    class owner {
     public:
        /// Transfers may be posted.
        virtual void on_ready() = 0;
        /// A transfer has ended; it is the lane's again afterwards.
        virtual void on_transfer(transfer& t, absl::Status status) = 0;
        /// The lane is of no use any more. Called once, never from inside a call to it.
        virtual void on_broken(absl::Status why) = 0;
        /// After a round of `on_transfer`, or when a refused post may be tried again.
        virtual void on_drained() = 0;

     protected:
        ~owner() = default;
    };

    struct destination {
        std::vector<std::byte> endpoint;  ///< the node's address as its provider writes it
        std::array<std::byte, 16> ticket{};
    };

    /// Of TCP connections; empty: the system's. See provider_sockets.hpp.
    void use_congestion_control(std::string name) { congestion_control_ = std::move(name); }

    /// Makes the endpoint. A datagram lane is then ready for `connect`, and has an address to tell.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<lane>> open(loop& on,
                                                                    std::shared_ptr<domain> d,
                                                                    owner& who);
    ~lane();

    /// This side's address; empty if it is not needed.
    [[nodiscard]] std::vector<std::byte> endpoint() const;
    /// Starts to connect; `on_ready` or `on_broken` follows.
    absl::Status connect(const destination& to);
    [[nodiscard]] bool ready() const noexcept { return ready_; }

    /// A transfer to fill in; null if too many are in flight.
    [[nodiscard]] transfer* acquire() noexcept;
    /// Gives one back that was not posted.
    void release(transfer& t) noexcept;
    /// \return false if the provider takes no more just now; the transfer stays the caller's, and
    /// `on_drained` follows.
    /// Another failure comes by `on_transfer`.
    [[nodiscard]] bool post(transfer& t) noexcept;

    [[nodiscard]] std::uint32_t in_flight() const noexcept { return in_flight_; }
    [[nodiscard]] std::uint64_t bytes_in_flight() const noexcept { return bytes_in_flight_; }
    [[nodiscard]] const transfer* oldest() const noexcept { return oldest_; }

    /// Closes the endpoint: afterwards nothing touches the memory of transfers any more.
    /// \param gone  called for each transfer that was in flight, oldest first
    template <class F>
    void close(F gone) {
        shut();
        while (oldest_ != nullptr) {
            transfer& t = *oldest_;
            unlink(t);
            gone(t);
            free_.push_back(&t);
        }
    }

    [[nodiscard]] domain& of() const noexcept { return *domain_; }

 private:
    static constexpr std::size_t most_in_flight = 64;

    lane(loop& on, std::shared_ptr<domain> d, owner& who);
    absl::Status make_endpoint(const std::vector<std::byte>* to);
    bool drain() noexcept;
    bool read_events() noexcept;
    void finish(transfer& t, absl::Status status) noexcept;
    void unlink(transfer& t) noexcept;
    void shut() noexcept;
    void sever() noexcept;
    void breaks(absl::Status why);

    loop& loop_;
    std::shared_ptr<domain> domain_;
    owner* owner_;

    // Closed in the reverse order.
    fid_ptr<fid_eq> events_;
    fid_ptr<fid_cq> queue_;
    fid_ptr<fid_av> addresses_;
    fid_ptr<fid_ep> endpoint_;
    queue_watch event_watch_;
    queue_watch queue_watch_;
    fi_addr_t peer_ = FI_ADDR_UNSPEC;
    std::vector<std::byte> peer_name_;
    std::string congestion_control_;

    bool ready_ = false;
    bool broken_ = false;
    bool refused_ = false;  // a post was; the owner is asked again
    std::uint32_t in_flight_ = 0;
    std::uint64_t bytes_in_flight_ = 0;
    transfer* oldest_ = nullptr;
    transfer* newest_ = nullptr;
    std::vector<transfer> slots_;
    std::vector<transfer*> free_;
};

}  // namespace sluice::fabric
