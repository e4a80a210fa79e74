// SPDX-License-Identifier: Apache-2.0
#include "resolve.hpp"

#include <array>
#include <cstring>

#include <netdb.h>
#include <netinet/in.h>

#include <fmt/format.h>

namespace sluice::wire {

std::uint16_t socket_address::port() const noexcept {
    if (storage.ss_family == AF_INET) {
        sockaddr_in v4;
        std::memcpy(&v4, &storage, sizeof v4);
        return ntohs(v4.sin_port);
    }
    if (storage.ss_family == AF_INET6) {
        sockaddr_in6 v6;
        std::memcpy(&v6, &storage, sizeof v6);
        return ntohs(v6.sin6_port);
    }
    return 0;
}

std::string socket_address::text() const {
    std::array<char, NI_MAXHOST> host{};
    if (::getnameinfo(get(), size, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST) != 0) {
        return "unknown";
    }
    return storage.ss_family == AF_INET6 ? fmt::format("[{}]:{}", host.data(), port())
                                         : fmt::format("{}:{}", host.data(), port());
}

absl::StatusOr<std::vector<socket_address>> resolve(const address& at) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    int error = EAI_NONAME;
    // Numbers need no name service. A machine without a network has no address to configure for,
    // yet its own name works: hence the last.
    for (const int flags : {AI_NUMERICHOST, AI_ADDRCONFIG, 0}) {
        hints.ai_flags = flags | AI_NUMERICSERV;
        error = ::getaddrinfo(at.host.c_str(), std::to_string(at.port).c_str(), &hints, &list);
        if (error != EAI_NONAME && error != EAI_NODATA && error != EAI_ADDRFAMILY) {
            break;
        }
    }
    if (error != 0) {
        const auto code = error == EAI_AGAIN || error == EAI_FAIL ? absl::StatusCode::kUnavailable
                          : error == EAI_MEMORY || error == EAI_SYSTEM
                              ? absl::StatusCode::kResourceExhausted
                              : absl::StatusCode::kInvalidArgument;
        return absl::Status(code,
                            fmt::format("no address of '{}': {}", at.host, ::gai_strerror(error)));
    }
    std::vector<socket_address> out;
    for (const addrinfo* i = list; i != nullptr; i = i->ai_next) {
        socket_address& a = out.emplace_back();
        std::memcpy(&a.storage, i->ai_addr, i->ai_addrlen);
        a.size = i->ai_addrlen;
    }
    ::freeaddrinfo(list);
    return out;
}

}  // namespace sluice::wire
