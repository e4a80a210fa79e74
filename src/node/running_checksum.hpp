// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

struct XXH3_state_s;

namespace sluice::node {

/// `checksum64` of bytes that come in pieces.
class running_checksum {
 public:
    running_checksum();

    void start() noexcept;
    void add(std::span<const std::byte> bytes) noexcept;
    /// Of what was added since `start`.
    [[nodiscard]] std::uint64_t value() const noexcept;

 private:
    struct deleter {
        void operator()(XXH3_state_s* s) const noexcept;
    };
    std::unique_ptr<XXH3_state_s, deleter> state_;
};

}  // namespace sluice::node
