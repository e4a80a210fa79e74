// SPDX-License-Identifier: Apache-2.0
#include "kv_model.hpp"

#include "../json/object_reader.hpp"
#include "named_input.hpp"

namespace sluice::experiment {

std::vector<std::string> builtin_kv_models() { return names_of(embedded_models()); }

absl::StatusOr<kv_model> load_kv_model(std::string_view name_or_file) {
    const absl::StatusOr<json::value> file = read_named("model", name_or_file, embedded_models());
    if (!file.ok()) {
        return file.status();
    }
    json::object_reader from(*file);
    kv_model out;
    out.name = from.text("name");
    out.description = from.text_or("description", "");
    out.layers = static_cast<std::uint32_t>(from.whole("layers", 1, 10'000));
    out.kv_heads = static_cast<std::uint32_t>(from.whole("kv_heads", 1, 10'000));
    out.head_dim = static_cast<std::uint32_t>(from.whole("head_dim", 1, 100'000));
    out.bytes_per_value = static_cast<std::uint32_t>(from.whole_or("bytes_per_value", 2, 1, 8));
    out.parameters = from.number("parameters", 1, 1e14);
    if (absl::Status fault = from.finish(); !fault.ok()) {
        return fault;
    }
    return out;
}

}  // namespace sluice::experiment
