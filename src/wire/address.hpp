// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

namespace sluice::wire {

/// Where a node listens: "tcp://host:port", the host a name, an IPv4 address or an IPv6 address in
/// brackets.
struct address {
    std::string host;
    std::uint16_t port = 0;

    /// \return kInvalidArgument, saying what is wrong.
    [[nodiscard]] static absl::StatusOr<address> parse(std::string_view text);
    [[nodiscard]] std::string text() const;
    friend bool operator==(const address&, const address&) = default;
};

}  // namespace sluice::wire
