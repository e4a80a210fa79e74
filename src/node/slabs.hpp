// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <unordered_map>
#include <vector>

#include "paged.hpp"
#include "use_order.hpp"

namespace sluice::node {

/// Memory as slabs of equal slots, with neighbouring free slots kept together as runs.
///
/// A slab is unused, or serves one slot size from its first taken slot to its last. Taking and
/// giving back cost a constant time, whatever is free; only a slab that changes its size costs time
/// in proportion to its slots. Four bytes per slot, and 24 per run.
class slabs {
 public:
    struct place {
        std::uint32_t slab = none;
        std::uint32_t slot = 0;
        friend bool operator==(const place&, const place&) = default;
    };
    struct run {
        place first;
        std::uint32_t count = 0;  ///< 0: there was none
    };

    /// \param slab_bytes  a multiple of 64, at least 64, at most 64 GiB
    slabs(std::uint64_t memory_bytes, std::uint64_t slab_bytes);

    [[nodiscard]] std::uint32_t size() const noexcept {
        return static_cast<std::uint32_t>(slabs_.size());
    }
    [[nodiscard]] std::uint64_t slab_bytes() const noexcept { return slab_bytes_; }
    [[nodiscard]] std::uint32_t slots_of(std::uint64_t slot_bytes) const noexcept {
        return static_cast<std::uint32_t>(slab_bytes_ / slot_bytes);
    }
    [[nodiscard]] std::uint32_t unused() const noexcept {
        return static_cast<std::uint32_t>(unused_.size());
    }

    /// \name Of a slab that is in use
    ///@{
    [[nodiscard]] bool in_use(std::uint32_t slab) const noexcept {
        return slabs_[slab].size_class != none;
    }
    [[nodiscard]] std::uint32_t class_of(std::uint32_t slab) const noexcept {
        return slabs_[slab].size_class;
    }
    [[nodiscard]] std::uint64_t slot_bytes(std::uint32_t slab) const noexcept {
        return slabs_[slab].slot_bytes;
    }
    [[nodiscard]] std::uint32_t slots_in(std::uint32_t slab) const noexcept {
        return slabs_[slab].slots;
    }
    [[nodiscard]] std::uint64_t offset(place at) const noexcept {
        return at.slab * slab_bytes_ + at.slot * slabs_[at.slab].slot_bytes;
    }
    ///@}

    /// \name Of a slot size
    ///@{
    /// The number of a size that has slabs, or `none`. Good as long as the size has slabs.
    [[nodiscard]] std::uint32_t find_class(std::uint64_t slot_bytes) const noexcept;
    [[nodiscard]] std::uint64_t slots(std::uint32_t size_class) const noexcept {
        return classes_[size_class].slots;
    }
    [[nodiscard]] std::uint64_t free(std::uint32_t size_class) const noexcept {
        return classes_[size_class].free;
    }
    ///@}

    /// Gives an unused slab to a size: `near` if that is unused. \return false: there is none.
    bool assign(std::uint64_t slot_bytes, std::uint32_t near);

    /// Takes `want` neighbours: from `next` on if a run begins there, else from a run that is not
    /// much longer.
    [[nodiscard]] run take_whole(std::uint32_t size_class, std::uint32_t want, place next);
    /// Takes up to `want` neighbours: from `next` on if a run begins there, else from a run of the
    /// longest kind.
    [[nodiscard]] run take_some(std::uint32_t size_class, std::uint32_t want, place next);

    /// Says who a taken slot is for; below 2^31.
    void set_user(place at, std::uint32_t user) noexcept { slabs_[at.slab].at[at.slot] = user; }
    /// Who a slot is for. A free one may name somebody from earlier.
    [[nodiscard]] std::uint32_t user(place at) const noexcept {
        return slabs_[at.slab].at[at.slot];
    }
    /// How many free slots begin here: 0 if this one is taken, or the one before is free as well.
    [[nodiscard]] std::uint32_t free_from(place at) const noexcept;
    /// Makes a taken slot free. A slab whose last slot it is becomes unused.
    void give_back(place at);
    /// The users of all taken slots of a slab, in order of place, appended.
    void users(std::uint32_t slab, std::vector<std::uint32_t>& out) const;

 private:
    struct slab {
        std::uint64_t slot_bytes = 0;
        std::uint32_t size_class = none;
        std::uint32_t slots = 0;
        std::uint32_t taken = 0;
        // Per slot: its user, or at both ends of a run the run's number with run_bit. What stands
        // between the ends is left over from earlier and means nothing.
        std::vector<std::uint32_t> at;
    };
    struct free_run {
        place first;
        std::uint32_t count = 0;  // 0: the record is unused
        std::uint32_t previous = none;
        std::uint32_t next = none;
        bool followed = false;  // somebody's last block is just in front
    };
    struct size_class {
        std::uint64_t slot_bytes = 0;
        std::uint64_t slots = 0;
        std::uint64_t free = 0;
        std::uint32_t filled = 0;  // bit b: there are runs of 2^b to 2^(b+1) - 1 slots
        std::array<std::uint32_t, 32> heads{};
    };

    [[nodiscard]] std::uint32_t run_from(place at) const noexcept;
    [[nodiscard]] std::uint32_t run_up_to(place at) const noexcept;
    [[nodiscard]] std::uint32_t tagged_run(place at) const noexcept;
    void add_run(place first, std::uint32_t count, bool followed);
    void drop_run(std::uint32_t r) noexcept;
    run carve(std::uint32_t r, std::uint32_t skip, std::uint32_t count);
    void release(std::uint32_t slab) noexcept;

    const std::uint64_t slab_bytes_;
    std::vector<slab> slabs_;
    std::set<std::uint32_t> unused_;
    std::vector<size_class> classes_;
    std::vector<std::uint32_t> unused_classes_;
    std::unordered_map<std::uint64_t, std::uint32_t> class_by_size_;
    paged<free_run> runs_;
    std::uint32_t unused_run_ = none;
};

}  // namespace sluice::node
