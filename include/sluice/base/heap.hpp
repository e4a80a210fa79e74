// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace sluice::detail {

/// Allocates so that the elements 1 to 4 of an array of 16-byte nodes fill one cache line, and with
/// them every group of four siblings of a 4-ary heap.
template <class T>
struct sibling_allocator {
    using value_type = T;
    static constexpr std::size_t line = 64;
    static constexpr std::size_t lead = sizeof(T) < line ? line - sizeof(T) : 0;
    static_assert(lead % alignof(T) == 0);

    sibling_allocator() = default;
    template <class U>
    sibling_allocator(const sibling_allocator<U>&) noexcept {}

    [[nodiscard]] T* allocate(std::size_t n) {
        auto* raw =
            static_cast<std::byte*>(::operator new (lead + n * sizeof(T), std::align_val_t{line}));
        return reinterpret_cast<T*>(raw + lead);
    }
    void deallocate(T* p, std::size_t) noexcept {
        ::operator delete (reinterpret_cast<std::byte*>(p) - lead, std::align_val_t{line});
    }
    friend bool operator==(sibling_allocator, sibling_allocator) noexcept { return true; }
};

template <class Node>
using heap_array = std::vector<Node, sibling_allocator<Node>>;

/// The two moves of an implicit 4-ary min-heap. `Node` is trivially copyable, `before(a, b)` is the
/// order, and `placed(node, index)` is told where each node comes to lie.
template <class Node, class Before, class Placed>
void heap_up(Node* nodes, std::size_t at, Node moving, Before before, Placed placed) noexcept {
    while (at > 0) {
        const std::size_t parent = (at - 1) / 4;
        if (!before(moving, nodes[parent])) {
            break;
        }
        nodes[at] = nodes[parent];
        placed(nodes[at], at);
        at = parent;
    }
    nodes[at] = moving;
    placed(moving, at);
}

template <class Node, class Before, class Placed>
void heap_down(Node* nodes, std::size_t size, std::size_t at, Node moving, Before before,
               Placed placed) noexcept {
    for (;;) {
        const std::size_t first = 4 * at + 1;
        if (first >= size) {
            break;
        }
        std::size_t best = first;
        if (first + 4 <= size) {
            // The next level is known to be one of sixteen nodes: ask for all while comparing.
            const std::size_t below = 4 * first + 1;
            if (below < size) {
                for (std::size_t i = 0; i < 4; ++i) {
                    __builtin_prefetch(nodes + below + 4 * i);
                }
            }
            const std::size_t left = first + (before(nodes[first + 1], nodes[first]) ? 1U : 0U);
            const std::size_t right =
                first + 2 + (before(nodes[first + 3], nodes[first + 2]) ? 1U : 0U);
            best = before(nodes[right], nodes[left]) ? right : left;
        } else {
            for (std::size_t i = first + 1; i < size; ++i) {
                best = before(nodes[i], nodes[best]) ? i : best;
            }
        }
        if (!before(nodes[best], moving)) {
            break;
        }
        nodes[at] = nodes[best];
        placed(nodes[at], at);
        at = best;
    }
    nodes[at] = moving;
    placed(moving, at);
}

/// Puts `moving` where it belongs after the node at `at` got a new key or was taken out.
template <class Node, class Before, class Placed>
void heap_fix(Node* nodes, std::size_t size, std::size_t at, Node moving, Before before,
              Placed placed) noexcept {
    if (at > 0 && before(moving, nodes[(at - 1) / 4])) {
        heap_up(nodes, at, moving, before, placed);
    } else {
        heap_down(nodes, size, at, moving, before, placed);
    }
}

}  // namespace sluice::detail
