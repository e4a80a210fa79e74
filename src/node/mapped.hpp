// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include <sys/mman.h>

#include "../pages.hpp"

namespace sluice::node {

/// Memory from `map_pages`, given back at the end.
class mapped {
 public:
    mapped() = default;
    /// Empty if there is none.
    explicit mapped(std::size_t bytes) noexcept : pages_(detail::map_pages(bytes)), bytes_(bytes) {}
    mapped(mapped&& other) noexcept
        : pages_(std::exchange(other.pages_, {})), bytes_(std::exchange(other.bytes_, 0)) {}
    mapped& operator=(mapped&& other) noexcept {
        std::swap(pages_, other.pages_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~mapped() { detail::unmap_pages(pages_); }

    /// As many bytes as were asked for.
    [[nodiscard]] std::span<std::byte> bytes() const noexcept {
        return pages_.empty() ? pages_ : pages_.first(bytes_);
    }
    /// Gives the pages back to the system, not the addresses: they read as zeros.
    void forget() noexcept { ::madvise(pages_.data(), pages_.size(), MADV_DONTNEED); }
    [[nodiscard]] bool empty() const noexcept { return pages_.empty(); }

 private:
    std::span<std::byte> pages_;
    std::size_t bytes_ = 0;
};

}  // namespace sluice::node
