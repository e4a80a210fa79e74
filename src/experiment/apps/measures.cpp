// SPDX-License-Identifier: Apache-2.0
#include "measures.hpp"

#include <algorithm>
#include <limits>
#include <vector>

namespace sluice::experiment {
namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();

double completion_quantile(const app_run& run, double q) {
    std::vector<double> sorted;
    for (const app_run::task& t : run.tasks) {
        sorted.push_back(t.completion_s);
    }
    std::sort(sorted.begin(), sorted.end());
    return quantile_of(sorted, q);
}

double busy(const app_run& run, app_backend b) { return run.busy[static_cast<std::size_t>(b)]; }
double waited(const app_run& run, app_backend b) {
    return run.waited_s[static_cast<std::size_t>(b)];
}

double warm_share(const app_run& run, cold_kind k) {
    if (!run.cold || run.cold->of[static_cast<std::size_t>(k)].uses == 0) {
        return none;
    }
    const cold_start_counts& c = run.cold->of[static_cast<std::size_t>(k)];
    return static_cast<double>(c.warm) / static_cast<double>(c.uses);
}
double by_application(const app_run& run, double seconds) {
    return seconds / static_cast<double>(run.tasks.size());
}

constexpr app_measure measures_table[] = {
    {"act_mean", false, [](const app_run& r) { return mean_completion_of(r, ""); }},
    {"act_p50", false, [](const app_run& r) { return completion_quantile(r, 0.5); }},
    {"act_p90", false, [](const app_run& r) { return completion_quantile(r, 0.9); }},
    {"act_p95", false, [](const app_run& r) { return completion_quantile(r, 0.95); }},
    {"act_p99", false, [](const app_run& r) { return completion_quantile(r, 0.99); }},
    {"made", true, [](const app_run& r) { return made_deadlines(r, 0); }},
    {"made_tight", true, [](const app_run& r) { return made_deadlines(r, 1.2); }},
    {"made_modest", true, [](const app_run& r) { return made_deadlines(r, 1.5); }},
    {"made_loose", true, [](const app_run& r) { return made_deadlines(r, 2); }},
    {"busy_llm", true, [](const app_run& r) { return busy(r, app_backend::llm); }},
    {"busy_docker", true, [](const app_run& r) { return busy(r, app_backend::docker); }},
    {"busy_dnn", true, [](const app_run& r) { return busy(r, app_backend::dnn); }},
    {"busy_search", true, [](const app_run& r) { return busy(r, app_backend::search); }},
    {"waited_docker", false, [](const app_run& r) { return waited(r, app_backend::docker); }},
    {"waited_dnn", false, [](const app_run& r) { return waited(r, app_backend::dnn); }},
    {"waited_search", false, [](const app_run& r) { return waited(r, app_backend::search); }},
    {"cached", true,
     [](const app_run& r) {
         return r.prompt_tokens == 0 ? none
                                     : 1 - static_cast<double>(r.computed_tokens) /
                                               static_cast<double>(r.prompt_tokens);
     }},
    {"near", true,
     [](const app_run& r) {
         const std::uint64_t far = r.computed_tokens + r.fetched_tokens;
         return r.prompt_tokens == 0
                    ? none
                    : 1 - static_cast<double>(far) / static_cast<double>(r.prompt_tokens);
     }},
    {"ttft_mean", false, [](const app_run& r) { return r.ttft_s; }},
    {"warm_docker", true, [](const app_run& r) { return warm_share(r, cold_kind::docker); }},
    {"warm_dnn", true, [](const app_run& r) { return warm_share(r, cold_kind::dnn); }},
    {"warm_lora", true, [](const app_run& r) { return warm_share(r, cold_kind::lora); }},
    {"cold_wait", false,
     [](const app_run& r) { return r.cold ? by_application(r, r.cold->all().waited_s) : none; }},
    {"cold_waste", false,
     [](const app_run& r) { return r.cold ? by_application(r, r.cold->all().wasted_s) : none; }},
    {"makespan", false, [](const app_run& r) { return r.makespan_s; }},
};

}  // namespace

std::span<const app_measure> all_app_measures() noexcept { return measures_table; }

const app_measure* find_app_measure(std::string_view name) noexcept {
    const auto* const it = std::find_if(std::begin(measures_table), std::end(measures_table),
                                        [name](const app_measure& m) { return m.name == name; });
    return it == std::end(measures_table) ? nullptr : it;
}

double mean_completion_of(const app_run& run, std::string_view application) {
    double total = 0;
    std::size_t count = 0;
    for (const app_run::task& t : run.tasks) {
        if (application.empty() || t.application == application) {
            total += t.completion_s;
            ++count;
        }
    }
    return count == 0 ? none : total / static_cast<double>(count);
}

double made_deadlines(const app_run& run, double multiple) {
    double with = 0;
    double made = 0;
    for (const app_run::task& t : run.tasks) {
        if (t.deadline_multiple > 0 && (multiple == 0 || t.deadline_multiple == multiple)) {
            ++with;
            made += t.completion_s <= t.allowed_s ? 1 : 0;
        }
    }
    return with > 0 ? made / with : none;
}

double quantile_of(std::span<const double> sorted, double q) noexcept {
    return sorted[std::min(sorted.size() - 1,
                           static_cast<std::size_t>(q * static_cast<double>(sorted.size())))];
}

}  // namespace sluice::experiment
