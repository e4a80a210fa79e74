// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace sluice::node {

/// An array that grows at its end and never moves what it holds: no pause when it is large.
template <class T>
class paged {
 public:
    [[nodiscard]] T& operator[](std::uint32_t i) noexcept {
        return pages_[i / page_size][i % page_size];
    }
    [[nodiscard]] const T& operator[](std::uint32_t i) const noexcept {
        return pages_[i / page_size][i % page_size];
    }
    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

    /// One more element, as T{} makes it; \return its index.
    std::uint32_t grow() {
        if (size_ == pages_.size() * page_size) {
            pages_.push_back(std::make_unique<T[]>(page_size));
        }
        return size_++;
    }

 private:
    static constexpr std::size_t page_size = 1024;

    std::vector<std::unique_ptr<T[]>> pages_;
    std::uint32_t size_ = 0;
};

}  // namespace sluice::node
