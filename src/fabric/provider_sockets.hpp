// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sluice::fabric {

// Providers on TCP do not give their sockets away, but some things can only be done to those. They
// are found among the process's descriptors by the addresses that they are connected to. Addresses
// are as providers write them: a sockaddr_in or sockaddr_in6; others have no sockets.

/// Uses a congestion control of the kernel's for connections to `peer`. Between machines of one
/// private network one that does not pace (cubic) moves up to half as much again as one that does
/// (bbr): pacing costs a timer for every few segments. Does nothing where that is not allowed.
void set_congestion_control_to(std::span<const std::byte> peer, const std::string& name) noexcept;

/// The same for connections that will be accepted at `local`, where this process listens.
void set_congestion_control_at(std::span<const std::byte> local, const std::string& name) noexcept;

/// An end of a connection: host (IPv4 mapped) and port, as in a sockaddr_in6.
using socket_end = std::array<std::byte, 18>;
/// Nothing if it is not an address of that kind.
[[nodiscard]] std::optional<socket_end> socket_end_of(std::span<const std::byte> address) noexcept;
/// The other ends of the connections that were accepted at `local`.
[[nodiscard]] std::vector<socket_end> peers_at(std::span<const std::byte> local);
/// Ends one of them.
void shut_connection_at(std::span<const std::byte> local, const socket_end& peer) noexcept;

/// Ends the connections to `peer`: what was under way on them fails.
void shut_connections_to(std::span<const std::byte> peer) noexcept;

}  // namespace sluice::fabric
