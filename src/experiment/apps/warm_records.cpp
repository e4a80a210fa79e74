// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "json/located.hpp"
#include "prewarm_curves.hpp"

namespace sluice::experiment {
namespace {

constexpr double docker_seconds = 2.145;  // what the paper's curve saves at the most
constexpr double dnn_seconds = 7;
constexpr double plan_prefill = 0.83e-3;  // 70B on four cards, which the KV figure is about too
constexpr double plan_decode = 32e-3;
constexpr int kv_needs = 200;
constexpr double kv_tool = 15;
constexpr double kv_tool_variance = 2;

const json::value* find(const json::value& object, std::string_view key) {
    for (const json::member& m : object.members()) {
        if (m.key == key) {
            return &m.what;
        }
    }
    return nullptr;
}

absl::StatusOr<double> number(const json::value& object, std::string_view key) {
    const json::value* const held = find(object, key);
    const std::optional<double> n = held == nullptr ? std::nullopt : held->number();
    if (!n || !(*n >= 0) || *n > 1e9) {
        return object.error(fmt::format("'{}' must be a number from 0 to 1e9", key));
    }
    return *n;
}

absl::StatusOr<std::vector<json::value>> read_lines(const std::string& path) {
    std::ifstream in(path);
    if (!in) {
        return absl::NotFoundError(fmt::format("{}: cannot be read", path));
    }
    std::vector<json::value> out;
    std::string line;
    json::parse_limits limits;
    for (; std::getline(in, line); ++limits.first_line) {
        if (line.empty()) {
            continue;
        }
        absl::StatusOr<json::value> v = json::parse(line, path, limits);
        if (!v.ok()) {
            return v.status();
        }
        out.push_back(std::move(*v));
    }
    return out;
}

struct unit {
    std::string_view backend;
    std::span<const json::value> calls;
};

std::vector<unit> units_of(const json::value& run) {
    std::vector<unit> out;
    const json::value* const units = find(run, "units");
    if (units == nullptr) {
        return out;
    }
    for (const json::value& u : units->items()) {
        const json::value* const backend = find(u, "backend");
        const json::value* const calls = find(u, "calls");
        out.push_back({backend == nullptr ? "" : backend->text().value_or(""),
                       calls == nullptr ? std::span<const json::value>{} : calls->items()});
    }
    return out;
}

// Seconds of a prompt, between the measured points; beyond them in proportion.
using prefill_points = std::vector<std::pair<double, double>>;

absl::StatusOr<prefill_points> read_prefill(const json::value& model) {
    const json::value* const table = find(model, "llama70b_tp4_prefill");
    prefill_points out;
    if (table != nullptr) {
        for (const json::member& m : table->members()) {
            const double tokens = std::atof(m.key.c_str());
            if (const std::optional<double> ms = m.what.number(); ms && tokens > 0) {
                out.emplace_back(tokens, *ms / 1000);
            }
        }
    }
    std::sort(out.begin(), out.end());
    if (out.empty()) {
        return model.error("'llama70b_tp4_prefill' must map tokens to milliseconds");
    }
    return out;
}

double prefill(const prefill_points& points, double tokens) {
    const auto above = std::lower_bound(points.begin(), points.end(), std::pair{tokens, 0.0});
    if (above == points.begin()) {
        return above->second;
    }
    if (above == points.end()) {
        return points.back().second * tokens / points.back().first;
    }
    const auto below = std::prev(above);
    return below->second + (above->second - below->second) * (tokens - below->first) /
                               (above->first - below->first);
}

absl::Status read_code_feedback(const std::string& folder, const prefill_points& points,
                                warm_case& docker, warm_case& kv) {
    const absl::StatusOr<std::vector<json::value>> runs =
        read_lines(folder + "/code_feedback.jsonl");
    if (!runs.ok()) {
        return runs.status();
    }
    std::uint32_t number_of_run = 0;
    for (const json::value& run : *runs) {
        const json::value* const several = find(run, "multiturn");
        if (several == nullptr || !several->flag().value_or(false)) {
            continue;  // the artifact replays the others only
        }
        kv.applications += 1;
        ++number_of_run;
        double before = std::nan("");
        for (const unit& u : units_of(run)) {
            if (u.backend != "llm" || u.calls.empty()) {
                continue;
            }
            // An execution follows each generation; the replay skips the last, the source had it.
            const absl::StatusOr<double> ms = number(u.calls[0], "latency_ms");
            const absl::StatusOr<double> tokens = number(u.calls[0], "prompt_tokens");
            if (!ms.ok() || !tokens.ok()) {
                return ms.ok() ? tokens.status() : ms.status();
            }
            docker.needed_after.push_back(*ms / 1000);
            docker.known.push_back(before);
            docker.run.push_back(number_of_run);
            if (!std::isnan(std::exchange(before, *ms / 1000))) {
                kv.seconds.push_back(prefill(points, *tokens));
            }
        }
    }
    return absl::OkStatus();
}

bool reads_images(std::string_view model) {
    constexpr std::array<std::string_view, 5> vision{"image-to-text", "image-segmentation",
                                                     "visual-question-answering",
                                                     "object-detection", "depth-estimation"};
    return std::find(vision.begin(), vision.end(), model) != vision.end();
}

absl::Status read_hugginggpt(const std::string& folder, warm_case& vit, warm_case& diffusion) {
    const absl::StatusOr<std::vector<json::value>> runs = read_lines(folder + "/hugginggpt.jsonl");
    if (!runs.ok()) {
        return runs.status();
    }
    for (const json::value& run : *runs) {
        const std::vector<unit> units = units_of(run);
        if (!units.empty() && !units[0].calls.empty()) {
            const absl::StatusOr<double> prompt = number(units[0].calls[0], "prompt_tokens");
            const absl::StatusOr<double> written = number(units[0].calls[0], "completion_tokens");
            if (!prompt.ok() || !written.ok()) {
                return prompt.ok() ? written.status() : prompt.status();
            }
            diffusion.needed_after.push_back(dnn_seconds + plan_prefill * *prompt +
                                             plan_decode * *written);
        }
        for (const unit& u : units) {
            if (u.backend != "dnn") {
                continue;
            }
            double at = dnn_seconds;
            for (const json::value& call : u.calls) {
                const json::value* const model = find(call, "model");
                if (model != nullptr && reads_images(model->text().value_or(""))) {
                    vit.needed_after.push_back(at);
                    break;
                }
                const absl::StatusOr<double> ms = number(call, "duration_ms");
                if (!ms.ok()) {
                    return ms.status();
                }
                at += *ms / 1000;
            }
        }
    }
    return absl::OkStatus();
}

std::vector<curve_point> read_paper(const json::value& model) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 4> names{
        {{"docker", "docker"}, {"vit", "dnn_vit"}, {"sd", "dnn_diffusion"}, {"KV_Cache", "kv"}}};
    std::vector<curve_point> out;
    const json::value* const all = find(model, "prewarm_tradeoff_K");
    const json::value* const ks = all == nullptr ? nullptr : find(*all, "K");
    for (const auto& [name, backend] : names) {
        const json::value* const curve = ks == nullptr ? nullptr : find(*all, name);
        const json::value* const saved =
            curve == nullptr ? nullptr : find(*curve, "latency_reduction_s");
        const json::value* const waste =
            curve == nullptr ? nullptr : find(*curve, "wasted_resource_s");
        if (saved == nullptr || waste == nullptr) {
            continue;
        }
        const std::size_t count =
            std::min({ks->items().size(), saved->items().size(), waste->items().size()});
        for (std::size_t i = 0; i < count; ++i) {
            out.push_back({std::string(backend), "paper", ks->items()[i].number().value_or(0),
                           saved->items()[i].number().value_or(0),
                           waste->items()[i].number().value_or(0)});
        }
    }
    return out;
}

}  // namespace

