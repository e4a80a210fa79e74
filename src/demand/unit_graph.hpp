// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include <sluice/demand/demand_model.hpp>
#include <sluice/demand/sample_set.hpp>

#include "run_window.hpp"

namespace sluice::demand::detail {

/// What follows what, and how long units take: counted from the runs of a window.
class unit_graph {
 public:
    /// Counts anew if the window has moved on.
    void refresh(const run_window& runs, std::span<const unit_facts> units);

    [[nodiscard]] std::span<const next_unit> next(unit_id unit, std::uint32_t visit) const;
    [[nodiscard]] const sample_set& duration(unit_id unit) const noexcept;

 private:
    struct node {
        std::vector<std::vector<next_unit>> next;  ///< by visit, from the first
        sample_set duration;
    };

    [[nodiscard]] const node* find(unit_id unit) const noexcept {
        const std::size_t at = unit == no_unit ? 0 : std::size_t{unit} + 1;
        return at < nodes_.size() ? &nodes_[at] : nullptr;
    }

    std::vector<node> nodes_;  ///< the begin, then by unit
    sample_set none_;
    window_mark mark_;
};

}  // namespace sluice::demand::detail
