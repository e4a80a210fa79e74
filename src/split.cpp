// SPDX-License-Identifier: Apache-2.0
#include <sluice/cost/split.hpp>

#include <cassert>

namespace sluice {

double split_ttft(std::uint32_t k, const stage_seconds& own,
                  const stage_backlog& backlog) noexcept {
    double load = 0;
    if (k > 0) {
        const double first_landed = backlog.fetch + own.fetch / k;
        load = std::max(std::max(first_landed, backlog.copy) + own.copy,
                        backlog.fetch + own.fetch + own.copy / k);
    }
    return std::max(load, backlog.compute) + own.compute;
}

split_choice choose_split(const cost_model& model, const split_shapes& shapes,
                          const stage_backlog& backlog, const stage_prices& prices) {
    assert(!shapes.tokens.empty());
    const auto at = [](std::span<const std::uint64_t> values, std::uint32_t k) {
        assert(k < values.size());
        return values[k];
    };
    const auto blocks = static_cast<std::uint32_t>(shapes.tokens.size() - 1);
    const auto times = [&](std::uint32_t k) {
        const std::uint64_t loaded = std::min(at(shapes.tokens, k), shapes.prompt_tokens);
        demand_shape fetch;
        fetch.bytes = at(shapes.fetch_bytes, k);
        fetch.descriptors = shapes.fetch_descriptors.empty() ? k : at(shapes.fetch_descriptors, k);
        demand_shape copy;
        copy.bytes = at(shapes.copy_bytes, k);
        copy.descriptors = shapes.copy_descriptors.empty() ? k : at(shapes.copy_descriptors, k);
        demand_shape compute;
        compute.query_tokens = shapes.prompt_tokens - loaded;
        compute.context_tokens = loaded;
        // No bytes: L2 has them already, whatever the count of blocks says.
        return stage_seconds{fetch.bytes == 0 ? 0 : model.predict(stage_id::fetch, fetch),
                             copy.bytes == 0 ? 0 : model.predict(stage_id::copy, copy),
                             model.predict(stage_id::compute, compute)};
    };
    return choose_split(blocks, times, backlog, prices);
}

}  // namespace sluice
