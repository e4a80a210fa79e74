// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sluice/base/status.hpp>

#include "parallel.hpp"
#include "run.hpp"
#include "sweep.hpp"
#include "sweep_csv.hpp"

namespace sluice::experiment {
namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();

/// Mean seconds that a request keeps the busiest stage from others.
double bottleneck_s(const seed_facts& facts) {
    double fetch = 0;
    double copy = 0;
    double compute = 0;
    for (const alone& a : facts.each) {
        fetch += a.fetch_s;
        copy += a.load_s - a.fetch_s;
        compute += a.compute_s;
    }
    return std::max({fetch, copy, compute}) / static_cast<double>(facts.each.size());
}

/// One seed of a run of a sweep.
struct sweep_job {
    std::size_t run;
    std::uint64_t seed;
    double weight = 0;  ///< about proportional to the time that it takes
};

std::vector<sweep_job> jobs_of(const sweep_spec& sweep) {
    std::vector<sweep_job> out;
    for (std::size_t r = 0; r < sweep.runs.size(); ++r) {
        const run_options& o = sweep.runs[r].options;
        for (std::uint32_t s = 0; s < o.seeds; ++s) {
            out.push_back({r, o.first_seed + s});
        }
    }
    return out;
}

std::string what_facts_depend_on(const run_options& o, std::uint64_t seed) {
    std::string out = fmt::format("{}\n", seed);
    for (const char* name :
         {"workload", "trace", "model", "profile", "requests", "hit-ratio", "warm"}) {
        out += *option_text(o, name) + '\n';
    }
    return out;
}

/// `sweep.runs` of these jobs with their rates, after all seeds of each have been served alone.
absl::StatusOr<std::vector<run_options>> resolve(const sweep_spec& sweep,
                                                 std::vector<sweep_job>& jobs, unsigned threads,
                                                 shared_facts& shared,
                                                 const sweep_observer& observer) {
    // All seeds of a run say what its rate is, whichever of them is to run.
    std::map<std::string, sweep_job> alone;
    for (const sweep_job& job : jobs) {
        const run_options& o = sweep.runs[job.run].options;
        for (std::uint32_t s = 0; s < o.seeds; ++s) {
            const std::uint64_t seed = o.first_seed + s;
            alone.try_emplace(what_facts_depend_on(o, seed), sweep_job{job.run, seed});
        }
    }
    std::vector<sweep_job> first;
    for (const auto& [key, job] : alone) {
        first.push_back(job);
    }
    if (observer.begin) {
        observer.begin("requests alone", first.size());
    }
    SLUICE_RETURN_IF_ERROR(in_parallel(threads, first.size(), observer.step, [&](std::size_t i) {
        const sweep_run& run = sweep.runs[first[i].run];
        return annotate(shared.facts(run.options, first[i].seed).status(),
                        fmt::format("{}, seed {}", run.name, first[i].seed));
    }));
    std::vector<run_options> out;
    for (const sweep_run& run : sweep.runs) {
        out.push_back(run.options);
    }
    for (sweep_job& job : jobs) {
        const sweep_run& run = sweep.runs[job.run];
        double service = 0;
        for (std::uint32_t s = 0; s < run.options.seeds; ++s) {
            auto facts = shared.facts(run.options, run.options.first_seed + s);
            SLUICE_RETURN_IF_ERROR(facts.status());
            service +=
                run.load == load_kind::bottleneck ? bottleneck_s(**facts) : (*facts)->mean_t0_s;
        }
        service /= run.options.seeds;
        if (run.load != load_kind::qps) {
            if (!(service > 0)) {
                return absl::InvalidArgumentError(
                    fmt::format("{}: its requests take no time", run.name));
            }
            out[job.run].qps = run.load_value / service;
        }
        auto facts = shared.facts(run.options, job.seed);
        SLUICE_RETURN_IF_ERROR(facts.status());
        for (const struct alone& a : (*facts)->each) {
            job.weight += static_cast<double>(a.loaded_tokens) + 1000;
        }
    }
    return out;
}

measured measure(const seed_result& seed, const seed_facts& facts) {
    measured out;
    out.fill(none);
    const auto set = [&out](measure_id id, double value) {
        out[static_cast<std::size_t>(id)] = value;
    };
    const run_result& run = seed.result;
    const std::vector<double> ttft = sorted_ttft(run);
    set(measure_id::arrived, static_cast<double>(run.requests.size()));
    if (!ttft.empty()) {
        set(measure_id::ttft_mean, mean(ttft));
        set(measure_id::ttft_p50, percentile(ttft, 50));
        set(measure_id::ttft_p95, percentile(ttft, 95));
        set(measure_id::ttft_p99, percentile(ttft, 99));
        set(measure_id::ttft_max, ttft.back());
    }
    set(measure_id::attainment, attainment(run).value_or(none));
    set(measure_id::attainment_2x, attainment(run, 2).value_or(none));
    set(measure_id::attainment_4x, attainment(run, 4).value_or(none));
    set(measure_id::attainment_8x, attainment(run, 8).value_or(none));
    set(measure_id::finished,
        static_cast<double>(ttft.size()) / static_cast<double>(run.requests.size()));
    if (seed.bound && !ttft.empty()) {
        set(measure_id::bound, seed.bound->mean_s());
        set(measure_id::over_bound, mean(ttft) / seed.bound->mean_s() - 1);
    }
    set(measure_id::offered_load, seed.coupled_offered_load);
    set(measure_id::bottleneck, seed.qps * bottleneck_s(facts));
    set(measure_id::qps, seed.qps);
    set(measure_id::busy_fetch, seed.fetch.busy);
    set(measure_id::busy_copy, seed.copy.busy);
    set(measure_id::busy_compute, seed.compute.busy);
    const auto rate = [](double amount, const stage_use& use) {
        return use.needed_s > 0 ? amount / use.needed_s : none;
    };
    set(measure_id::fetch_gb_s, rate(static_cast<double>(seed.fetch.bytes) * 1e-9, seed.fetch));
    set(measure_id::copy_gb_s, rate(static_cast<double>(seed.copy.bytes) * 1e-9, seed.copy));
    set(measure_id::compute_tokens_s, rate(static_cast<double>(run.tokens_computed), seed.compute));
    const auto error = [&run](std::string_view name) {
        const stage_result* stage = run.stage(name);
        return stage != nullptr && stage->predicted_s > 0 ? stage->relative_error : none;
    };
    set(measure_id::error_fetch, error("fetch"));
    set(measure_id::error_copy, error("copy"));
    set(measure_id::error_compute, error("compute"));
    return out;
}

std::vector<run_condition> conditions_of(const run_options& o) {
    return {{"", o.workload, ""},
            {"", o.model, ""},
            {"", o.profile, ""},
            {"hit ratio ", fmt::format("{}", o.hit_ratio), "1"},
            {"link ", o.drift.empty() ? "0:1" : to_string(o.drift), "0:1"}};
}

/// What a figure shows of the requests of a seed.
void keep_requests(const sweep_run& run, const seed_result& seed, const seed_facts& facts,
                   run_figures& out) {
    if (run.wants_ttft) {
        const std::vector<double> sorted = sorted_ttft(seed.result);
        const auto middle = static_cast<std::ptrdiff_t>(out.ttft.size());
        for (const double t : sorted) {
            out.ttft.push_back(static_cast<float>(t));
        }
        std::inplace_merge(out.ttft.begin(), out.ttft.begin() + middle, out.ttft.end());
    }
    if (run.wants_requests) {
        for (const alone& a : facts.each) {
            out.points.push_back({static_cast<float>(a.loaded_tokens),
                                  static_cast<float>(a.query_tokens), static_cast<float>(a.load_s),
                                  static_cast<float>(a.compute_s), static_cast<float>(a.t0_s)});
        }
    }
}

/// Runs jobs, the longest first, and gives each result to `done`, one at a time, with its place.
absl::Status run_jobs(
    const sweep_spec& sweep, std::vector<sweep_job> jobs, unsigned threads,
    const sweep_observer& observer,
    const std::function<void(std::size_t, const seed_result&, const seed_facts&)>& done) {
    shared_facts shared;
    auto options = resolve(sweep, jobs, threads, shared, observer);
    SLUICE_RETURN_IF_ERROR(options.status());
    std::vector<std::size_t> order(jobs.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
        order[i] = i;
    }
    std::stable_sort(order.begin(), order.end(), [&jobs](std::size_t a, std::size_t b) {
        return jobs[a].weight > jobs[b].weight;
    });
    if (observer.begin) {
        observer.begin("sweep", jobs.size());
    }
    std::mutex mutex;
    return in_parallel(threads, order.size(), observer.step, [&](std::size_t i) {
        const sweep_job& job = jobs[order[i]];
        const run_options& o = (*options)[job.run];
        auto seed = run_seed(o, job.seed, shared);
        auto facts = shared.facts(o, job.seed);
        absl::Status status = seed.ok() ? facts.status() : seed.status();
        if (status.ok()) {
            const std::scoped_lock lock(mutex);
            done(order[i], *seed, **facts);
        }
        return annotate(std::move(status),
                        fmt::format("{}, seed {}", sweep.runs[job.run].name, job.seed));
    });
}

/// A result with nothing in it yet but what was run.
sweep_result result_for(const sweep_spec& sweep) {
    sweep_result out;
    out.runs.resize(sweep.runs.size());
    for (std::size_t r = 0; r < sweep.runs.size(); ++r) {
        out.runs[r].seeds.resize(sweep.runs[r].options.seeds);
        out.runs[r].conditions = conditions_of(sweep.runs[r].options);
    }
    return out;
}

absl::StatusOr<csv_row> find_row(const std::map<std::string_view, csv_row>& rows,
                                 const sweep_run& run, std::uint64_t seed) {
    const auto it = rows.find(csv_key(run, seed));
    if (it == rows.end()) {
        return absl::InvalidArgumentError(
            fmt::format("it has no line for {}, seed {}: {}", run.name, seed, csv_key(run, seed)));
    }
    return it->second;
}

}  // namespace

