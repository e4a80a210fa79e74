// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <latch>
#include <vector>

#include <absl/status/status.h>

#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>
#include <sluice/stage/operation.hpp>

namespace sluice::test {

/// An operation that notes how often, when and in which order it completed.
template <class Op>
struct tracked : Op {
    /// \param order  gets the address of each operation that completes; used on `home` only.
    /// \param all    counted down once per completion.
    explicit tracked(loop& home, std::vector<const operation*>* order = nullptr,
                     std::latch* all = nullptr)
        : home_loop(&home), completed(order), latch(all) {
        this->on_completion(home, [](operation& op) noexcept {
            auto& self = static_cast<tracked&>(op);
            self.at = self.home_loop->now();
            ++self.times;
            if (self.completed != nullptr) {
                self.completed->push_back(&op);
            }
            if (self.latch != nullptr) {
                self.latch->count_down();
            }
        });
    }

    [[nodiscard]] bool done() const { return times > 0; }
    [[nodiscard]] absl::StatusCode code() const { return this->status().code(); }
    /// Virtual nanoseconds at completion.
    [[nodiscard]] std::int64_t ns() const { return at.time_since_epoch().count(); }

    loop* home_loop;
    std::vector<const operation*>* completed;
    std::latch* latch;
    int times = 0;
    time_point at = never;
};

/// `n` bytes that depend on `seed` and on their position.
inline std::vector<std::byte> pattern(std::size_t n, std::uint64_t seed) {
    std::vector<std::byte> bytes(n);
    std::uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    for (std::byte& b : bytes) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        b = static_cast<std::byte>(x >> 56);
    }
    return bytes;
}

}  // namespace sluice::test
