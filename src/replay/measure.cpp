// SPDX-License-Identifier: Apache-2.0
#include "measure.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <limits>
#include <vector>

#include <sluice/base/status.hpp>
#include <sluice/coro/completion.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/device/host_device.hpp>

#include "../workload/random.hpp"
#include "engine.hpp"

namespace sluice::replay {
namespace {

constexpr std::array<std::size_t, 6> batch_sizes{1, 2, 4, 8, 16, 32};

/// One of several operations that are waited for together.
template <class Op>
struct counted : Op {
    latch* left = nullptr;
};

/// Starts the first `n` operations at once. \return seconds until all have ended
template <class Op, class Start>
task<absl::StatusOr<double>> time_batch(loop& home, std::deque<counted<Op>>& ops, std::size_t n,
                                        const Start& start) {
    latch left(home, static_cast<std::uint32_t>(n));
    std::vector<Op*> batch;
    for (std::size_t i = 0; i < n; ++i) {
        ops[i].left = &left;
        ops[i].on_completion(
            home, [](operation& o) noexcept { static_cast<counted<Op>&>(o).left->count_down(); });
        batch.push_back(&ops[i]);
    }
    const time_point begun = home.now();
    start(std::span<Op* const>(batch));
    co_await left;
    const double seconds = to_seconds(home.now() - begun);
    for (std::size_t i = 0; i < n; ++i) {
        if (!ops[i].status().ok()) {
            co_return ops[i].status();
        }
    }
    co_return seconds;
}

/// \param pieces  descriptors of one operation
template <class Op, class Start>
absl::Status measure_batches(std::deque<counted<Op>>& ops, std::uint64_t bytes,
                             std::uint64_t pieces, unsigned repeats, const Start& start,
                             std::vector<cost_sample>& samples) {
    thread_loop home("sluice-profile");
    SLUICE_RETURN_IF_ERROR(home.start());
    for (const std::size_t n : batch_sizes) {
        double best = std::numeric_limits<double>::infinity();
        for (unsigned i = 0; i < repeats; ++i) {
            const auto took = sync_wait(home, time_batch(home, ops, n, start));
            SLUICE_RETURN_IF_ERROR(took.status());
            best = std::min(best, *took);
        }
        samples.push_back({{n * bytes, n * pieces, 0, 0}, best});
    }
    return absl::OkStatus();
}

// Blocks of two sizes, or bytes could not be told from descriptors.
constexpr std::uint32_t smaller = 4;

absl::Status measure_copies(const tiny_llm::model& model, std::uint32_t block_tokens,
                            unsigned repeats, std::vector<cost_sample>& samples) {
    constexpr auto most = static_cast<std::uint32_t>(batch_sizes.back());
    auto arena = tiny_llm::kv_arena::create(model.config().kv(), page_layout, block_tokens, most);
    SLUICE_RETURN_IF_ERROR(arena.status());
    const auto pages = layout_of(*arena);
    SLUICE_RETURN_IF_ERROR(pages.status());
    auto gpu = host_device::create();
    SLUICE_RETURN_IF_ERROR(gpu.status());
    SLUICE_RETURN_IF_ERROR((*gpu)->register_layout(*pages));
    const std::uint64_t bytes = pages->block_bytes(0);
    const auto host = (*gpu)->allocate_pinned(bytes * most);
    SLUICE_RETURN_IF_ERROR(host.status());
    std::deque<counted<device_copy>> ops(most);
    for (std::uint32_t i = 0; i < most; ++i) {
        ops[i].host = host->data() + i * bytes;
        ops[i].group = &pages->groups()[0];
        ops[i].slot = i;
    }
    const auto start = [&](std::span<device_copy* const> batch) { (*gpu)->copy_in(batch); };
    const absl::Status status =
        measure_batches(ops, bytes, pages->pieces(0), repeats, start, samples);
    (*gpu)->free_pinned(*host);
    return status;
}

absl::Status measure_fetches(const l3_spec& where, std::uint64_t block_bytes, double link_rate,
                             unsigned repeats, std::vector<cost_sample>& samples) {
    constexpr std::size_t most = batch_sizes.back();
    std::vector<std::byte> memory(block_bytes * most, std::byte{1});  // outlives the store
    auto l3 = open_l3(where, 2 * most * (block_bytes + 64), 0);
    SLUICE_RETURN_IF_ERROR(l3.status());
    store& blocks = (*l3)->blocks();
    SLUICE_RETURN_IF_ERROR(blocks.register_memory(memory));
    std::deque<counted<store_put>> puts(most);
    std::deque<counted<store_get>> gets(most);
    for (std::size_t i = 0; i < most; ++i) {
        const std::span<std::byte> block = std::span(memory).subspan(i * block_bytes, block_bytes);
        puts[i].key = block_key::from_u64(i);
        puts[i].from = block;
        gets[i].key = puts[i].key;
        gets[i].into = block;
    }
    {
        thread_loop home("sluice-profile");
        SLUICE_RETURN_IF_ERROR(home.start());
        const auto put = [&](std::span<store_put* const> batch) { blocks.put(batch); };
        SLUICE_RETURN_IF_ERROR(sync_wait(home, time_batch(home, puts, most, put)).status());
    }
    SLUICE_RETURN_IF_ERROR((*l3)->set_link_rate(link_rate));
    const auto get = [&](std::span<store_get* const> batch) { blocks.get(batch); };
    absl::Status status = measure_batches(gets, block_bytes, 1, repeats, get, samples);
    blocks.unregister_memory(memory);
    return status;
}

}  // namespace

absl::StatusOr<compute_coefficients> measure_compute(const tiny_llm::model& model,
                                                     std::uint32_t block_tokens,
                                                     std::uint32_t max_tokens, unsigned repeats) {
    struct point {
        std::uint32_t query, context;
    };
    constexpr std::array points{point{4, 480},   point{16, 240}, point{16, 960},  point{32, 480},
                                point{64, 0},    point{64, 960}, point{128, 384}, point{256, 0},
                                point{256, 512}, point{512, 0}};
    const auto limit = static_cast<std::uint32_t>(
        std::min<std::size_t>(std::max<std::uint32_t>(max_tokens, 2), model.config().max_tokens));
    auto arena = tiny_llm::kv_arena::create(model.config().kv(), page_layout, block_tokens,
                                            limit / block_tokens + 1);
    SLUICE_RETURN_IF_ERROR(arena.status());
    std::vector<std::uint32_t> slots(arena->pages().num_slots());
    for (std::uint32_t i = 0; i < slots.size(); ++i) {
        slots[i] = i;
    }
    workload::random_source random(1);
    std::vector<std::uint32_t> tokens(limit);
    for (std::uint32_t& token : tokens) {
        token = static_cast<std::uint32_t>(random.below(model.config().vocab));
    }
    std::vector<float> logits(model.config().vocab);
    tiny_llm::scratch work;
    std::vector<cost_sample> samples;
    for (const point& p : points) {
        const std::uint32_t query = std::min(p.query, limit);
        const std::uint32_t context = std::min(p.context, limit - query);
        const auto prompt = std::span(tokens).first(context + query);
        double best = std::numeric_limits<double>::infinity();
        for (unsigned i = 0; i < repeats; ++i) {
            const auto begun = std::chrono::steady_clock::now();
            SLUICE_RETURN_IF_ERROR(
                model.prefill(prompt, context, arena->pages(), slots, logits, work));
            best = std::min(
                best,
                std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
        }
        samples.push_back({{0, 0, query, context}, best});
    }
    return fit_compute(samples);
}

absl::StatusOr<load_coefficients> measure_copy(const tiny_llm::model& model,
                                               std::uint32_t block_tokens, unsigned repeats) {
    std::vector<cost_sample> samples;
    for (const std::uint32_t tokens : {block_tokens, std::max(block_tokens / smaller, 1u)}) {
        SLUICE_RETURN_IF_ERROR(measure_copies(model, tokens, repeats, samples));
    }
    return fit_load(samples);
}

absl::StatusOr<load_coefficients> measure_fetch(const l3_spec& where, std::uint64_t block_bytes,
                                                double link_rate, unsigned repeats) {
    std::vector<cost_sample> samples;
    for (const std::uint64_t bytes :
         {block_bytes, std::max<std::uint64_t>(block_bytes / smaller, 1)}) {
        SLUICE_RETURN_IF_ERROR(measure_fetches(where, bytes, link_rate, repeats, samples));
    }
    return fit_load(samples);
}

}  // namespace sluice::replay
