// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sys/socket.h>

#include <absl/status/statusor.h>

#include "address.hpp"

namespace sluice::wire {

/// An address as sockets take it.
struct socket_address {
    sockaddr_storage storage{};
    socklen_t size = sizeof(sockaddr_storage);

    [[nodiscard]] const sockaddr* get() const noexcept {
        return reinterpret_cast<const sockaddr*>(&storage);
    }
    [[nodiscard]] sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
    /// 0 if it is no address of the internet.
    [[nodiscard]] std::uint16_t port() const noexcept;
    /// "10.0.0.1:7400", "[::1]:7400".
    [[nodiscard]] std::string text() const;
};

/// All TCP addresses of a host, the one to try first in front; never none. Waits for the name
/// service, except for numeric addresses.
/// \return kInvalidArgument: the name is not known; kUnavailable: the name service does not answer;
///         kResourceExhausted.
[[nodiscard]] absl::StatusOr<std::vector<socket_address>> resolve(const address& at);

}  // namespace sluice::wire
