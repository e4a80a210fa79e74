// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <sluice/kv/block_key.hpp>

namespace sluice::wire {

// `byte_writer` and `byte_reader` have the same members, so that one function template says what a
// message is made of and serves both ways. Numbers are little endian; a list or a text has its
// count before it, in two bytes, a long list in four.

/// Appends fields. What breaks its bounds is an error of ours.
class byte_writer {
 public:
    explicit byte_writer(std::vector<std::byte>& out) noexcept : out_(out) {}

    void magic(std::uint32_t value) { put(value); }
    template <std::unsigned_integral T>
    void number([[maybe_unused]] std::string_view name, T value,
                [[maybe_unused]] std::type_identity_t<T> least = 0,
                [[maybe_unused]] std::type_identity_t<T> most = static_cast<T>(~T{0})) {
        assert(value >= least && value <= most);
        put(value);
    }
    void flag(std::string_view, bool value) { put(static_cast<std::uint8_t>(value ? 1 : 0)); }
    template <class Enum>
    void choice([[maybe_unused]] std::string_view name, Enum value, [[maybe_unused]] Enum last) {
        assert(value <= last);
        put(static_cast<std::uint8_t>(value));
    }
    template <std::size_t N>
    void bytes(std::string_view, const std::array<std::byte, N>& value) {
        append(value);
    }
    void blob(std::string_view, const std::vector<std::byte>& value,
              [[maybe_unused]] std::size_t least, [[maybe_unused]] std::size_t most) {
        assert(value.size() >= least && value.size() <= most);
        put(static_cast<std::uint16_t>(value.size()));
        append(value);
    }
    void printable(std::string_view, const std::string& value, [[maybe_unused]] std::size_t most) {
        assert(!value.empty() && value.size() <= most);
        put(static_cast<std::uint16_t>(value.size()));
        append(std::as_bytes(std::span(value)));
    }
    /// Cut to `most` bytes, not inside a UTF-8 sequence.
    void text(std::string_view, const std::string& value, std::size_t most) {
        std::size_t size = std::min(value.size(), most);
        if (size < value.size()) {
            while (size > 0 && (static_cast<unsigned char>(value[size]) & 0xc0) == 0x80) {
                --size;
            }
        }
        put(static_cast<std::uint16_t>(size));
        append(std::as_bytes(std::span(value)).first(size));
    }
    void key(std::string_view, const block_key& value) {
        assert(!value.empty());
        put(static_cast<std::uint8_t>(value.size()));
        append(value.bytes());
    }
    template <class T, class Each>
    void list(std::string_view, const std::vector<T>& items, std::size_t, std::size_t most,
              Each each) {
        assert(!items.empty() && items.size() <= most);
        put(static_cast<std::uint16_t>(std::min(items.size(), most)));
        for (const T& item : items) {
            each(*this, item);
        }
    }
    template <class T, class Each>
    void long_list(std::string_view, const std::vector<T>& items, std::size_t, std::size_t most,
                   Each each) {
        assert(items.size() <= most);
        put(static_cast<std::uint32_t>(std::min(items.size(), most)));
        for (const T& item : items) {
            each(*this, item);
        }
    }
    void real(std::string_view, double value) { put(std::bit_cast<std::uint64_t>(value)); }
    void require([[maybe_unused]] bool holds, std::string_view, std::string_view) { assert(holds); }

 private:
    template <std::unsigned_integral T>
    void put(T value) {
        std::array<std::byte, sizeof(T)> raw{};
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            raw[i] = static_cast<std::byte>(value >> (8 * i));
        }
        append(raw);
    }
    void append(std::span<const std::byte> raw) { out_.insert(out_.end(), raw.begin(), raw.end()); }

    std::vector<std::byte>& out_;
};

/// Reads fields that somebody else wrote. After the first that is wrong it reads no more, and what
/// it has read means nothing.
class byte_reader {
 public:
    explicit byte_reader(std::span<const std::byte> in) noexcept : in_(in) {}

    /// Which field is wrong, and why; null if none is.
    [[nodiscard]] const char* wrong() const noexcept { return why_; }
    [[nodiscard]] std::string_view where() const noexcept { return where_; }
    [[nodiscard]] std::size_t left() const noexcept { return in_.size(); }

