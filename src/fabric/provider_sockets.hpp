// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace sluice::fabric {

// Providers on TCP do not give their sockets away, but two things can only be done to those. They
// are found among the process's descriptors by the addresses that they are connected to. Addresses
// are as providers write them: a sockaddr_in or sockaddr_in6; others have no sockets.

/// Uses a congestion control of the kernel's for connections to `peer`. Between machines of one
/// private network one that does not pace (cubic) moves up to half as much again as one that does
/// (bbr): pacing costs a timer for every few segments. Does nothing where that is not allowed.
void set_congestion_control_to(std::span<const std::byte> peer, const std::string& name) noexcept;

/// The same for the connections that were accepted at `local`.
void set_congestion_control_at(std::span<const std::byte> local, const std::string& name) noexcept;

/// Ends the connections to `peer`: what was under way on them fails.
void shut_connections_to(std::span<const std::byte> peer) noexcept;

}  // namespace sluice::fabric
