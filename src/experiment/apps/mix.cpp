// SPDX-License-Identifier: Apache-2.0
#include "mix.hpp"

#include <fmt/format.h>

#include "../../json/object_reader.hpp"
#include "../named_input.hpp"

namespace sluice::experiment {
namespace {

constexpr double most_weight = 1e6;
constexpr std::uint32_t most_tasks = 100'000;
constexpr std::uint32_t most_adapters = 1'000'000;
constexpr double longest_window_s = 1e6;

absl::Status read_shares(const json::value& from, std::vector<app_mix::share>& out) {
    double total = 0;
    for (const json::member& m : from.members()) {
        if (absl::Status fault = json::check_number(
                m.what, fmt::format("weight of {}", json::quote(m.key)), 0, most_weight);
            !fault.ok()) {
            return fault;
        }
        const double weight = *m.what.number();
        total += weight;
        if (weight > 0) {
            out.push_back({m.key, weight});
        }
    }
    return total > 0 ? absl::OkStatus() : from.error("key 'weights' has no weight above 0");
}

absl::StatusOr<app_mix> read_mix(const json::value& file) {
    json::object_reader from(file);
    app_mix out;
    out.name = from.text("name");
    out.description = from.text_or("description", "");
    if (const json::value* shares = from.object("weights")) {
        from.keep(read_shares(*shares, out.shares));
    }
    out.window_s = from.number("window_s", json::above_zero, longest_window_s);
    out.tasks = static_cast<std::uint32_t>(from.whole("tasks", 1, most_tasks));
    if (const json::value* on = from.find("tasks_on")) {
        if (!on->is_object()) {
            from.keep(on->error("key 'tasks_on' is not an object"));
        }
        for (const json::member& m : on->members()) {
            from.keep(json::check_whole(m.what, fmt::format("tasks on {}", json::quote(m.key)), 1,
                                        most_tasks));
            out.tasks_on[m.key] = static_cast<std::uint32_t>(m.what.whole().value_or(1));
        }
    }
    out.deadline_share = from.number_or("deadline_share", 0, 0, 1);
    out.adapters = static_cast<std::uint32_t>(from.whole_or("adapters", 0, 0, most_adapters));
    out.external_queues = from.flag_or("external_queues", true);
    if (absl::Status fault = from.finish(); !fault.ok()) {
        return fault;
    }
    return out;
}

}  // namespace

absl::StatusOr<app_mix> load_mix(std::string_view name_or_file) {
    const absl::StatusOr<json::value> file = read_named("mix", name_or_file, embedded_mixes());
    if (!file.ok()) {
        return file.status();
    }
    return read_mix(*file);
}

std::vector<std::string> builtin_mixes() { return names_of(embedded_mixes()); }

}  // namespace sluice::experiment
