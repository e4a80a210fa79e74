// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/kv/layout.hpp>
#include <sluice/stage/compute_thread.hpp>

#include <tiny_llm/model.hpp>
#include <tiny_llm/paged_kv.hpp>

namespace sluice::replay {

/// A prompt, and the logits that follow from it: what `user` of a compute job points to.
struct prompt {
    std::span<const std::uint32_t> tokens;
    std::vector<float> reference;  ///< of a full recomputation; empty: the next prefill makes it
};

/// The layout of a page in all engines here: keys and values of each layer apart, as most engines
/// have them.
inline constexpr tiny_llm::kv_layout page_layout = tiny_llm::kv_layout::split_per_layer;

/// The engine of every configuration: a transformer, its KV pages, and a thread that computes.
/// Every prefill's logits are compared, bit for bit, with the prompt's reference.
class engine {
 public:
    /// \param model  outlives the engine.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<engine>> create(
        const tiny_llm::model& model, std::uint32_t block_tokens, std::uint32_t slots);

    [[nodiscard]] const layout& pages() const noexcept { return *layout_; }
    [[nodiscard]] compute& model_thread() noexcept { return *thread_; }

    [[nodiscard]] std::uint64_t logits_compared() const noexcept { return compared_; }
    [[nodiscard]] std::uint64_t logits_mismatched() const noexcept { return mismatched_; }
    [[nodiscard]] std::uint64_t tokens_computed() const noexcept { return tokens_; }

 private:
    engine(const tiny_llm::model& model, tiny_llm::kv_arena arena);
    absl::Status prefill(const compute_job& job);

    const tiny_llm::model& model_;
    tiny_llm::kv_arena arena_;
    std::optional<layout> layout_;
    tiny_llm::scratch scratch_;
    std::vector<float> logits_;
    std::atomic<std::uint64_t> compared_{0}, mismatched_{0}, tokens_{0};
    std::unique_ptr<compute_thread> thread_;  // last: it uses all of the above
};

/// The layout of an arena's pages.
[[nodiscard]] absl::StatusOr<layout> layout_of(const tiny_llm::kv_arena& arena);

}  // namespace sluice::replay
