// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "../request_id.hpp"
#include "planner.hpp"

namespace sluice::split {

/// A request at the planner.
struct planner::entry {
    explicit entry(std::uint32_t i) noexcept { view.id = {i, 0}; }

    [[nodiscard]] request_handle handle() const noexcept { return view.id; }
    [[nodiscard]] std::uint64_t id() const noexcept { return sluice::detail::id_of(view.id); }
    [[nodiscard]] sluice::detail::rank_key compute_key() const noexcept {
        return {compute_rank, order};
    }
    [[nodiscard]] std::optional<fact>& known(fact::kind what) noexcept {
        return facts[static_cast<std::size_t>(what)];
    }
    [[nodiscard]] const std::optional<fact>& known(fact::kind what) const noexcept {
        return facts[static_cast<std::size_t>(what)];
    }

    bool live = false;
    bool exported = false;  // the workers know it
    bool storing = false;
    bool write_back = true;
    bool tell_lookup = false;
    bool cancel_told = false;
    bool detach_told = false;
    bool release_told = false;
    bool rank_due = false;  // the next plan says it
    bool ended = false;     // has had its outcome
    bool computed = false;  // compute_done
    bool released = false;
    bool quiesce_owed = false;
    bool stored_owed = false;
    std::uint32_t order = 0;
    std::uint32_t waiting = 0;  // events that have not been taken
    std::uint32_t blocks = 0;
    std::uint32_t per_group = 0;
    std::uint32_t resident = 0;
    std::uint32_t max_load = 0;
    std::vector<slot_id> pages;
    std::array<std::optional<fact>, 5> facts;  // merged over ranks, by kind
    request_view view;
    request_report story;
    std::uint64_t compute_rank = 0;       // packed; from the start behind all that are ranked
    std::optional<rank_value> told_rank;  // that the workers have
};

}  // namespace sluice::split
