// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/coro/loop.hpp>
#include <sluice/stage/compute.hpp>

namespace sluice::sim {

/// A decode step of `batch` sequences takes `seconds`.
struct decode_point {
    std::uint32_t batch = 0;
    double seconds = 0;
};

/// Step times of an engine. The defaults were measured on one A100-class GPU with a 7B-class model.
struct iteration_options {
    /// A prefill of q tokens behind ctx others takes prefill_fixed_s + prefill_per_token_s * q +
    /// prefill_pair_s * q * (ctx + q / 2); 0 to a day each.
    double prefill_fixed_s = 0.0192;
    double prefill_per_token_s = 0.000161;
    double prefill_pair_s = 0;
    /// A decode step, by growing batches; between two points a line, before the first as the first.
    std::vector<decode_point> decode = {
        {1, 0.01479}, {32, 0.02998}, {33, 0.039}, {64, 0.043}, {65, 0.052}};
    /// Sequences that decode together; 1 up to the last batch of `decode`.
    std::uint32_t max_batch = 64;
    /// 0: an iteration is one whole prefill, which goes first, or one decode step of all. Else an
    /// iteration is a decode step of all and up to so many tokens of prefill.
    std::uint32_t chunk_tokens = 0;
};

/// What an iteration engine has done.
struct iteration_stats {
    std::uint64_t iterations = 0;
    std::uint64_t prefills = 0;      ///< jobs completed
    std::uint64_t decode_steps = 0;  ///< iterations in which sequences decoded
    std::uint64_t decoded_tokens = 0;
    std::uint32_t running = 0;  ///< sequences that decode at present
    std::uint32_t waiting = 0;  ///< jobs that have not completed
    double busy_seconds = 0;    ///< in iterations, up to now
};

/// A `compute` that works like an engine with continuous batching: iteration by iteration, whatever
/// has come in the meantime takes part in the next one.
///
/// A job is a sequence. It completes with its first token, at the end of the iteration that ends
/// its prefill, and decodes in the batch until it has all its tokens. Prefills are in the order of
/// `start`; the next one begins when the batch has a place for its sequence.
///
/// With `chunk_tokens`, prefills share what an iteration has for them, in their order, and it takes
/// max(prefill_fixed_s, decode step) + the time of the prefills' tokens, without either of the two
/// where there is nothing of its kind.
///
/// \par Thread safety
/// On the loop only, or when that does not run.
class iteration_engine final : public compute {
 public:
    /// How many tokens a job's sequence gets in all, the first included; 0 counts as 1. Called when
    /// its prefill ends.
    using tokens_of = std::function<std::uint32_t(const compute_job& job)>;
    /// A sequence has its last token: `user` is its job's. Called on the loop.
    using decoded_function = std::function<void(void* user)>;

    /// \param output_tokens, decoded  noexcept in effect; null: one token each, nobody to tell
    /// \param on  outlives it
    /// \return kInvalidArgument, naming the option, for what is out of range or order
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<iteration_engine>> create(
        iteration_options options, tokens_of output_tokens, decoded_function decoded, loop& on);
    /// Every job must have completed; sequences that still decode are forgotten.
    ~iteration_engine() override;

    void start(compute_job& job) noexcept override;

    /// The seconds of a decode step.
    [[nodiscard]] double decode_seconds(std::uint32_t batch) const noexcept;
    [[nodiscard]] iteration_stats stats() const noexcept;
    [[nodiscard]] double busy_seconds() const noexcept { return stats().busy_seconds; }

    /// Calls `each` for every sequence that decodes, with its job's user and the tokens that it has
    /// not got.
    void for_each_running(const std::function<void(void* user, std::uint32_t left)>& each) const;

 private:
    struct state;
    explicit iteration_engine(std::unique_ptr<state> s) noexcept;

    std::unique_ptr<state> state_;
};

}  // namespace sluice::sim