absl::StatusOr<sweep_result> run_sweep(const sweep_spec& sweep, unsigned threads,
                                       const sweep_observer& observer) {
    const std::vector<sweep_job> jobs = jobs_of(sweep);
    sweep_result out = result_for(sweep);
    out.csv.resize(jobs.size() + 1);
    out.csv[0] = csv_names();
    SLUICE_RETURN_IF_ERROR(run_jobs(
        sweep, jobs, threads, observer,
        [&](std::size_t place, const seed_result& seed, const seed_facts& facts) {
            const sweep_job& job = jobs[place];
            const sweep_run& run = sweep.runs[job.run];
            const measured values = as_written(measure(seed, facts));
            out.runs[job.run].seeds[job.seed - run.options.first_seed] = values;
            keep_requests(run, seed, facts, out.runs[job.run]);
            out.csv[place + 1] =
                fmt::format("{},{},{},{}", job.run + 1, fmt::join(run.figures, " "),
                            csv_key(run, job.seed), csv_values(values, seed.block_operations));
        }));
    for (run_figures& run : out.runs) {
        std::sort(run.points.begin(), run.points.end());  // whichever seed ended first
    }
    return out;
}

absl::StatusOr<sweep_result> read_sweep(const sweep_spec& sweep, std::string_view csv) {
    const auto rows = read_csv(csv);
    SLUICE_RETURN_IF_ERROR(rows.status());
    sweep_result out = result_for(sweep);
    for (const sweep_job& job : jobs_of(sweep)) {
        const sweep_run& run = sweep.runs[job.run];
        const auto row = find_row(*rows, run, job.seed);
        SLUICE_RETURN_IF_ERROR(row.status());
        out.runs[job.run].seeds[job.seed - run.options.first_seed] = row->numbers;
    }
    return out;
}

