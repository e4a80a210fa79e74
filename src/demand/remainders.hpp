// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include <sluice/demand/demand_model.hpp>

#include "remainder_table.hpp"
#include "run_window.hpp"

namespace sluice::demand::detail {

/// What is left of a run that has been observed in part, by the runs of a window. Tables are made
/// for the places that are asked for, and kept until the window has moved on.
class remainders {
 public:
    void condition(const run_window& runs, const sample_set& whole_service,
                   const sample_set& whole_path, const observation& seen, remaining_demand& out);
    void runs_ahead(const run_window& runs, const observation& seen, std::vector<run_ahead>& out);
    /// Of the service at this place: what of its variance is explained.
    [[nodiscard]] double explained(const run_window& runs, const observation& seen);

 private:
    static constexpr std::size_t max_tables = 256;

    struct found_table {
        const remainder_table* table = nullptr;  ///< null: too few runs are like this one
        demand_basis basis = demand_basis::whole;
    };

    [[nodiscard]] found_table find(const run_window& runs, const observation& seen);
    /// Runs that went the same way.
    [[nodiscard]] const remainder_table& on_way(const run_window& runs, const observation& seen);
    /// Runs that were in the same unit, or had left it, as often; or as often as enough of them
    /// ever were.
    [[nodiscard]] const remainder_table& at_unit(const run_window& runs, unit_id unit,
                                                 std::size_t visit, bool left);
    /// The table of a key; its places are empty if it has to be made.
    [[nodiscard]] remainder_table& table_of(const run_window& runs, std::uint64_t key, bool& made);

    std::unordered_map<std::uint64_t, remainder_table> tables_;
    std::vector<double> features_;  ///< of the table that is made
    std::vector<double> scratch_;
};

}  // namespace sluice::demand::detail
