// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/cost/linear_cost_model.hpp>
#include <sluice/sim/copy_engine.hpp>
#include <sluice/sim/iteration_engine.hpp>
#include <sluice/sim/link.hpp>
#include <sluice/sim/network.hpp>
#include <sluice/stage/stage.hpp>

#include "kv_model.hpp"

namespace sluice::experiment {

enum class compute_kind : std::uint8_t {
    prefill,    ///< one prompt after the other
    iteration,  ///< an engine's iterations of prefill and decode
};

/// What simulated machines are made of.
struct hardware_profile {
    std::string name;
    std::string description;
    std::vector<std::string> reasons;  ///< where the figures are from

    std::string model;  ///< that it was measured with, by name; empty: not said
    std::uint32_t block_tokens = 256;
    std::uint32_t pieces_per_block = 1;  ///< regions of a block in L1
    std::uint64_t l1_bytes = 0;          ///< for KV, beside the weights of the model
    std::uint64_t l2_bytes = 0;

    sim::link_options link;
    std::vector<sim::node_options> nodes;
    std::uint32_t replicas = 1;
    sim::copy_engine_options copy;
    stage_limits fetch_window;
    stage_limits copy_window;

    compute_kind compute = compute_kind::prefill;
    compute_coefficients prefill;  ///< of `iteration` too: that of a prompt by itself
    sim::iteration_options iteration;
    double parameters = 0;  ///< of the model that compute and `l1_bytes` are those of

    /// The profile for another model: compute takes longer in proportion to its parameters, and its
    /// weights, of 2 bytes each, leave less L1.
    ///
    /// \return kInvalidArgument: L1 or L2 has no room for a block of the model
    [[nodiscard]] absl::StatusOr<hardware_profile> for_model(const kv_model& model) const;
};

/// A built-in profile by its name, or one from a JSON file; docs/simulation_inputs.md has its keys.
/// Its `scale` is applied already.
///
/// \return kNotFound: neither a name nor a file; kInvalidArgument: what the file has wrong, with
/// file, line and key
[[nodiscard]] absl::StatusOr<hardware_profile> load_profile(std::string_view name_or_file);

/// The names of the profiles in profiles/.
[[nodiscard]] std::vector<std::string> builtin_profiles();

/// A model with the coefficients that an offline profile of this hardware finds: transfers of
/// blocks of `block_bytes` by themselves are run on the simulated hardware, without its faults and
/// drift, and fitted; compute is known.
[[nodiscard]] absl::StatusOr<std::unique_ptr<linear_cost_model>> profiled_cost_model(
    const hardware_profile& profile, std::uint64_t block_bytes,
    const linear_cost_options& options = {});

}  // namespace sluice::experiment