    void magic(std::uint32_t value) {
        std::uint32_t got = value;
        take("magic", got);
        require(got == value, "magic", "is not that of this protocol");
    }
    template <std::unsigned_integral T>
    void number(std::string_view name, T& value, std::type_identity_t<T> least = 0,
                std::type_identity_t<T> most = static_cast<T>(~T{0})) {
        take(name, value);
        require(value >= least && value <= most, name, "is out of its bounds");
    }
    void flag(std::string_view name, bool& value) {
        std::uint8_t raw = 0;
        number(name, raw, 0, 1);
        value = raw == 1;
    }
    template <class Enum>
    void choice(std::string_view name, Enum& value, Enum last) {
        std::uint8_t raw = 0;
        number(name, raw, 0, static_cast<std::uint8_t>(last));
        if (why_ == nullptr) {
            value = static_cast<Enum>(raw);
        }
    }
    template <std::size_t N>
    void bytes(std::string_view name, std::array<std::byte, N>& value) {
        const std::span<const std::byte> raw = cut(name, N);
        std::copy(raw.begin(), raw.end(), value.begin());
    }
    void blob(std::string_view name, std::vector<std::byte>& value, std::size_t least,
              std::size_t most) {
        const std::span<const std::byte> raw = counted(name, least, most);
        value.assign(raw.begin(), raw.end());
    }
    void printable(std::string_view name, std::string& value, std::size_t most) {
        text(name, value, most, 1);
        const bool plain =
            std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
        require(plain, name, "has bytes that are not printable ASCII");
    }
    void text(std::string_view name, std::string& value, std::size_t most, std::size_t least = 0) {
        const std::span<const std::byte> raw = counted(name, least, most);
        value.resize(raw.size());
        std::copy(raw.begin(), raw.end(), std::as_writable_bytes(std::span(value)).begin());
    }
    void key(std::string_view name, block_key& value) {
        std::uint8_t size = 0;
        number(name, size, 1, block_key::max_size);
        const std::span<const std::byte> raw = cut(name, size);
        if (why_ == nullptr) {
            value = *block_key::from_bytes(raw);
        }
    }
    /// \param smallest  bytes that an item takes at least
    template <class T, class Each>
    void list(std::string_view name, std::vector<T>& items, std::size_t smallest, std::size_t most,
              Each each) {
        std::uint16_t count = 0;
        number(name, count, 1, static_cast<std::uint16_t>(most));
        take_items(name, count, items, smallest, each);
    }
    /// As `list`, but may be empty.
    template <class T, class Each>
    void long_list(std::string_view name, std::vector<T>& items, std::size_t smallest,
                   std::size_t most, Each each) {
        std::uint32_t count = 0;
        number(name, count, 0, static_cast<std::uint32_t>(most));
        take_items(name, count, items, smallest, each);
    }
    /// A number, infinite ones included.
    void real(std::string_view name, double& value) {
        std::uint64_t bits = 0;
        take(name, bits);
        value = std::bit_cast<double>(bits);
        require(!std::isnan(value), name, "is not a number");
    }
    void require(bool holds, std::string_view name, const char* otherwise) noexcept {
        if (!holds && why_ == nullptr) {
            where_ = name;
            why_ = otherwise;
        }
    }

 private:
    std::span<const std::byte> cut(std::string_view name, std::size_t size) noexcept {
        require(size <= in_.size(), name, "is cut short");
        if (why_ != nullptr) {
            return {};
        }
        const std::span<const std::byte> raw = in_.first(size);
        in_ = in_.subspan(size);
        return raw;
    }
    template <class T, class Each>
    void take_items(std::string_view name, std::size_t count, std::vector<T>& items,
                    std::size_t smallest, Each& each) {
        require(count <= in_.size() / smallest, name, "is cut short");
        if (why_ != nullptr) {
            return;
        }
        items.clear();
        items.reserve(count);
        for (std::size_t i = 0; i < count && why_ == nullptr; ++i) {
            each(*this, items.emplace_back());
        }
    }
    template <std::unsigned_integral T>
    void take(std::string_view name, T& value) noexcept {
        const std::span<const std::byte> raw = cut(name, sizeof(T));
        T sum = 0;
        for (std::size_t i = 0; i < raw.size(); ++i) {
            sum = static_cast<T>(sum | static_cast<T>(static_cast<T>(raw[i]) << (8 * i)));
        }
        value = sum;
    }
    std::span<const std::byte> counted(std::string_view name, std::size_t least,
                                       std::size_t most) noexcept {
        std::uint16_t size = 0;
        number(name, size, static_cast<std::uint16_t>(least), static_cast<std::uint16_t>(most));
        return cut(name, size);
    }

    std::span<const std::byte> in_;
    std::string_view where_;
    const char* why_ = nullptr;
};

}  // namespace sluice::wire
