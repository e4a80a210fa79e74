// SPDX-License-Identifier: Apache-2.0
#include "address.hpp"

#include <algorithm>
#include <charconv>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <fmt/format.h>

namespace sluice::wire {
namespace {

constexpr std::string_view scheme = "tcp://";
constexpr std::size_t max_host_bytes = 253;  // of a DNS name

bool is_name(std::string_view host) {
    return !host.empty() && host.size() <= max_host_bytes &&
           std::all_of(host.begin(), host.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '-' || c == '_';
           });
}

// With a zone behind '%' or without.
bool is_ipv6(std::string_view host) {
    const std::size_t zone = host.find('%');
    if (zone != host.npos && !is_name(host.substr(zone + 1))) {
        return false;
    }
    in6_addr unused{};
    return ::inet_pton(AF_INET6, std::string(host.substr(0, zone)).c_str(), &unused) == 1;
}

absl::Status wrong(std::string_view text, std::string_view why) {
    return absl::InvalidArgumentError(
        fmt::format("address '{}': {}; it looks like tcp://host:port", text, why));
}

}  // namespace

absl::StatusOr<address> address::parse(std::string_view text) {
    if (!text.starts_with(scheme)) {
        return wrong(text, "no tcp://");
    }
    const std::string_view rest = text.substr(scheme.size());
    const std::size_t colon = rest.rfind(':');
    if (colon == rest.npos) {
        return wrong(text, "no port");
    }
    std::string_view host = rest.substr(0, colon);
    const std::string_view digits = rest.substr(colon + 1);
    if (host.starts_with('[') || host.ends_with(']')) {
        if (host.size() < 2 || !host.starts_with('[') || !host.ends_with(']') ||
            !is_ipv6(host.substr(1, host.size() - 2))) {
            return wrong(text, "no IPv6 address in the brackets");
        }
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != host.npos) {
        return wrong(text, "an IPv6 address stands in brackets");
    } else if (!is_name(host)) {
        return wrong(text, "no host name");
    }
    address out;
    const char* const end = digits.data() + digits.size();
    const auto [last, error] = std::from_chars(digits.data(), end, out.port);
    if (digits.empty() || error != std::errc() || last != end) {
        return wrong(text, "the port is not 0 to 65535");
    }
    out.host = std::string(host);
    return out;
}

std::string address::text() const {
    return host.find(':') == host.npos ? fmt::format("tcp://{}:{}", host, port)
                                       : fmt::format("tcp://[{}]:{}", host, port);
}

}  // namespace sluice::wire
