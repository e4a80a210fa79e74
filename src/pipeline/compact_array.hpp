// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// An array of trivial elements that costs one pointer while it is empty: a request has several and
/// mostly one block. In front of the elements stand their number and a tag of the owner's.
template <class T>
class compact_array {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= 8);

 public:
    compact_array() = default;
    compact_array(compact_array&& other) noexcept
        : memory_(std::exchange(other.memory_, nullptr)) {}
    compact_array& operator=(compact_array&& other) noexcept {
        std::swap(memory_, other.memory_);
        return *this;
    }
    ~compact_array() { clear(); }

    /// `n` copies of `value`.
    void assign(std::size_t n, const T& value, std::uint32_t tag = 0) {
        allocate(n, tag);
        std::uninitialized_fill_n(data(), n, value);
    }
    void assign(std::span<const T> from) {
        allocate(from.size(), 0);
        std::uninitialized_copy_n(from.data(), from.size(), data());
    }
    void clear() noexcept {
        ::operator delete(memory_);
        memory_ = nullptr;
    }

    [[nodiscard]] std::size_t size() const noexcept {
        return memory_ == nullptr ? 0 : memory_->size;
    }
    [[nodiscard]] bool empty() const noexcept { return memory_ == nullptr; }
    [[nodiscard]] T* data() const noexcept {
        return memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + 1);
    }
    [[nodiscard]] T& operator[](std::size_t i) const noexcept { return data()[i]; }
    [[nodiscard]] operator std::span<T>() const noexcept { return {data(), size()}; }
    [[nodiscard]] operator std::span<const T>() const noexcept { return {data(), size()}; }

    /// The tag of the array whose first element this is.
    [[nodiscard]] static std::uint32_t tag_of(const T* first) noexcept {
        return (reinterpret_cast<const header*>(first) - 1)->tag;
    }

 private:
    struct header {
        std::uint32_t size;
        std::uint32_t tag;
    };

    void allocate(std::size_t n, std::uint32_t tag) {
        clear();
        if (n > 0) {
            memory_ = ::new (::operator new(sizeof(header) + n * sizeof(T)))
                header{static_cast<std::uint32_t>(n), tag};
        }
    }

    header* memory_ = nullptr;
};

}  // namespace sluice::detail
