// SPDX-License-Identifier: Apache-2.0
#include <sluice/observe/result.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

namespace sluice {

std::string_view to_string(request_outcome outcome) noexcept {
    switch (outcome) {
    case request_outcome::computed: return "computed";
    case request_outcome::rejected: return "rejected";
    case request_outcome::failed: return "failed";
    case request_outcome::cancelled: return "cancelled";
    case request_outcome::unfinished: return "unfinished";
    }
    return "unknown";
}

void run_result::add_span(stage_span span) {
    if (spans.size() >= max_spans) {
        ++spans_dropped;
        return;
    }
    spans.push_back(std::move(span));
}

std::string run_result::label() const {
    // Without a cache there is nothing to order or to split.
    if (config == "recompute") {
        return config;
    }
    std::string out = config;
    if (!policy.empty()) {
        out += ' ' + policy;
    }
    if (split) {
        out += " split";
    }
    return out;
}

const stage_result* run_result::stage(std::string_view name) const noexcept {
    const auto it = std::find_if(stages.begin(), stages.end(),
                                 [name](const stage_result& s) { return s.name == name; });
    return it == stages.end() ? nullptr : &*it;
}

double run_result::busy(std::string_view name) const noexcept {
    const stage_result* found = stage(name);
    return found == nullptr ? 0 : found->busy;
}

double mean(std::span<const double> values) noexcept {
    if (values.empty()) {
        return 0;
    }
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double percentile(std::span<const double> sorted, double p) noexcept {
    if (sorted.empty()) {
        return 0;
    }
    const double place = std::clamp(p, 0.0, 100.0) / 100 * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    const double share = place - static_cast<double>(below);
    return sorted[below] + share * (sorted[above] - sorted[below]);
}

std::vector<double> sorted_ttft(const run_result& run) {
    std::vector<double> values;
    values.reserve(run.requests.size());
    for (const request_result& r : run.requests) {
        if (r.outcome == request_outcome::computed && !std::isnan(r.ttft_s)) {
            values.push_back(r.ttft_s);
        }
    }
    std::sort(values.begin(), values.end());
    return values;
}

ttft_summary summarize_ttft(const run_result& run) {
    const std::vector<double> values = sorted_ttft(run);
    return {values.size(), mean(values), percentile(values, 50), percentile(values, 95),
            percentile(values, 99)};
}

std::optional<double> attainment(const run_result& run, std::optional<double> multiple) {
    std::size_t all = 0;
    std::size_t made = 0;
    for (const request_result& r : run.requests) {
        const bool counts = multiple ? r.deadline_multiple == *multiple : r.deadline_multiple > 0;
        if (counts) {
            ++all;
            made += r.made_deadline() ? 1 : 0;
        }
    }
    if (all == 0) {
        return std::nullopt;
    }
    return static_cast<double>(made) / static_cast<double>(all);
}

std::vector<std::uint32_t> assign_lanes(std::span<const stage_span> spans) {
    std::vector<std::size_t> by_start(spans.size());
    std::iota(by_start.begin(), by_start.end(), std::size_t{0});
    std::stable_sort(by_start.begin(), by_start.end(), [spans](std::size_t a, std::size_t b) {
        return spans[a].start_s < spans[b].start_s;
    });
    std::map<std::string_view, std::vector<double>> ends;  // of each lane of each stage
    std::vector<std::uint32_t> lanes(spans.size());
    for (const std::size_t i : by_start) {
        std::vector<double>& of_stage = ends[spans[i].stage];
        const auto free = std::find_if(of_stage.begin(), of_stage.end(),
                                       [&](double end) { return end <= spans[i].start_s; });
        lanes[i] = static_cast<std::uint32_t>(free - of_stage.begin());
        if (free == of_stage.end()) {
            of_stage.push_back(spans[i].end_s);
        } else {
            *free = spans[i].end_s;
        }
    }
    return lanes;
}

}  // namespace sluice
