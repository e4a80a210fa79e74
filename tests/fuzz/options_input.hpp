// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace sluice_test {

/// The bytes of a fuzzer as choices. When they have run out every choice is the first.
class choices {
 public:
    explicit choices(std::span<const std::uint8_t> bytes) noexcept : rest_(bytes) {}

    [[nodiscard]] bool empty() const noexcept { return rest_.empty(); }

    std::uint8_t byte() noexcept {
        if (rest_.empty()) {
            return 0;
        }
        const std::uint8_t b = rest_.front();
        rest_ = rest_.subspan(1);
        return b;
    }
    /// 0 to n - 1.
    std::size_t below(std::size_t n) noexcept { return byte() % n; }
    bool flag() noexcept { return (byte() & 1) != 0; }

    std::uint64_t raw64() noexcept {
        std::uint64_t n = 0;
        for (int i = 0; i < 8; ++i) {
            n = n << 8 | byte();
        }
        return n;
    }
    /// Small, large, at the ends of types, or any.
    std::uint64_t number() noexcept {
        constexpr std::uint64_t ends[] = {0,
                                          1,
                                          2,
                                          15,
                                          16,
                                          17,
                                          31,
                                          32,
                                          33,
                                          63,
                                          64,
                                          255,
                                          256,
                                          4095,
                                          4096,
                                          65535,
                                          65536,
                                          1U << 20,
                                          1U << 24,
                                          1U << 30,
                                          INT32_MAX,
                                          1ULL << 31,
                                          1U << 2,
                                          UINT32_MAX,
                                          1ULL << 32,
                                          1ULL << 40,
                                          1ULL << 50,
                                          1ULL << 60,
                                          1ULL << 62,
                                          3,
                                          1'000'000,
                                          1ULL << 63,
                                          INT64_MAX,
                                          UINT64_MAX,
                                          UINT64_MAX - 1,
                                          INT64_MAX - 1};
        const std::uint8_t b = byte();
        if (b < std::size(ends)) {
            return ends[b];
        }
        return b < 160 ? b - std::size(ends) : raw64();
    }
    double real() noexcept {
        constexpr double known[] = {0,
                                    1,
                                    -1,
                                    0.5,
                                    1e-300,
                                    1e-9,
                                    1e9,
                                    1e300,
                                    std::numeric_limits<double>::infinity(),
                                    -std::numeric_limits<double>::infinity(),
                                    std::numeric_limits<double>::quiet_NaN(),
                                    std::numeric_limits<double>::denorm_min()};
        const std::uint8_t b = byte();
        if (b < std::size(known)) {
            return known[b];
        }
        const std::uint64_t bits = raw64();
        double d = 0;
        std::memcpy(&d, &bits, sizeof d);
        return d;
    }
    std::vector<std::uint8_t> bytes(std::size_t n) {
        std::vector<std::uint8_t> out(n);
        std::ranges::generate(out, [this] { return byte(); });
        return out;
    }

 private:
    std::span<const std::uint8_t> rest_;
};

/// Memory for the arguments of one call, each piece by itself and no larger than what is said, so
/// that a sanitizer sees it if more is read.
class arguments {
 public:
    /// A copy, as `size` bytes.
    void* put(const void* from, std::size_t size) {
        pieces_.push_back(std::make_unique<std::byte[]>(size));
        if (size > 0) {
            std::memcpy(pieces_.back().get(), from, size);
        }
        return pieces_.back().get();
    }
    template <class T>
    T* array(const std::vector<T>& values) {
        return static_cast<T*>(put(values.data(), values.size() * sizeof(T)));
    }

    /// A struct that begins with its size: whole, short, long with a tail of zeros or not, of a
    /// size that cannot be; or NULL.
    template <class T>
    T* sized(choices& in, T value) {
        static_assert(std::is_trivially_copyable_v<T>);
        std::uint32_t size = sizeof(T);
        std::vector<std::byte> tail;
        switch (in.below(16)) {
        case 10: size = static_cast<std::uint32_t>(4 + in.below(sizeof(T) - 3)); break;
        case 11: tail.resize(1 + in.below(100)); break;
        case 12:
            tail.resize(1 + in.below(100));
            tail[in.below(tail.size())] = static_cast<std::byte>(in.byte());
            break;
        case 13: return nullptr;
        case 14: {
            constexpr std::uint32_t wrong[] = {0, 1, 3, 4097, UINT32_MAX, 1U << 31};
            value.struct_size = wrong[in.below(std::size(wrong))];
            return static_cast<T*>(put(&value, sizeof value));
        }
        default: break;
        }
        value.struct_size = size + static_cast<std::uint32_t>(tail.size());
        std::vector<std::byte> whole(size + tail.size());
        std::memcpy(whole.data(), &value, size);
        std::ranges::copy(tail, whole.begin() + size);
        return reinterpret_cast<T*>(put(whole.data(), whole.size()));
    }

 private:
    std::vector<std::unique_ptr<std::byte[]>> pieces_;
};

}  // namespace sluice_test
