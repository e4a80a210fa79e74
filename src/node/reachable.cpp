// SPDX-License-Identifier: Apache-2.0
#include "reachable.hpp"

#include <algorithm>
#include <cstring>

#include <netinet/in.h>
#include <sys/socket.h>

namespace sluice::node {
namespace {

// All zero bytes: any interface.
template <class Address, class Part>
void fill_in(std::vector<std::byte>& endpoint, const sockaddr_storage& own, int family,
             Part Address::*part) noexcept {
    Address there;
    std::memcpy(&there, endpoint.data(), sizeof there);
    const Part any{};
    if (own.ss_family != family || std::memcmp(&(there.*part), &any, sizeof any) != 0) {
        return;
    }
    Address here;
    std::memcpy(&here, &own, sizeof here);
    there.*part = here.*part;
    std::memcpy(endpoint.data(), &there, sizeof there);
}

}  // namespace

void make_reachable(std::vector<std::byte>& endpoint, int socket) noexcept {
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    sa_family_t family = 0;
    if (endpoint.size() < sizeof family ||
        ::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &size) != 0) {
        return;
    }
    std::memcpy(&family, endpoint.data(), sizeof family);
    if (family == AF_INET && endpoint.size() == sizeof(sockaddr_in)) {
        fill_in(endpoint, own, AF_INET, &sockaddr_in::sin_addr);
    } else if (family == AF_INET6 && endpoint.size() == sizeof(sockaddr_in6)) {
        fill_in(endpoint, own, AF_INET6, &sockaddr_in6::sin6_addr);
    }
}

}  // namespace sluice::node
