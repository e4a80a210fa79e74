// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/pipeline.hpp>

#include "arrivals.hpp"
#include "serve.hpp"
#include "testbed.hpp"

namespace sluice::experiment {

/// The production pipeline on a simulated machine, driven as an engine drives it: requests are
/// submitted when they arrive, and released when they are answered (or have been decoded).
class pipelined_engine {
 public:
    /// \param s, in  outlive it
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<pipelined_engine>> create(
        const run_setting& s, cluster& in);
    ~pipelined_engine();
    pipelined_engine(const pipelined_engine&) = delete;
    pipelined_engine& operator=(const pipelined_engine&) = delete;

    /// Takes what events there are: pages that an engine holds longer would be missing.
    /// \return how many
    std::size_t collect();
    [[nodiscard]] bool all_ended() const noexcept { return recorder_->all_ended(); }
    /// Of a submit, beyond requests that can never fit.
    [[nodiscard]] const absl::Status& failure() const noexcept { return failure_; }

    [[nodiscard]] testbed& bed() noexcept { return *bed_; }
    /// \pre all have ended and the loop is idle; once
    [[nodiscard]] seed_result finish() { return recorder_->finish(pipe_->stats()); }

 private:
    explicit pipelined_engine(const run_setting& s) : s_(s) {}
    absl::Status assemble(cluster& in);
    void submit(std::size_t i);
    void take(const request_event& e);
    void part_ended(std::size_t i);

    const run_setting& s_;
    std::unique_ptr<testbed> bed_;
    std::unique_ptr<informed_cost> cost_;
    std::unique_ptr<pipeline> pipe_;
    std::optional<run_recorder> recorder_;
    std::optional<arrivals> arrivals_;
    std::vector<request_handle> handles_;  // by request
    std::vector<std::uint8_t> parts_;      // by request: what it is not released before
    std::vector<block_key> keys_;          // of the request being submitted
    absl::Status failure_;
};

}  // namespace sluice::experiment
