// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <absl/status/status.h>

#include "raw_endpoint.hpp"

namespace sluice::bench {

struct raw_target_options {
    std::string provider = "tcp";
    raw_kind kind = raw_kind::any;
    std::uint64_t bytes = 0;  ///< of the pool that is read
    int fd = -1;              ///< a stream socket to the reading process
};

/// What the target says on its socket, once: how to reach its pool, or why that will not be.
struct raw_hello {
    std::array<char, 256> error{};  ///< text; empty if all is well
    std::array<std::byte, 256> address{};
    std::uint32_t address_bytes = 0;
    std::uint64_t base = 0;  ///< remote address of the pool's first byte
    std::uint64_t key = 0;
};

/// Every word of a pool names its place: the one at byte `offset` is
/// `raw_pattern(offset)`, `offset` a multiple of 8.
[[nodiscard]] constexpr std::uint64_t raw_pattern(std::uint64_t offset) noexcept {
    return offset * 0x9e3779b97f4a7c15u + 1;
}

/// Memory on huge pages where the machine gives them, filled with the pattern and so touched.
/// Empty if there is none.
class raw_pool {
 public:
    explicit raw_pool(std::uint64_t bytes) noexcept;
    ~raw_pool();
    raw_pool(const raw_pool&) = delete;
    raw_pool& operator=(const raw_pool&) = delete;
    [[nodiscard]] std::span<std::byte> pages() const noexcept { return pages_; }
    /// The pattern again, where something else was read into it.
    void fill() noexcept;

 private:
    std::span<std::byte> pages_;
};

/// The passive end of the benchmark's barest transfer: exports a patterned pool to one reader and
/// drives its provider until the socket is closed at the other end. Sleeps on the provider's wait
/// object or, where it has none, in polls of one millisecond. Returns when the reader has gone.
///
/// What keeps it from exporting the pool is said to the reader, not returned.
///
/// \return kUnavailable: the reader has gone; kDeadlineExceeded: it does not connect; kInternal.
[[nodiscard]] absl::Status run_raw_target(const raw_target_options& options);

}  // namespace sluice::bench
