// SPDX-License-Identifier: Apache-2.0
#include "engine.hpp"

#include <cstring>
#include <utility>

namespace sluice::replay {

absl::StatusOr<layout> layout_of(const tiny_llm::kv_arena& arena) {
    group_layout group;
    std::int32_t index = 0;
    for (const tiny_llm::kv_region& r : arena.regions()) {
        group.regions.push_back({.base = reinterpret_cast<std::uintptr_t>(r.base),
                                 .stride = r.stride,
                                 .bytes = r.bytes,
                                 .slots = r.slots,
                                 .layer = index++ / 2});
    }
    std::vector<group_layout> groups;
    groups.push_back(std::move(group));
    return layout::create(std::move(groups));
}

absl::StatusOr<std::unique_ptr<engine>> engine::create(const tiny_llm::model& model,
                                                       std::uint32_t block_tokens,
                                                       std::uint32_t slots) {
    absl::StatusOr<tiny_llm::kv_arena> arena =
        tiny_llm::kv_arena::create(model.config().kv(), page_layout, block_tokens, slots);
    if (!arena.ok()) {
        return arena.status();
    }
    absl::StatusOr<layout> pages = layout_of(*arena);
    if (!pages.ok()) {
        return pages.status();
    }
    std::unique_ptr<engine> out(new engine(model, std::move(*arena)));
    out->layout_.emplace(std::move(*pages));
    return out;
}

engine::engine(const tiny_llm::model& model, tiny_llm::kv_arena arena)
    : model_(model),
      arena_(std::move(arena)),
      logits_(model.config().vocab),
      thread_(std::make_unique<compute_thread>(
          [this](const compute_job& job) { return prefill(job); })) {}

absl::Status engine::prefill(const compute_job& job) {
    prompt& p = *static_cast<prompt*>(job.user);
    if (absl::Status s = model_.prefill(p.tokens, job.context_tokens, arena_.pages(), job.pages,
                                        logits_, scratch_);
        !s.ok()) {
        return s;
    }
    // Relaxed: counters order nothing.
    tokens_.fetch_add(job.query_tokens, std::memory_order_relaxed);
    if (p.reference.empty()) {
        p.reference = logits_;
        return absl::OkStatus();
    }
    compared_.fetch_add(1, std::memory_order_relaxed);
    if (std::memcmp(p.reference.data(), logits_.data(), logits_.size() * sizeof(float)) != 0) {
        mismatched_.fetch_add(1, std::memory_order_relaxed);
    }
    return absl::OkStatus();
}

}  // namespace sluice::replay
