// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice {

/// A set of small integers with a fast "smallest member": the pending blocks of a request at a
/// stage. One bit each.
class block_set {
 public:
    static constexpr std::uint32_t none = UINT32_MAX;

    void resize(std::uint32_t n) {
        words_.assign((std::size_t{n} + 63) / 64, 0);
        count_ = 0;
        hint_ = 0;
    }

    /// \return false if `i` was in already.
    bool insert(std::uint32_t i) noexcept {
        std::uint64_t& word = words_[i / 64];
        const std::uint64_t bit = std::uint64_t{1} << (i % 64);
        if ((word & bit) != 0) {
            return false;
        }
        word |= bit;
        ++count_;
        hint_ = hint_ < i / 64 ? hint_ : i / 64;
        return true;
    }

    /// \return false if `i` was not in.
    bool erase(std::uint32_t i) noexcept {
        std::uint64_t& word = words_[i / 64];
        const std::uint64_t bit = std::uint64_t{1} << (i % 64);
        if ((word & bit) == 0) {
            return false;
        }
        word &= ~bit;
        --count_;
        return true;
    }

    [[nodiscard]] bool contains(std::uint32_t i) const noexcept {
        return ((words_[i / 64] >> (i % 64)) & 1) != 0;
    }

    /// The smallest member, or `none`.
    [[nodiscard]] std::uint32_t first() noexcept {
        if (count_ == 0) {
            return none;
        }
        while (words_[hint_] == 0) {
            ++hint_;  // nothing below the hint: amortised over the inserts
        }
        return hint_ * 64 + static_cast<std::uint32_t>(std::countr_zero(words_[hint_]));
    }

    [[nodiscard]] std::uint32_t size() const noexcept { return count_; }
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }

    /// Forgets everything and gives the memory back.
    void reset() noexcept {
        words_ = {};
        count_ = 0;
        hint_ = 0;
    }

 private:
    std::vector<std::uint64_t> words_;
    std::uint32_t count_ = 0;
    std::uint32_t hint_ = 0;
};

}  // namespace sluice
