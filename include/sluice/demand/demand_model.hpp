// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/demand/run_record.hpp>
#include <sluice/demand/sample_set.hpp>
#include <sluice/demand/unit_visit.hpp>

namespace sluice::demand {

struct demand_options {
    service_rates rates;
    /// The newest runs that count; 1 to 100000.
    std::size_t window = 1000;
    /// Of a model that is read from JSON: how many runs are drawn from it, and their seed.
    std::size_t drawn_runs = 500;
    std::uint64_t seed = 1;
};

/// What samples of a remainder are made of, best first.
enum class demand_basis : std::uint8_t {
    similar,  ///< recorded runs that went this way, those most like this one counting
    path,     ///< all recorded runs that went this way: what was observed says nothing more
    unit,     ///< recorded runs that were in this unit about as often, whatever way they came
    whole,    ///< whole runs, cut by what this one has had
};

/// What is left of an application, from the begin of the unit that is under way, or from the end
/// of the last.
struct remaining_demand {
    sample_set service;  ///< seconds of all calls
    sample_set path;     ///< seconds of the longest path, unit by unit
    demand_basis basis = demand_basis::whole;
    bool conditioned = false;  ///< `basis` is `similar` or `path`
};

/// A unit that may come next; `no_unit`: the application ends.
struct next_unit {
    unit_id unit = no_unit;
    double probability = 0;
};

/// A unit as a model knows it.
struct unit_facts {
    std::string name;
    std::string backend;
    [[nodiscard]] bool llm() const noexcept { return backend == "llm"; }
};

/// A recorded run from where a live one stands.
struct run_ahead {
    /// Visits still to come; the first is the unit under way, if one is.
    std::span<const unit_visit> visits;
    double weight = 0;  ///< all together weigh 1
};

/// What the applications of one class need: a window of the runs that have ended last, each kept
/// as a whole, so that lengths, parallelism and loops stay together.
///
/// Units whose backend is "env" are local waits that no one schedules: they are no part of a model,
/// and `find_unit` does not know them.
///
/// \par Thread safety
/// One thread at a time, for const members too: they keep tables.
class demand_model {
 public:
    /// The model of an application from its runs, oldest first; those of other applications are an
    /// error.
    /// \return kInvalidArgument: no run, options out of range, or as `check_run`
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<demand_model>> learn(
        std::string application, std::span<const run_record> runs,
        const demand_options& options = {});

    /// A model from its file (docs/demand.md), which holds distributions and no runs: runs are
    /// drawn from them, the same ones each time. A file may be written by hand.
    /// \return kInvalidArgument, as "SOURCE:LINE: what", or options out of range
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<demand_model>> parse(
        std::string_view json, std::string_view source, const demand_options& options = {});
    /// \return as `parse`; kNotFound, kPermissionDenied, kUnavailable: it cannot be read
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<demand_model>> read(
        const std::string& file, const demand_options& options = {});
    /// The file of what the window holds: quantiles, the ways that runs went, rank correlations.
    [[nodiscard]] std::string to_json() const;

    demand_model(const demand_model&) = delete;
    demand_model& operator=(const demand_model&) = delete;
    ~demand_model();

    /// A model like this one that learns for itself.
    [[nodiscard]] std::unique_ptr<demand_model> clone() const;

    [[nodiscard]] const std::string& application() const noexcept;
    [[nodiscard]] const service_rates& rates() const noexcept;
    /// Other rates, for the same runs.
    void set_rates(const service_rates& rates);

    /// \name Units, by number
    ///@{
    [[nodiscard]] std::span<const unit_facts> units() const noexcept;
    /// \return `no_unit`: no run had it
    [[nodiscard]] unit_id find_unit(std::string_view name) const noexcept;
    /// As `find_unit`; a unit that is new gets a number. \return `no_unit`: backend "env", a name
    /// that is empty or too long, or too many units
    unit_id add_unit(std::string_view name, std::string_view backend);
    ///@}

    /// \name Runs
    ///@{

    /// A run has ended: it becomes the newest. \return as `check_run`; the model is unchanged then
    absl::Status add(const run_record& run);
    /// The same, of visits with the model's units. \return kInvalidArgument: none, too many, an
    /// unknown unit, a number that is negative or not finite
    absl::Status add(std::span<const unit_visit> visits);
    /// Runs in the window.
    [[nodiscard]] std::size_t size() const noexcept;
    /// \pre i < size(). Oldest first; valid until the next `add`.
    [[nodiscard]] std::span<const unit_visit> run(std::size_t i) const noexcept;
    ///@}

    /// \name Demand
    ///@{

    /// Of whole runs; valid until the next call of a member that is not const.
    [[nodiscard]] const sample_set& service() const;
    [[nodiscard]] const sample_set& path() const;

    /// What is left of a run of which this has been observed (docs/demand.md says how it is found).
    /// There always is an answer. Allocates nothing once `out` and the tables have grown.
    void condition(const observation& seen, remaining_demand& out) const;
    /// How much of the variance of the remaining service what has been observed explains: R2 of
    /// predicting each recorded run by the others. 0 where it says nothing, or runs are too few.
    [[nodiscard]] double explained(const observation& seen) const;
    /// The runs that `condition` draws on, for those who need to know what comes and when. None if
    /// the basis is `whole`. Valid until the next `add`.
    void runs_ahead(const observation& seen, std::vector<run_ahead>& out) const;
    ///@}

    /// \name The graph
    ///@{

    /// What follows the `visit`-th visit (from 1) of a unit in a run, most probable first. Visits
    /// beyond all that were recorded: as after the last. `no_unit`: what a run begins with. Empty
    /// for a unit without records.
    [[nodiscard]] std::span<const next_unit> next(unit_id unit, std::uint32_t visit = 1) const;
    /// Seconds that a visit of the unit takes: of a language model, its path.
    [[nodiscard]] const sample_set& duration(unit_id unit) const;
    ///@}

 private:
    class impl;
    explicit demand_model(std::unique_ptr<impl> i);

    std::unique_ptr<impl> impl_;
};

}  // namespace sluice::demand
