// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace sluice {

/// A set of integers below 2^24 with a fast "smallest member" and "largest member": the pending
/// blocks of a request at a stage. One bit each; up to 64 take no memory of their own.
class block_set {
 public:
    static constexpr std::uint32_t none = UINT32_MAX;

    block_set() = default;
    block_set(block_set&& other) noexcept { swap(other); }
    block_set& operator=(block_set&& other) noexcept {
        block_set old = std::move(*this);
        swap(other);
        return *this;
    }
    ~block_set() {
        if (size_ > 1) {
            delete[] words();
        }
    }

    /// Empty, with room for 0 to `n` - 1.
    void resize(std::uint32_t n) {
        const auto words = static_cast<std::uint32_t>((std::uint64_t{n} + 63) / 64);
        if (words > 1 && words != size_) {
            *this = block_set(words, new std::uint64_t[words]);
        } else if (words <= 1) {
            *this = block_set(words, nullptr);
        }
        std::fill_n(this->words(), std::max(words, 1U), 0);
        count_ = 0;
        hint_ = 0;
    }

    /// \return false if `i` was in already.
    bool insert(std::uint32_t i) noexcept {
        std::uint64_t& word = words()[i / 64];
        const std::uint64_t bit = std::uint64_t{1} << (i % 64);
        if ((word & bit) != 0) {
            return false;
        }
        word |= bit;
        ++count_;
        if (i / 64 < hint_) {
            hint_ = (i / 64) & word_mask;
        }
        return true;
    }

    /// \return false if `i` was not in.
    bool erase(std::uint32_t i) noexcept {
        std::uint64_t& word = words()[i / 64];
        const std::uint64_t bit = std::uint64_t{1} << (i % 64);
        if ((word & bit) == 0) {
            return false;
        }
        word &= ~bit;
        --count_;
        return true;
    }

    /// The smallest member, or `none`.
    [[nodiscard]] std::uint32_t first() noexcept {
        if (count_ == 0) {
            return none;
        }
        while (words()[hint_] == 0) {
            ++hint_;  // nothing below the hint: amortised over the inserts
        }
        return static_cast<std::uint32_t>(hint_) * 64 +
               static_cast<std::uint32_t>(std::countr_zero(words()[hint_]));
    }

    /// The largest member, or `none`.
    [[nodiscard]] std::uint32_t last() const noexcept {
        return before(std::max(static_cast<std::uint32_t>(size_), 1U) * 64);
    }

    /// The largest member below `i`, or `none`.
    [[nodiscard]] std::uint32_t before(std::uint32_t i) const noexcept {
        if (count_ == 0) {
            return none;
        }
        std::uint32_t at = i / 64;
        std::uint64_t word = i % 64 == 0 ? 0 : words()[at] & ((std::uint64_t{1} << (i % 64)) - 1);
        while (word == 0) {
            if (at == 0) {
                return none;
            }
            word = words()[--at];
        }
        return at * 64 + 63 - static_cast<std::uint32_t>(std::countl_zero(word));
    }

    [[nodiscard]] std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(count_); }
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }

 private:
    static constexpr std::uint32_t word_mask = (1U << 20) - 1;
    static constexpr std::uint32_t member_mask = (1U << 24) - 1;

    block_set(std::uint32_t words, std::uint64_t* memory) noexcept
        : bits_(reinterpret_cast<std::uintptr_t>(memory)), size_(words & word_mask) {}
    void swap(block_set& other) noexcept {
        std::swap(bits_, other.bits_);
        const std::uint64_t size = size_;
        const std::uint64_t hint = hint_;
        const std::uint64_t count = count_;
        size_ = other.size_;
        hint_ = other.hint_;
        count_ = other.count_;
        other.size_ = size & word_mask;
        other.hint_ = hint & word_mask;
        other.count_ = count & member_mask;
    }
    [[nodiscard]] std::uint64_t* words() noexcept {
        return size_ > 1 ? reinterpret_cast<std::uint64_t*>(bits_) : &bits_;
    }
    [[nodiscard]] const std::uint64_t* words() const noexcept {
        return size_ > 1 ? reinterpret_cast<const std::uint64_t*>(bits_) : &bits_;
    }

    std::uint64_t bits_ = 0;       // the only word, or where the words are
    std::uint64_t size_ : 20 = 0;  // in words
    std::uint64_t hint_ : 20 = 0;  // no member is in the words below
    std::uint64_t count_ : 24 = 0;
};

}  // namespace sluice
