// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include <absl/status/status.h>

#include <tiny_llm/paged_kv.hpp>

namespace tiny_llm {

/// Which arithmetic a model uses. KV and logits of two sets differ in their last bits.
enum class kernel_choice {
    best,      ///< the fastest that this machine can run
    portable,  ///< plain products and sums, for any machine
};

/// Shape and seed of a model. The defaults make 2048 bytes of KV per token.
struct model_config {
    std::size_t vocab = 1024;
    std::size_t d_model = 256;  ///< multiple of 16
    std::size_t layers = 4;
    std::size_t heads = 8;      ///< query heads, multiple of kv_heads
    std::size_t kv_heads = 2;   ///< each is shared by heads / kv_heads query heads
    std::size_t head_dim = 32;  ///< multiple of 16
    std::size_t hidden = 688;   ///< of the SwiGLU, multiple of 8
    std::size_t max_tokens = 8192;
    std::size_t chunk_rows = 192;  ///< tokens computed at once: bounds memory, changes no result
    double rope_base = 10000.0;
    std::uint64_t seed = 1;
    kernel_choice kernels = kernel_choice::best;

    /// \return InvalidArgument that names the first field out of its range.
    [[nodiscard]] absl::Status validate() const;
    [[nodiscard]] kv_shape kv() const noexcept { return {layers, kv_heads, head_dim}; }
};

}  // namespace tiny_llm
