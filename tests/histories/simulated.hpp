// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <sluice/sim/copy_engine.hpp>
#include <sluice/sim/link.hpp>
#include <sluice/sim/network.hpp>

#include "history.hpp"

namespace sluice::histories {

/// The simulated nodes, link, copy engine and compute of a history: they say when each operation
/// ends and how; the faulty seams bring the bytes and the checks.
///
/// Each operation is started in a form of its own, which lives until it has ended.
class simulated_seams {
 public:
    using ended = std::function<void(absl::StatusCode)>;

    /// \pre the history is simulated
    simulated_seams(const history& h, const layout& l1, loop& on);
    ~simulated_seams();
    simulated_seams(const simulated_seams&) = delete;
    simulated_seams& operator=(const simulated_seams&) = delete;

    /// What is started can be given to `abort` until it has ended.
    operation& get(std::uint64_t key, std::uint64_t bytes, ended then);
    operation& put(std::uint64_t key, std::uint64_t bytes, ended then);
    /// \param then  is also told which keys are there
    operation& lookup(std::span<const block_key> keys,
                      std::function<void(std::vector<std::uint8_t> present)> then);
    void abort(operation& op) { link_->abort(op); }
    void hold(std::uint64_t key, std::uint64_t bytes);
    void forget(std::uint64_t key);

    void copy_in(const device_copy& op, ended then);
    void copy_out(const device_copy& op, ended then);

    /// Whether compute is simulated too.
    [[nodiscard]] bool computes() const noexcept { return compute_ != nullptr; }
    void compute(const compute_job& job, ended then);

    [[nodiscard]] sim::link_stats stats() const { return link_->stats(); }

 private:
    loop& loop_;
    std::unique_ptr<sim::network> network_;
    std::unique_ptr<sim::link> link_;
    std::unique_ptr<sim::copy_engine> device_;
    std::unique_ptr<sluice::compute> compute_;
};

}  // namespace sluice::histories
