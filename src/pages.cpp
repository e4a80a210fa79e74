// SPDX-License-Identifier: Apache-2.0
#include "pages.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include <sluice/base/bytes.hpp>

namespace sluice::detail {
namespace {

constexpr std::size_t huge_page = 2 * mib;

std::size_t page_size() noexcept { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

std::span<std::byte> map_pages(std::size_t bytes) noexcept {
    const bool huge = bytes >= huge_page;
    const std::size_t unit = huge ? huge_page : page_size();
    if (bytes == 0 || bytes > PTRDIFF_MAX - 2 * unit) {
        return {};
    }
    const std::size_t size = round_up(bytes, unit);
    // One huge page more than asked for, so that an aligned piece lies inside; the rest goes back.
    const std::size_t mapped = huge ? size + huge_page : size;
    void* const raw =
        mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) {
        return {};
    }
    auto* const begin = static_cast<std::byte*>(raw);
    if (!huge) {
        return {begin, size};
    }
    const auto address = reinterpret_cast<std::uintptr_t>(begin);
    const std::size_t before = round_up(address, huge_page) - address;
    const std::size_t after = mapped - before - size;
    if (before > 0) {
        munmap(begin, before);
    }
    if (after > 0) {
        munmap(begin + before + size, after);
    }
    madvise(begin + before, size, MADV_HUGEPAGE);  // a wish: it may be refused
    return {begin + before, size};
}

void unmap_pages(std::span<std::byte> memory) noexcept {
    if (!memory.empty()) {
        munmap(memory.data(), memory.size());
    }
}

void pin_pages(std::span<std::byte> memory) noexcept {
    if (mlock(memory.data(), memory.size()) == 0) {
        return;
    }
    const std::size_t page = page_size();
    for (std::size_t i = 0; i < memory.size(); i += page) {
        memory[i] = std::byte{0};
    }
}

std::uint64_t physical_memory() noexcept {
    const long pages = sysconf(_SC_PHYS_PAGES);
    return pages > 0 ? static_cast<std::uint64_t>(pages) * page_size() : UINT64_MAX;
}

}  // namespace sluice::detail
