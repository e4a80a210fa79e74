// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include <sluice/base/clock.hpp>

namespace sluice::histories {

/// A well mixed function of one number (the finaliser of splitmix64).
constexpr std::uint64_t mixed(std::uint64_t x) noexcept {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/// Random numbers that are the same on every machine.
class dice {
 public:
    explicit dice(std::uint64_t seed) noexcept : state_(mixed(seed)) {}

    std::uint64_t next() noexcept { return mixed(state_++); }
    /// 0 to n - 1. \pre n is not 0
    std::uint32_t below(std::uint32_t n) noexcept { return static_cast<std::uint32_t>(next() % n); }
    /// Both ends included.
    std::uint32_t between(std::uint32_t low, std::uint32_t high) noexcept {
        return low + below(high - low + 1);
    }
    duration between(duration low, duration high) noexcept {
        const auto span = static_cast<std::uint64_t>((high - low).count()) + 1;
        return low + duration{static_cast<duration::rep>(next() % span)};
    }
    bool chance(double p) noexcept { return static_cast<double>(next() >> 11) * 0x1p-53 < p; }
    template <class T>
    T pick(std::initializer_list<T> of) noexcept {
        return *(of.begin() + below(static_cast<std::uint32_t>(of.size())));
    }

 private:
    std::uint64_t state_;
};

}  // namespace sluice::histories
