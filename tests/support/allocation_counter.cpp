// SPDX-License-Identifier: Apache-2.0
#include "support/allocation_counter.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

#include <sluice/coro/frame_cache.hpp>

namespace sluice::test {
namespace {

constinit std::atomic<std::uint64_t> allocations_so_far{0};

}  // namespace

// The frame cache is on in the builds whose operator new is ours.
bool allocation_counter::counts() noexcept { return detail::frame_cache::enabled; }

std::uint64_t allocation_counter::total() noexcept {
    return allocations_so_far.load(std::memory_order_relaxed);
}

}  // namespace sluice::test

#if SLUICE_FRAME_CACHE_

namespace {

void* counted(std::size_t size, std::size_t alignment) {
    sluice::test::allocations_so_far.fetch_add(1, std::memory_order_relaxed);
    const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
    void* const memory = alignment <= alignof(std::max_align_t)
                             ? std::malloc(size == 0 ? 1 : size)
                             : std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}

}  // namespace

// The array and nothrow forms of the standard library call these.
void* operator new(std::size_t size) { return counted(size, 1); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

#endif
