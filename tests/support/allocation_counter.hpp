// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sluice::test {

/// Counts the calls of operator new in this program, by all threads.
///
/// \code
/// allocation_counter count;
/// work_that_allocates_nothing();
/// CHECK(count.allocations() == 0);
/// \endcode
class allocation_counter {
 public:
    allocation_counter() noexcept : start_(total()) {}

    /// Since construction. Under sanitizers, whose operator new stays: always 0. Counts that depend
    /// on the frame cache hold there for that reason only.
    [[nodiscard]] std::uint64_t allocations() const noexcept { return total() - start_; }

    /// Whether it counts at all.
    static bool counts() noexcept;

 private:
    static std::uint64_t total() noexcept;

    std::uint64_t start_;
};

}  // namespace sluice::test
