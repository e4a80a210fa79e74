// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include <sluice/base/clock.hpp>

namespace sluice::node {

/// No element, slot, slab or size.
inline constexpr std::uint32_t none = UINT32_MAX;

/// When an element was used, and its neighbours in the list that it is in.
struct use {
    static constexpr time_point no_lease = time_point::min();

    time_point leased_until = no_lease;
    std::uint64_t tick = 0;  ///< of the last use; larger is later
    std::uint32_t previous = none;
    std::uint32_t next = none;
};

/// A list through the `use` of its elements, which are named by number. `At` gives the use of a
/// number.
struct use_list {
    std::uint32_t first = none;
    std::uint32_t last = none;

    template <class At>
    void push_back(const At& at, std::uint32_t id) noexcept {
        use& u = at(id);
        u.previous = last;
        u.next = none;
        (last == none ? first : at(last).next) = id;
        last = id;
    }
    template <class At>
    void unlink(const At& at, std::uint32_t id) noexcept {
        const use& u = at(id);
        (u.previous == none ? first : at(u.previous).next) = u.next;
        (u.next == none ? last : at(u.next).previous) = u.previous;
    }
};

/// Which element was used longest ago, of those that nobody has a lease on.
///
/// Elements under a lease, or that were until lately, stand in a list of their own, in the order in
/// which the leases end: all leases are equally long. So nothing is ever searched.
class use_order {
 public:
    /// Adds an element with the last use and the lease that it has.
    template <class At>
    void add(const At& at, std::uint32_t id) noexcept {
        list_of(at(id)).push_back(at, id);
    }
    template <class At>
    void remove(const At& at, std::uint32_t id) noexcept {
        list_of(at(id)).unlink(at, id);
    }
    /// A use without a lease.
    template <class At>
    void touch(const At& at, std::uint32_t id, std::uint64_t tick, time_point now) noexcept {
        use& u = at(id);
        u.tick = tick;
        if (u.leased_until <= now) {
            remove(at, id);
            u.leased_until = use::no_lease;
            add(at, id);
        }
    }
    /// A use with a lease.
    /// \pre `until` is not before the end of any lease given earlier.
    template <class At>
    void lease(const At& at, std::uint32_t id, std::uint64_t tick, time_point until) noexcept {
        remove(at, id);
        use& u = at(id);
        u.tick = tick;
        u.leased_until = until;
        add(at, id);
    }

    /// The element without a lease that was used longest ago, or `none`.
    template <class At>
    [[nodiscard]] std::uint32_t oldest(const At& at, time_point now) const noexcept {
        if (leased_.first == none || at(leased_.first).leased_until > now) {
            return quiet_.first;
        }
        return quiet_.first != none && at(quiet_.first).tick < at(leased_.first).tick
                   ? quiet_.first
                   : leased_.first;
    }
    /// The first tick at which any element was last used, leased or not; UINT64_MAX if there is
    /// none.
    template <class At>
    [[nodiscard]] std::uint64_t oldest_tick(const At& at) const noexcept {
        return std::min(quiet_.first == none ? UINT64_MAX : at(quiet_.first).tick,
                        leased_.first == none ? UINT64_MAX : at(leased_.first).tick);
    }

 private:
    [[nodiscard]] use_list& list_of(const use& u) noexcept {
        return u.leased_until == use::no_lease ? quiet_ : leased_;
    }

    use_list quiet_;   // by tick
    use_list leased_;  // by end of lease
};

}  // namespace sluice::node
