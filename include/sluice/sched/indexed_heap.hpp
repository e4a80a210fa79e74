// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include <sluice/base/heap.hpp>

namespace sluice {

/// A priority queue of dense ids whose keys can change: an implicit 4-ary heap with the keys
/// inline.
///
/// Ids are small integers chosen by the caller; memory follows the largest one. The smallest key is
/// on top; the order of equal keys is unspecified but the same in every run. Keys are trivially
/// copyable; 12 bytes or fewer keep four siblings in one cache line. All changes are O(log n); only
/// `set` allocates, and only while it grows.
template <class Key, class Less = std::less<Key>>
class indexed_heap {
 public:
    /// Inserts `id`, or gives it a new key.
    void set(std::uint32_t id, const Key& key) {
        if (id >= at_.size()) {
            at_.resize(std::size_t{id} + 1, absent);
        }
        const node moving{key, id};
        if (nodes_.size() == 1 && at_[id] == 0) {
            nodes_.front() = moving;
        } else if (at_[id] == absent) {
            nodes_.push_back(moving);
            detail::heap_up(nodes_.data(), nodes_.size() - 1, moving, before_, placed());
        } else {
            detail::heap_fix(nodes_.data(), nodes_.size(), at_[id], moving, before_, placed());
        }
    }

    /// Takes `id` out; nothing happens if it is not there.
    void erase(std::uint32_t id) noexcept {
        if (!contains(id)) {
            return;
        }
        const std::size_t hole = at_[id];
        const node last = nodes_.back();
        nodes_.pop_back();
        at_[id] = absent;
        if (hole < nodes_.size()) {
            detail::heap_fix(nodes_.data(), nodes_.size(), hole, last, before_, placed());
        }
    }

    [[nodiscard]] bool contains(std::uint32_t id) const noexcept {
        return id < at_.size() && at_[id] != absent;
    }
    [[nodiscard]] bool empty() const noexcept { return nodes_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }

    /// The id with the smallest key. \pre not empty
    [[nodiscard]] std::uint32_t top() const noexcept {
        assert(!nodes_.empty());
        return nodes_.front().id;
    }
    /// The smallest key. \pre not empty
    [[nodiscard]] const Key& top_key() const noexcept {
        assert(!nodes_.empty());
        return nodes_.front().key;
    }
    /// The key of `id`. \pre `contains(id)`
    [[nodiscard]] const Key& key(std::uint32_t id) const noexcept {
        assert(contains(id));
        return nodes_[at_[id]].key;
    }

    /// Takes the top out. \pre not empty
    void pop() noexcept { erase(top()); }

    /// Makes room for the ids 0 to `ids` - 1.
    void reserve(std::size_t ids) {
        nodes_.reserve(ids);
        at_.reserve(ids);
    }
    /// Takes everything out and keeps the memory.
    void clear() noexcept {
        nodes_.clear();
        at_.clear();
    }

 private:
    static constexpr std::uint32_t absent = std::numeric_limits<std::uint32_t>::max();

    struct node {
        Key key;
        std::uint32_t id;
    };
    struct before {
        bool operator()(const node& a, const node& b) const noexcept {
            return Less{}(a.key, b.key);
        }
    };

    auto placed() noexcept {
        return [at = at_.data()](const node& n, std::size_t index) noexcept {
            at[n.id] = static_cast<std::uint32_t>(index);
        };
    }

    detail::heap_array<node> nodes_;
    std::vector<std::uint32_t> at_;  // by id: its place in nodes_
    [[no_unique_address]] before before_;
};

}  // namespace sluice
