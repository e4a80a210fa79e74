// SPDX-License-Identifier: Apache-2.0
#include <tiny_llm/config.hpp>

#include <absl/strings/str_cat.h>

namespace tiny_llm {

absl::Status model_config::validate() const {
    struct limit {
        const char* name;
        std::size_t value;
        std::size_t multiple_of;
        std::size_t max;
    };
    for (const limit& l :
         {limit{"vocab", vocab, 1, 1u << 18}, limit{"d_model", d_model, 16, 1u << 13},
          limit{"layers", layers, 1, 1u << 8}, limit{"kv_heads", kv_heads, 1, 1u << 8},
          limit{"heads", heads, 1, 1u << 8}, limit{"head_dim", head_dim, 16, 1u << 9},
          limit{"hidden", hidden, 8, 1u << 15}, limit{"max_tokens", max_tokens, 1, 1u << 20},
          limit{"chunk_rows", chunk_rows, 1, 1u << 14}}) {
        if (l.value == 0 || l.value > l.max || l.value % l.multiple_of != 0) {
            return absl::InvalidArgumentError(absl::StrCat("model_config: ", l.name, " is ",
                                                           l.value, ", must be a multiple of ",
                                                           l.multiple_of, " up to ", l.max));
        }
    }
    if (heads % kv_heads != 0) {
        return absl::InvalidArgumentError(absl::StrCat(
            "model_config: heads is ", heads, ", must be a multiple of kv_heads, ", kv_heads));
    }
    if (!(rope_base > 1.0)) {
        return absl::InvalidArgumentError(
            absl::StrCat("model_config: rope_base is ", rope_base, ", must be above 1"));
    }
    return absl::OkStatus();
}

}  // namespace tiny_llm