absl::StatusOr<warm_records> read_warm_records(const std::string& folder) {
    const absl::StatusOr<json::value> model = json::parse_file(folder + "/cost_model.json");
    if (!model.ok()) {
        return model.status();
    }
    const absl::StatusOr<prefill_points> points = read_prefill(*model);
    if (!points.ok()) {
        return points.status();
    }
    const auto empty = [](std::string_view backend, std::vector<double> seconds, double by) {
        return warm_case{std::string(backend), {}, {}, {}, false, std::move(seconds), by};
    };
    warm_case docker = empty("docker", {docker_seconds}, 1);
    warm_case vit = empty("dnn_vit", {dnn_seconds}, 1);
    warm_case diffusion = empty("dnn_diffusion", {dnn_seconds}, 1);
    warm_case kv = empty("kv", {}, 0);
    if (absl::Status s = read_code_feedback(folder, *points, docker, kv); !s.ok()) {
        return s;
    }
    if (absl::Status s = read_hugginggpt(folder, vit, diffusion); !s.ok()) {
        return s;
    }
    kv.drawn = true;
    for (int i = 0; i < kv_needs; ++i) {
        kv.needed_after.push_back(kv_tool + std::sqrt(kv_tool_variance) *
                                                normal_quantile((i + 0.5) / kv_needs));
    }
    warm_records out;
    out.paper = read_paper(*model);
    for (warm_case* c : {&docker, &vit, &diffusion, &kv}) {
        if (c->needed_after.size() < 2 || c->seconds.empty()) {
            return absl::InvalidArgumentError(
                fmt::format("{}: too few records for the curve of {}", folder, c->backend));
        }
        out.cases.push_back(std::move(*c));
    }
    return out;
}

}  // namespace sluice::experiment
