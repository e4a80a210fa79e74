// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/coro/loop.hpp>
#include <sluice/fabric/memory_node.hpp>

#include "../wire/address.hpp"
#include "../wire/listener.hpp"
#include "../wire/secret.hpp"
#include "guest.hpp"
#include "http_server.hpp"
#include "service.hpp"

namespace sluice::node {

/// A memory node on its loop: the door, the clients behind it, and how it ends.
///
/// \par Thread safety
/// Belongs to one loop; `counts` is for any thread.
class server final : guest::host {
 public:
    /// \return as `memory_node::create`
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<server>> open(
        loop& on, const memory_node_options& options);
    server(const server&) = delete;
    server& operator=(const server&) = delete;
    ~server();

    [[nodiscard]] const wire::address& address() const noexcept { return listener_->bound(); }
    /// "host:port"; empty if there is none.
    [[nodiscard]] std::string metrics_address() const;
    [[nodiscard]] const node_metrics& counts() const noexcept { return service_.counts; }
    [[nodiscard]] duration uptime() const noexcept { return service_.on.now() - service_.since; }

    /// `done` is called from the loop, once, and may destroy the server. Asked for again while it
    /// drains, every `done` is called.
    void drain(std::function<void()> done);
    /// See memory_node.
    bool damage(const block_key& key) noexcept;

 private:
    struct alarm : timer {
        explicit alarm(server& s) noexcept;
        server* self;
    };

    server(loop& on, wire::shared_secret secret, mapped memory, const memory_node_options& options);
    absl::Status open_providers(const std::string& host);
    absl::Status open_doors(const wire::address& at);
    void receive(int socket);
    absl::Status on_proven(guest& g) override;
    void on_left(guest& g) override;
    void drained();
    [[nodiscard]] http_answer page(std::string_view path) const;

    const memory_node_options options_;
    service service_;
    std::uint64_t guests_so_far_ = 0;
    std::unordered_map<std::uint64_t, std::unique_ptr<guest>> guests_;
    std::set<std::uint64_t> greeters_;  // of guests_, who have not proven themselves; oldest first
    std::unique_ptr<http_server> http_;
    std::unique_ptr<wire::listener> listener_;
    std::vector<std::function<void()>> done_;
    bool drain_over_ = false;  // nothing is waited for any more
    alarm drain_alarm_;
};

}  // namespace sluice::node
