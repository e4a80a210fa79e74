// SPDX-License-Identifier: Apache-2.0
#include "../command/replay.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <iterator>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/observe/table.hpp>

#include "../command/load_trace.hpp"
#include "../command/profile.hpp"
#include "measure.hpp"
#include "serve.hpp"
#include "warm.hpp"

namespace sluice::command {
namespace {

using replay::baseline_kind;
using replay::setting;

constexpr double least_link = 20e6;  // of what is chosen; bytes per second
constexpr double most_link = 100e6;
constexpr double load_over_compute = 4;     // aimed at
constexpr double longest_service_s = 0.06;  // aimed at, so that a row takes seconds
constexpr double load_tolerance = 0.02;
constexpr auto patience = std::chrono::seconds(20);  // with a load that does not come out right
constexpr unsigned quick_repeats = 5;

std::string medium(const std::string& provider) {
    const bool sockets = provider.starts_with("tcp") || provider == "sockets";
    return (sockets ? "real sockets, by " : "") + provider;
}

/// One run of `sluice replay`.
class experiment {
 public:
    experiment(const replay_options& options, progress_bar& progress)
        : o_(options), progress_(progress) {}

    absl::StatusOr<experiment_result> run() {
        SLUICE_RETURN_IF_ERROR(make_workload());
        SLUICE_RETURN_IF_ERROR(make_costs());
        size_memory();
        SLUICE_RETURN_IF_ERROR(replay::produce(s_, progress_));
        SLUICE_RETURN_IF_ERROR(set_pace());
        for (const std::string& config : o_.configs) {
            SLUICE_RETURN_IF_ERROR(run_rows(config));
        }
        describe();
        return std::move(out_);
    }

 private:
    absl::Status make_workload();
    absl::Status make_costs();
    absl::Status read_profile();
    absl::Status choose_link();
    void size_memory();
    absl::Status set_pace();
    absl::Status run_rows(const std::string& config);
    absl::Status run_pipelined(const replay::pipelined_row& row);
    void describe();
    void fact(std::string name, std::string value) {
        out_.facts.push_back({std::move(name), std::move(value)});
    }
    void note(std::string text) { out_.notes.push_back(std::move(text)); }

