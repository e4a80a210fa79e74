// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>

#include "../wire/address.hpp"
#include "../wire/listener.hpp"

namespace sluice::node {

struct http_answer {
    int code = 200;  ///< 200, 404 or 503
    std::string_view type = "text/plain; charset=utf-8";
    std::string body;
};

/// As much of an HTTP/1.1 server as monitoring needs: GET and HEAD of a few short pages, one
/// request per connection.
///
/// \par Thread safety
/// None: belongs to one loop.
class http_server {
 public:
    static constexpr std::size_t max_request_bytes = 8 * 1024;
    static constexpr std::size_t max_connections = 64;
    static constexpr duration time_limit = std::chrono::seconds(5);  // of a connection, in all

    /// \param path  without the query behind it
    using page = std::function<http_answer(std::string_view path)>;

    /// \return as `wire::listener::listen`
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<http_server>> listen(
        loop& on, const wire::address& at, page pages);
    http_server(const http_server&) = delete;
    http_server& operator=(const http_server&) = delete;
    ~http_server();

    /// With the port it got.
    [[nodiscard]] const wire::address& bound() const noexcept { return listener_->bound(); }

 private:
    class visit;

    http_server(loop& on, page pages);
    void receive(int socket);

    loop& loop_;
    page pages_;
    std::list<visit> visits_;
    std::unique_ptr<wire::listener> listener_;
};

}  // namespace sluice::node
