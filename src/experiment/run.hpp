// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/observe/result.hpp>
#include <sluice/pipeline.hpp>

#include "bound.hpp"
#include "kv_model.hpp"
#include "load.hpp"
#include "profile.hpp"
#include "run_options.hpp"

namespace sluice::experiment {

/// A request alone on an idle system with empty L1 and L2, under the coupled baseline.
struct alone {
    double t0_s = 0;     ///< its TTFT
    double load_s = 0;   ///< of that, until all that is cached was in L1
    double fetch_s = 0;  ///< of that, until it was in L2
    double compute_s = 0;
    std::uint64_t loaded_tokens = 0;
    std::uint64_t query_tokens = 0;  ///< computed; 0: it can never fit, and there is no T0
};

/// What the runs of one seed have in common, whoever serves and however fast requests come.
struct seed_facts {
    std::vector<alone> each;
    double mean_t0_s = 0;  ///< the mean service of the coupled baseline
};

/// Keeps what several cases have in common, so that it is made once.
///
/// \par Thread safety
/// All members, any thread.
class shared_facts {
 public:
    /// What `options` mean by these; read once per name. The profile is for the model.
    [[nodiscard]] absl::StatusOr<std::shared_ptr<const hardware_profile>> profile(
        const run_options& options);
    [[nodiscard]] absl::StatusOr<std::shared_ptr<const kv_model>> model(const run_options& options);
    [[nodiscard]] absl::StatusOr<std::shared_ptr<const seed_facts>> facts(
        const run_options& options, std::uint64_t seed);

    /// Mean T0 of the requests of that seed, in seconds: what turns an offered load of the coupled
    /// baseline into requests/s.
    [[nodiscard]] absl::StatusOr<double> mean_t0_s(const run_options& options, std::uint64_t seed);

 private:
    template <class T>
    struct cache {
        struct entry {
            std::mutex mutex;  // held while it is made
            std::shared_ptr<const T> value;
        };
        std::mutex mutex;
        std::unordered_map<std::string, std::shared_ptr<entry>> entries;

        template <class Make>
        absl::StatusOr<std::shared_ptr<const T>> get(const std::string& key, Make make);
    };

    cache<hardware_profile> profiles_;
    cache<kv_model> models_;
    cache<seed_facts> facts_;
};

/// What a stage has done in a run.
struct stage_use {
    double busy = 0;      ///< share of the run in which its resource worked
    double needed_s = 0;  ///< time in which some request had not finished the stage
    std::uint64_t operations = 0;
    std::uint64_t bytes = 0;
};

/// One run: one configuration, one seed.
struct seed_result {
    std::uint64_t seed = 0;
    run_result result;
    std::vector<request_report> reports;  ///< by request; of what was not computed all `never`
    stage_use fetch, copy, compute;
    /// What no schedule can beat. Absent if requests may be computed in place of loaded, or were
    /// not answered: then it does not hold.
    std::optional<ttft_bound> bound;
    double qps = 0;                   ///< as asked for, or the mean of a pace of its own
    double coupled_offered_load = 0;  ///< qps x mean T0
    /// L1 that requests held before their first copy: slots times seconds. The pipeline's only.
    double l1_idle_slot_seconds = 0;
    std::uint64_t block_operations = 0;  ///< fetches, copies, copies out and puts that ended
    double wall_s = 0;                   ///< of the run, without what `shared_facts` keeps
};

/// Serves the requests of one seed on virtual time. Thread-safe beside others.
/// \return what is wrong with the options, the workload, the model or the profile; kInternal: a
///         request of the run has neither been answered nor has anything been left to do
[[nodiscard]] absl::StatusOr<seed_result> run_seed(const run_options& options, std::uint64_t seed,
                                                   shared_facts& shared);

}  // namespace sluice::experiment
