// SPDX-License-Identifier: Apache-2.0
#include "provider_sockets.hpp"

#include <cstdlib>
#include <cstring>
#include <optional>

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::fabric {
namespace {

struct host_port {
    in6_addr host{};  // IPv4 ones mapped
    in_port_t port = 0;

    [[nodiscard]] bool any() const noexcept {
        return IN6_IS_ADDR_UNSPECIFIED(&host) ||
               (IN6_IS_ADDR_V4MAPPED(&host) && host.s6_addr32[3] == 0);
    }
    [[nodiscard]] bool is(const host_port& other) const noexcept {
        return port == other.port && std::memcmp(&host, &other.host, sizeof host) == 0;
    }
};

std::optional<host_port> host_port_of(std::span<const std::byte> bytes) noexcept {
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    sa_family_t family = 0;
    if (bytes.size() < sizeof family) {
        return std::nullopt;
    }
    std::memcpy(&family, bytes.data(), sizeof family);
    host_port out;
    if (family == AF_INET && bytes.size() >= sizeof v4) {
        std::memcpy(&v4, bytes.data(), sizeof v4);
        out.host.s6_addr[10] = 0xff;
        out.host.s6_addr[11] = 0xff;
        std::memcpy(&out.host.s6_addr[12], &v4.sin_addr, sizeof v4.sin_addr);
        out.port = v4.sin_port;
        return out;
    }
    if (family == AF_INET6 && bytes.size() >= sizeof v6) {
        std::memcpy(&v6, bytes.data(), sizeof v6);
        out.host = v6.sin6_addr;
        out.port = v6.sin6_port;
        return out;
    }
    return std::nullopt;
}

using name_of_end = int (*)(int, sockaddr*, socklen_t*);

std::optional<host_port> end_of(int socket, name_of_end name) noexcept {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    if (name(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
        return std::nullopt;
    }
    return host_port_of(std::as_bytes(std::span(&storage, 1)).first(size));
}

int peer_name(int s, sockaddr* a, socklen_t* n) { return ::getpeername(s, a, n); }
int own_name(int s, sockaddr* a, socklen_t* n) { return ::getsockname(s, a, n); }

/// Calls `act` with every descriptor of the process that may be a socket.
template <class Act>
void for_each_descriptor(Act act) noexcept {
    DIR* const folder = ::opendir("/proc/self/fd");
    if (folder == nullptr) {
        return;
    }
    const int own = ::dirfd(folder);
    while (const dirent* const entry = ::readdir(folder)) {
        char* end = nullptr;
        const long fd = std::strtol(entry->d_name, &end, 10);
        if (end != entry->d_name && *end == '\0' && fd != own) {
            act(static_cast<int>(fd));
        }
    }
    ::closedir(folder);
}

/// Calls `act` with every connection that was accepted at `local`.
template <class Act>
void for_each_accepted(const host_port& local, Act act) noexcept {
    for_each_descriptor([&](int fd) {
        const std::optional<host_port> there = end_of(fd, peer_name);  // none: it listens
        const std::optional<host_port> here = there ? end_of(fd, own_name) : std::nullopt;
        if (here && (here->is(local) || (local.any() && here->port == local.port))) {
            act(fd, *there);
        }
    });
}

// Another thread may have closed the descriptor meanwhile, and it may be somebody else's now: a
// duplicate stays what it is.
void shut(int fd, const host_port& peer) noexcept {
    const int own = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0) {
        return;
    }
    if (const std::optional<host_port> there = end_of(own, peer_name); there && there->is(peer)) {
        ::shutdown(own, SHUT_RDWR);
    }
    ::close(own);
}

socket_end packed(const host_port& end) noexcept {
    socket_end out{};
    std::memcpy(out.data(), &end.host, sizeof end.host);
    std::memcpy(out.data() + sizeof end.host, &end.port, sizeof end.port);
    return out;
}

void set_congestion_control(int socket, const std::string& name) noexcept {
    ::setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                 static_cast<socklen_t>(name.size()));
}

}  // namespace

void set_congestion_control_to(std::span<const std::byte> peer, const std::string& name) noexcept {
    const std::optional<host_port> wanted = host_port_of(peer);
    if (!wanted || name.empty()) {
        return;
    }
    for_each_descriptor([&](int fd) {
        const std::optional<host_port> there = end_of(fd, peer_name);
        if (there && there->is(*wanted)) {
            set_congestion_control(fd, name);
        }
    });
}

void set_congestion_control_at(std::span<const std::byte> local, const std::string& name) noexcept {
    const std::optional<host_port> wanted = host_port_of(local);
    if (!wanted || name.empty()) {
        return;
    }
    for_each_descriptor([&](int fd) {
        // Accepted sockets inherit it from the one that listens.
        int listens = 0;
        socklen_t size = sizeof listens;
        const std::optional<host_port> here = end_of(fd, own_name);
        if (here && here->is(*wanted) &&
            ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0) {
            set_congestion_control(fd, name);
        }
    });
}

std::optional<socket_end> socket_end_of(std::span<const std::byte> address) noexcept {
    const std::optional<host_port> end = host_port_of(address);
    return end ? std::optional(packed(*end)) : std::nullopt;
}

std::vector<socket_end> peers_at(std::span<const std::byte> local) {
    std::vector<socket_end> out;
    if (const std::optional<host_port> wanted = host_port_of(local)) {
        for_each_accepted(*wanted,
                          [&](int, const host_port& peer) { out.push_back(packed(peer)); });
    }
    return out;
}

void shut_connection_at(std::span<const std::byte> local, const socket_end& peer) noexcept {
    if (const std::optional<host_port> wanted = host_port_of(local)) {
        for_each_accepted(*wanted, [&](int fd, const host_port& there) {
            if (packed(there) == peer) {
                shut(fd, there);
            }
        });
    }
}

void shut_connections_to(std::span<const std::byte> peer) noexcept {
    const std::optional<host_port> wanted = host_port_of(peer);
    if (!wanted) {
        return;
    }
    for_each_descriptor([&](int fd) {
        const std::optional<host_port> there = end_of(fd, peer_name);
        if (there && there->is(*wanted)) {
            shut(fd, *wanted);
        }
    });
}

}  // namespace sluice::fabric
