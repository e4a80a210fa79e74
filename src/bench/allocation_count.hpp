// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sluice::bench {

/// Counts the calls of operator new by all threads of this program while it lives. One at a time.
/// Programs that link it have an operator new of their own; under sanitizers it counts nothing.
class allocation_count {
 public:
    allocation_count() noexcept;
    allocation_count(const allocation_count&) = delete;
    allocation_count& operator=(const allocation_count&) = delete;
    ~allocation_count();

    [[nodiscard]] std::uint64_t value() const noexcept;
};

}  // namespace sluice::bench