    const replay_options& o_;
    progress_bar& progress_;
    experiment_result out_;
    loaded_trace trace_;
    replay::l3_faults faults_;  // outlives the stores
    std::optional<tiny_llm::model> model_;
    setting s_;
    profile_result profile_;
    bool profile_given_ = false;
    bool link_chosen_ = false;
    double mean_compute_s_ = 0;  // of what is not in L3, as profiled
    double mean_load_bytes_ = 0;
    double mean_service_s_ = 0;  // coupled
    std::optional<run_result> coupled_;
};

absl::Status experiment::make_workload() {
    auto trace = load_trace(o_);
    SLUICE_RETURN_IF_ERROR(trace.status());
    trace_ = std::move(*trace);
    tiny_llm::model_config config;
    config.seed = o_.seed;
    workload::workload_options w;
    w.seed = o_.seed;
    w.clip_tokens = o_.clip_tokens;
    w.mean_tokens = o_.mean_tokens;
    w.vocabulary = static_cast<std::uint32_t>(config.vocab);
    auto load = workload::make_workload(trace_.requests, w);
    SLUICE_RETURN_IF_ERROR(load.status());
    s_.load = std::move(*load);
    s_.warm = o_.warm;
    s_.where = {o_.nodes, o_.provider, o_.program, &faults_};
    config.max_tokens =
        std::max<std::size_t>(config.max_tokens, workload::summarize(s_.load).max_tokens);
    auto model = tiny_llm::model::create(config);
    SLUICE_RETURN_IF_ERROR(annotate(model.status(), "the prompts are too long for the model"));
    model_.emplace(std::move(*model));
    s_.model = &*model_;
    s_.prompts.resize(s_.load.requests.size());
    for (std::size_t i = 0; i < s_.prompts.size(); ++i) {
        s_.prompts[i].tokens = s_.load.requests[i].tokens;
    }
    return absl::OkStatus();
}

absl::Status experiment::read_profile() {
    std::ifstream file(o_.profile, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file) {
        return absl::NotFoundError(fmt::format("{} cannot be read", o_.profile));
    }
    auto profile = parse_profile(text);
    SLUICE_RETURN_IF_ERROR(annotate(profile.status(), o_.profile));
    profile_ = std::move(*profile);
    profile_given_ = true;
    return absl::OkStatus();
}

// What the cost models know at the start, and the link's rate, which follows from it.
absl::Status experiment::make_costs() {
    progress_.begin("profiling", 3);
    if (!o_.profile.empty()) {
        SLUICE_RETURN_IF_ERROR(read_profile());
    } else {
        auto compute = replay::measure_compute(
            *model_, s_.load.block_tokens, workload::summarize(s_.load).max_tokens, quick_repeats);
        SLUICE_RETURN_IF_ERROR(compute.status());
        profile_.compute = *compute;
        progress_.advance();
        auto copy = replay::measure_copy(*model_, s_.load.block_tokens, quick_repeats);
        SLUICE_RETURN_IF_ERROR(copy.status());
        profile_.copy = *copy;
    }
    s_.copy = profile_.copy;
    s_.compute = profile_.compute;
    progress_.advance();
    SLUICE_RETURN_IF_ERROR(choose_link());
    // A profile of this very link is used as it is.
    const double implied = profile_.fetch.per_byte_s > 0 ? 1 / profile_.fetch.per_byte_s : 0;
    if (!profile_given_ || std::abs(implied - s_.link_rate) > 0.05 * s_.link_rate) {
        auto fetch = replay::measure_fetch(s_.where, s_.block_bytes(), s_.link_rate, quick_repeats);
        SLUICE_RETURN_IF_ERROR(fetch.status());
        profile_.fetch = *fetch;
        if (profile_given_) {
            note("The profile is of another link: fetch was measured anew.");
        }
    }
    s_.fetch = profile_.fetch;
    return absl::OkStatus();
}

absl::Status experiment::choose_link() {
    const std::unique_ptr<linear_cost_model> cost = s_.cost_model();
    for (const workload::workload_request& r : s_.load.requests) {
        const std::uint64_t context = std::uint64_t{r.total_blocks - 1} * s_.load.block_tokens;
        mean_compute_s_ +=
            cost->predict(stage_id::compute, {0, 0, r.tokens.size() - context, context});
        mean_load_bytes_ += static_cast<double>((r.total_blocks - 1) * s_.block_bytes());
    }
    const auto n = static_cast<double>(s_.load.requests.size());
    mean_compute_s_ /= n;
    mean_load_bytes_ /= n;
    if (o_.link_mbps > 0) {
        s_.link_rate = o_.link_mbps * 1e6;
        return absl::OkStatus();
    }
    const double implied = profile_.fetch.per_byte_s > 0 ? 1 / profile_.fetch.per_byte_s : 0;
    if (profile_given_ && implied >= least_link * 0.95 && implied <= most_link * 1.05) {
        s_.link_rate = std::round(implied / 1e6) * 1e6;
        return absl::OkStatus();
    }
    const double seconds =
        std::min(load_over_compute * mean_compute_s_,
                 std::max(2 * mean_compute_s_, longest_service_s - mean_compute_s_));
    const double rate = seconds > 0 ? mean_load_bytes_ / seconds : most_link;
    s_.link_rate = std::clamp(std::round(rate / 1e6) * 1e6, least_link, most_link);
    link_chosen_ = true;
    return absl::OkStatus();
}

// L1 holds several of the largest requests and the mean of some sixty; L2 is twice that.
void experiment::size_memory() {
    std::uint32_t largest = 1;
    std::uint64_t all = 0;
    for (const workload::workload_request& r : s_.load.requests) {
        largest = std::max(largest, r.total_blocks);
        all += r.total_blocks;
    }
    constexpr std::uint64_t aim = 64 * mib;
    s_.l1_blocks = std::max(static_cast<std::uint32_t>(aim / s_.block_bytes()), 4 * largest);
    s_.l2_blocks = 2 * s_.l1_blocks;
    s_.l3_bytes = (all + 64) * (round_up(s_.block_bytes(), 64) + 64);
}

// Deadlines, and time scaled so that the coupled baseline has its load.
absl::Status experiment::set_pace() {
    progress_.begin("each request alone", s_.load.requests.size());
    auto t0 = replay::measure_alone(s_, progress_);
    SLUICE_RETURN_IF_ERROR(t0.status());
    progress_.begin("calibrating", s_.load.requests.size());
    auto service = replay::measure_service(s_, progress_);
    SLUICE_RETURN_IF_ERROR(service.status());
    s_.t0_s = std::move(*t0);
    mean_service_s_ = *service;
    if (workload::arrival_rate(s_.load) <= 0 && s_.load.requests.size() > 1) {
        note("All requests arrive at once: there is no arrival rate to scale.");
    }
    workload::scale_to_rate(s_.load, o_.offered_load / mean_service_s_);
    // Measured again in the row itself, whose figures count: a machine is not always as fast.
    const auto begun = std::chrono::steady_clock::now();
    for (int left = o_.has_config("coupled") ? 5 : 0; left > 0; --left) {
        progress_.begin("coupled", s_.load.requests.size());
        auto run = replay::serve_baseline(s_, baseline_kind::coupled, progress_);
        SLUICE_RETURN_IF_ERROR(run.status());
        coupled_ = std::move(run->result);
        mean_service_s_ = run->mean_service_s;
        const double rate = workload::arrival_rate(s_.load);
        if (left == 1 || rate <= 0 || std::chrono::steady_clock::now() - begun > patience ||
            std::abs(rate * mean_service_s_ - o_.offered_load) <= load_tolerance) {
            break;
        }
        workload::scale_to_rate(s_.load, o_.offered_load / mean_service_s_);
    }
    out_.coupled_offered_load = workload::arrival_rate(s_.load) * mean_service_s_;
    return absl::OkStatus();
}

absl::Status experiment::run_rows(const std::string& config) {
    if (config == "coupled") {
        out_.rows.push_back(std::move(*coupled_));
        return absl::OkStatus();
    }
    if (config == "async") {
        progress_.begin("async", s_.load.requests.size());
        auto run = replay::serve_baseline(s_, baseline_kind::async, progress_);
        SLUICE_RETURN_IF_ERROR(run.status());
        out_.rows.push_back(std::move(run->result));
        return absl::OkStatus();
    }
    if (config == "recompute") {
        return run_pipelined({.config = config, .cached = false, .limit_s = o_.recompute_limit_s});
    }
    for (const policy_choice& choice : o_.policies) {
        SLUICE_RETURN_IF_ERROR(
            run_pipelined({.config = config, .policy = choice.spec, .split = choice.split}));
    }
    return absl::OkStatus();
}

absl::Status experiment::run_pipelined(const replay::pipelined_row& row) {
    progress_.begin(row.cached ? row.policy + (row.split ? " split" : "") : row.config,
                    s_.load.requests.size());
    auto run = replay::serve_pipelined(s_, row, progress_);
    SLUICE_RETURN_IF_ERROR(annotate(run.status(), row.policy));
    const auto open = std::count_if(
        run->requests.begin(), run->requests.end(),
        [](const request_result& r) { return r.outcome == request_outcome::unfinished; });
    if (open > 0) {
        note(fmt::format("{} was stopped after {:g} s with {} of {} requests unfinished.",
                         run->label(), row.limit_s, open, run->requests.size()));
    }
    out_.rows.push_back(std::move(*run));
    return absl::OkStatus();
}

void experiment::describe() {
    const workload::workload_summary w = workload::summarize(s_.load);
    const double rate = workload::arrival_rate(s_.load);
    const bool far = s_.where.nodes > 0;
    const std::string mb =
        fmt::format("{:g} MB/s{}", s_.link_rate / 1e6, far ? ", a cap that the client keeps" : "");
    out_.title = "sluice replay: real bytes, real compute";
    if (far) {
        out_.title += fmt::format("; L3 is {} memory nodes over {}", s_.where.nodes,
                                  medium(s_.where.provider));
    }
    fact("trace", trace_.description);
    fact("workload",
         fmt::format("{} requests of {:.0f} tokens on average (cv {:.2f}, most {}), {:.0f} % of "
                     "blocks reused; inputs {}; seed {}",
                     w.requests, w.mean_tokens, w.cv_tokens, w.max_tokens, w.reuse * 100,
                     o_.clip_tokens > 0 ? fmt::format("clipped at {}", o_.clip_tokens)
                                        : std::string("not clipped"),
                     o_.seed));
    fact("warm", s_.warm == workload::warm_mode::full
                     ? "full: all but the last block of each request is in L3"
                     : "trace: L3 holds what earlier requests of the row made");
    fact("nodes", far ? fmt::format("{}", s_.where.nodes) : "0: L3 is a store in this process");
    if (far) {
        fact("provider", s_.where.provider);
    }
    fact("link", fmt::format("{}{}, {} a request if nothing is cached nearer", mb,
                             link_chosen_ ? " (chosen)" : "",
                             format_bytes(static_cast<std::uint64_t>(mean_load_bytes_))));
    fact("load / compute",
         fmt::format("{} / {} on average if all but the last block is loaded, as profiled",
                     format_seconds(mean_load_bytes_ / s_.link_rate),
                     format_seconds(mean_compute_s_)));
    fact("memory", fmt::format("blocks of {} tokens, {}; L1 {}, L2 {}, both cold in every row",
                               s_.load.block_tokens, format_bytes(s_.block_bytes()),
                               format_bytes(s_.l1_blocks * s_.block_bytes()),
                               format_bytes(s_.l2_blocks * s_.block_bytes())));
    fact("model", fmt::format("tiny_llm in float32, {} kernels, one compute thread",
                              s_.model->kernel_name()));
    fact("pace", fmt::format("{:.3g} requests/s x coupled service {} = offered load {:.3f} "
                             "(asked for {:g})",
                             rate, format_seconds(mean_service_s_), out_.coupled_offered_load,
                             o_.offered_load));
    fact("deadlines",
         "arrival + m x T0, m of {2, 4, 8} by seed; T0 measured for each request alone under "
         "coupled");
    fact("machine", fmt::format("{} hardware threads", std::thread::hardware_concurrency()));
    if (!trace_.note.empty()) {
        note(trace_.note);
    }
    s_.l3.reset();  // adds its faults
    if (faults_.any()) {
        note(fmt::format(
            "L3 had faults: {} gets missed, {} came damaged, {} had no answer; nodes lost: "
            "{}. What was not loaded was computed.",
            faults_.missed, faults_.damaged, faults_.failed, faults_.nodes_lost));
    }
    if (rate > 0 && std::abs(out_.coupled_offered_load - o_.offered_load) > load_tolerance) {
        note(
            fmt::format("The coupled row's offered load came out as {:.3f}, not {:g}: the "
                        "machine's speed changed between runs.",
                        out_.coupled_offered_load, o_.offered_load));
    }
    if (out_.coupled_offered_load > 1) {
        note(
            "The offered load exceeds 1: TTFT depends on the length of the run; compare "
            "attainment only.");
    }
    for (const run_result& row : out_.rows) {
        if (row.logits_mismatched > 0) {
            note(fmt::format("{}: {} logits differ from the recomputation's. This is a bug.",
                             row.label(), row.logits_mismatched));
        }
    }
}

}  // namespace

absl::StatusOr<experiment_result> run_replay(const replay_options& options,
                                             progress_bar& progress) {
    return experiment(options, progress).run();
}

}  // namespace sluice::command
