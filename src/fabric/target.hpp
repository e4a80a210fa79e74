// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/coro/loop.hpp>

#include "../wire/messages.hpp"
#include "domain.hpp"
#include "provider_sockets.hpp"
#include "queue_watch.hpp"

namespace sluice::fabric {

/// The node's end of all data connections of one provider: exports a pool for reading and, per
/// client, a staging area for writing. The bytes move without anybody asking; a target only keeps
/// its provider going.
///
/// Used on its loop only.
class target {
 public:
    /// \param host  the interface to listen on
    /// \param pool  registered for remote reading, by a key that is drawn anew each time
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<target>> open(loop& on,
                                                                      const std::string& provider,
                                                                      const std::string& host,
                                                                      std::span<std::byte> pool);
    ~target();

    [[nodiscard]] const provider_limits& limits() const noexcept { return domain_->limits(); }
    [[nodiscard]] wire::endpoint_kind kind() const noexcept {
        return limits().connected ? wire::endpoint_kind::connected : wire::endpoint_kind::datagram;
    }
    /// Where clients connect to, as the provider writes addresses.
    [[nodiscard]] const std::vector<std::byte>& endpoint() const noexcept { return endpoint_name_; }
    [[nodiscard]] wire::remote_memory pool() const noexcept { return {pool_.base(), pool_.key()}; }

    /// Lets `client` make one data connection and write to `staging`.
    /// \return what the client must be told, whole; kResourceExhausted: it has 64 already.
    [[nodiscard]] absl::StatusOr<wire::lane> admit(std::uint64_t client,
                                                   std::span<std::byte> staging,
                                                   std::span<const std::byte> client_endpoint);
    /// Ends what `client` has: afterwards nothing touches its staging area.
    void expel(std::uint64_t client) noexcept;

    /// Of clients' TCP connections from now on; empty: the system's. See provider_sockets.hpp.
    void use_congestion_control(const std::string& name) noexcept {
        set_congestion_control_at(endpoint_name_, name);
    }

    /// A client asked for something: it will read soon. Matters where there is nothing to wait on.
    void stir() noexcept;

 private:
    struct guest {
        std::uint64_t client = 0;
        fid_ptr<fid_ep> endpoint;
    };
    // A client over datagrams, whom the provider knows.
    struct acquaintance {
        std::uint64_t client = 0;
        fi_addr_t address = FI_ADDR_UNSPEC;
    };
    struct invitation {
        wire::ticket ticket{};
        std::uint64_t client = 0;
        time_point until = never;
    };
    struct rest : timer {
        explicit rest(target& t) noexcept;
        target* owner;
    };

    struct broom : timer {
        explicit broom(target& t) noexcept;
        target* owner;
    };

    target(loop& on, std::span<std::byte> pool);
    absl::Status listen();
    absl::Status serve_datagrams();
    bool drain() noexcept;
    bool read_events() noexcept;
    [[nodiscard]] std::size_t lanes_of(std::uint64_t client) const noexcept;
    void sweep() noexcept;
    void accept(fi_info& info, std::span<const std::byte> data) noexcept;

    loop& loop_;
    std::shared_ptr<domain> domain_;
    std::vector<std::byte> endpoint_name_;

    // Closed in the reverse order.
    region pool_;
    std::unordered_map<std::uint64_t, region> staging_;  // by client
    fid_ptr<fid_eq> events_;
    fid_ptr<fid_cq> queue_;
    fid_ptr<fid_av> addresses_;
    fid_ptr<fid_ep> endpoint_;  // datagram
    fid_ptr<fid_pep> listener_;
    std::unordered_map<fid*, guest> guests_;
    std::vector<invitation> invitations_;
    std::vector<acquaintance> acquaintances_;
    queue_watch event_watch_;
    queue_watch queue_watch_;
    rest rest_;
    broom broom_;
    std::vector<socket_end> strangers_;  // at the last sweep
};

}  // namespace sluice::fabric
