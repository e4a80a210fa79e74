// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace sluice::experiment {

/// What loading needs to know of a language model.
struct kv_model {
    std::string name;
    std::string description;
    std::uint32_t layers = 1;
    std::uint32_t kv_heads = 1;
    std::uint32_t head_dim = 1;
    std::uint32_t bytes_per_value = 2;
    double parameters = 0;  ///< weights, of 2 bytes each; compute and GPU memory scale with them

    /// Keys and values of one token.
    [[nodiscard]] std::uint64_t kv_bytes_per_token() const noexcept {
        return std::uint64_t{2} * layers * kv_heads * head_dim * bytes_per_value;
    }
};

/// The names of the models in models/, which are made from their public configurations.
[[nodiscard]] std::vector<std::string> builtin_kv_models();

/// A built-in model by its name, or one from a file: a JSON object with `name`, `layers`,
/// `kv_heads`, `head_dim`, `parameters` and optionally `bytes_per_value` (2) and `description`.
///
/// \return kNotFound: neither a name nor a file; else as `json::parse_file` and `object_reader`.
[[nodiscard]] absl::StatusOr<kv_model> load_kv_model(std::string_view name_or_file);

}  // namespace sluice::experiment
