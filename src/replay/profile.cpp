// SPDX-License-Identifier: Apache-2.0
#include "../command/profile.hpp"

#include <thread>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "measure.hpp"

namespace sluice::command {
namespace {

// What `replay` chooses by default, about.
constexpr std::uint32_t block_tokens = 24;
constexpr std::uint32_t max_tokens = 1536;

}  // namespace

absl::StatusOr<profile_result> run_profile(const profile_options& options, progress_bar& progress) {
    tiny_llm::model_config config;
    config.seed = options.seed;
    const auto model = tiny_llm::model::create(config);
    SLUICE_RETURN_IF_ERROR(model.status());
    const std::uint64_t block_bytes = block_tokens * config.kv().token_bytes();

    profile_result out;
    progress.begin("profiling", 3);
    auto compute = replay::measure_compute(*model, block_tokens, max_tokens, options.repeats);
    SLUICE_RETURN_IF_ERROR(compute.status());
    out.compute = *compute;
    progress.advance();
    auto copy = replay::measure_copy(*model, block_tokens, options.repeats);
    SLUICE_RETURN_IF_ERROR(copy.status());
    out.copy = *copy;
    progress.advance();
    const replay::l3_spec where{options.nodes, options.provider, options.program, nullptr};
    auto fetch =
        replay::measure_fetch(where, block_bytes, options.link_mbps * 1e6, options.repeats);
    SLUICE_RETURN_IF_ERROR(fetch.status());
    out.fetch = *fetch;
    progress.advance();

    out.facts = {
        {"link", options.link_mbps > 0 ? fmt::format("{:g} MB/s", options.link_mbps)
                                       : std::string("not limited")},
        {"nodes", fmt::format("{}", options.nodes)},
        {"block", fmt::format("{} tokens, {} bytes", block_tokens, block_bytes)},
        {"model", fmt::format("tiny_llm, {} kernels", model->kernel_name())},
        {"machine", fmt::format("{} hardware threads", std::thread::hardware_concurrency())},
    };
    return out;
}

}  // namespace sluice::command
