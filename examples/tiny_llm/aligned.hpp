// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>

namespace tiny_llm {

/// A zero-filled array on cache-line boundaries. Growing drops the old contents.
template <class T>
class aligned_array {
 public:
    aligned_array() = default;
    explicit aligned_array(std::size_t size)
        : data_(static_cast<T*>(::operator new[](size * sizeof(T), alignment))), size_(size) {
        std::uninitialized_fill_n(data_.get(), size, T{});
    }

    void grow(std::size_t size) {
        if (size > size_) {
            *this = aligned_array(size);
        }
    }

    [[nodiscard]] T* data() noexcept { return data_.get(); }
    [[nodiscard]] const T* data() const noexcept { return data_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
    static constexpr std::align_val_t alignment{64};
    struct release {
        void operator()(T* p) const noexcept { ::operator delete[](p, alignment); }
    };

    std::unique_ptr<T[], release> data_;
    std::size_t size_ = 0;
};

}  // namespace tiny_llm
