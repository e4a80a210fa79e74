// SPDX-License-Identifier: Apache-2.0
#include "allocation_count.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include <sluice/coro/frame_cache.hpp>

namespace sluice::bench {
namespace {

constinit std::atomic<bool> counting{false};
constinit std::atomic<std::uint64_t> counted{0};

}  // namespace

allocation_count::allocation_count() noexcept {
    counted.store(0, std::memory_order_relaxed);
    counting.store(true, std::memory_order_relaxed);
}

allocation_count::~allocation_count() { counting.store(false, std::memory_order_relaxed); }

std::uint64_t allocation_count::value() const noexcept {
    return counted.load(std::memory_order_relaxed);
}

}  // namespace sluice::bench

#if SLUICE_FRAME_CACHE_  // that is, without sanitizers, which bring an operator new

namespace {

void* allocate(std::size_t size, std::size_t alignment) {
    if (sluice::bench::counting.load(std::memory_order_relaxed)) {
        sluice::bench::counted.fetch_add(1, std::memory_order_relaxed);
    }
    const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
    void* const memory = alignment <= alignof(std::max_align_t)
                             ? std::malloc(size == 0 ? 1 : size)
                             : std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
    if (memory == nullptr) {
#ifdef __cpp_exceptions
        throw std::bad_alloc();
#else
        std::abort();
#endif
    }
    return memory;
}

}  // namespace

// The array and nothrow forms of the standard library call these.
void* operator new(std::size_t size) { return allocate(size, 1); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

#endif