void drop_request_figures(sweep_spec& sweep) {
    std::erase_if(sweep.figures, [](const figure_spec& figure) {
        return figure.kind == figure_kind::distribution || figure.kind == figure_kind::scatter_fit;
    });
}

absl::Status check_sweep(const sweep_spec& sweep, std::string_view csv, std::size_t count,
                         unsigned threads) {
    const auto rows = read_csv(csv);
    SLUICE_RETURN_IF_ERROR(rows.status());
    struct cheap {
        std::uint64_t operations;
        sweep_job job;
        csv_row row;
        std::size_t turn = 0;
    };
    std::vector<cheap> all;
    for (const sweep_job& job : jobs_of(sweep)) {
        const auto row = find_row(*rows, sweep.runs[job.run], job.seed);
        SLUICE_RETURN_IF_ERROR(row.status());
        all.push_back({row->block_operations, job, *row});
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const cheap& a, const cheap& b) { return a.operations < b.operations; });
    // Of each way to serve the cheapest comes before the second of any.
    std::map<std::string, std::size_t> times;
    for (cheap& c : all) {
        const run_options& o = sweep.runs[c.job.run].options;
        c.turn = times[fmt::format("{} {} {}", to_string(o.config), o.policy_spec(), o.split)]++;
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const cheap& a, const cheap& b) { return a.turn < b.turn; });
    std::vector<sweep_job> chosen;
    for (std::size_t i = 0; i < std::min(count, all.size()); ++i) {
        chosen.push_back(all[i].job);
    }
    absl::Status differs;
    SLUICE_RETURN_IF_ERROR(run_jobs(
        sweep, chosen, threads, {},
        [&](std::size_t place, const seed_result& seed, const seed_facts& facts) {
            const std::string now = csv_values(measure(seed, facts), seed.block_operations);
            if (now != all[place].row.values && differs.ok()) {
                differs = absl::DataLossError(
                    fmt::format("{}, seed {} has\n  {}\nand comes out as\n  {}",
                                sweep.runs[chosen[place].run].name, chosen[place].seed,
                                all[place].row.values, now));
            }
        }));
    return differs;
}

}  // namespace sluice::experiment
