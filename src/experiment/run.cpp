// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "serve.hpp"

namespace sluice::experiment {

load_options load_of(const run_options& o, std::uint64_t seed, std::uint32_t block_tokens) {
    load_options out;
    out.workload = o.workload;
    out.trace = o.trace;
    out.seed = seed;
    out.requests = o.requests.value_or(default_requests);
    out.qps = o.qps.value_or(o.is_trace() ? 0 : default_qps);
    out.hit_ratio = o.hit_ratio;
    out.warm = o.warm;
    out.block_tokens = block_tokens;
    return out;
}

namespace {

std::vector<sim::rate_change> drift_of(const run_options& o, const load& requests) {
    std::vector<sim::rate_change> out;
    for (const drift_step& step : o.drift) {
        const double last = requests.requests.empty() ? 0 : requests.requests.back().arrival_s;
        const double at = step.is_share ? step.at * last : step.at;
        out.push_back({time_point{from_seconds(at)}, step.factor});
    }
    return out;
}

}  // namespace

template <class T>
template <class Make>
absl::StatusOr<std::shared_ptr<const T>> shared_facts::cache<T>::get(const std::string& key,
                                                                     Make make) {
    std::shared_ptr<entry> e;
    {
        const std::scoped_lock lock(mutex);
        std::shared_ptr<entry>& place = entries[key];
        if (place == nullptr) {
            place = std::make_shared<entry>();
        }
        e = place;
    }
    const std::scoped_lock lock(e->mutex);
    if (e->value == nullptr) {
        absl::StatusOr<T> made = make();
        SLUICE_RETURN_IF_ERROR(made.status());
        e->value = std::make_shared<const T>(*std::move(made));
    }
    return e->value;
}

absl::StatusOr<std::shared_ptr<const hardware_profile>> shared_facts::profile(
    const run_options& o) {
    auto kv = model(o);
    SLUICE_RETURN_IF_ERROR(kv.status());
    return profiles_.get(o.profile + '\n' + o.model, [&]() -> absl::StatusOr<hardware_profile> {
        auto any = load_profile(o.profile);
        SLUICE_RETURN_IF_ERROR(any.status());
        return any->for_model(**kv);
    });
}

absl::StatusOr<std::shared_ptr<const kv_model>> shared_facts::model(const run_options& o) {
    return models_.get(o.model, [&] { return load_kv_model(o.model); });
}

absl::StatusOr<std::shared_ptr<const seed_facts>> shared_facts::facts(const run_options& o,
                                                                      std::uint64_t seed) {
    auto hardware = profile(o);
    SLUICE_RETURN_IF_ERROR(hardware.status());
    auto kv = model(o);
    SLUICE_RETURN_IF_ERROR(kv.status());
    const load_options wanted = load_of(o, seed, (*hardware)->block_tokens);
    const std::string key =
        fmt::format("{}\n{}\n{}\n{}\n{} {} {} {}", o.workload, o.trace, o.model, o.profile, seed,
                    wanted.requests, o.hit_ratio, static_cast<int>(o.warm));
    return facts_.get(key, [&]() -> absl::StatusOr<seed_facts> {
        auto requests = make_load(wanted);
        SLUICE_RETURN_IF_ERROR(requests.status());
        auto each = serve_alone(**hardware, **kv, *requests, seed);
        SLUICE_RETURN_IF_ERROR(each.status());
        seed_facts out{*std::move(each), 0};
        for (const alone& a : out.each) {
            out.mean_t0_s += a.t0_s / static_cast<double>(out.each.size());
        }
        return out;
    });
}

absl::StatusOr<double> shared_facts::mean_t0_s(const run_options& o, std::uint64_t seed) {
    auto found = facts(o, seed);
    SLUICE_RETURN_IF_ERROR(found.status());
    return (*found)->mean_t0_s;
}

absl::StatusOr<seed_result> run_seed(const run_options& o, std::uint64_t seed,
                                     shared_facts& shared) {
    SLUICE_RETURN_IF_ERROR(check_run_options(o));
    auto hardware = shared.profile(o);
    SLUICE_RETURN_IF_ERROR(hardware.status());
    auto kv = shared.model(o);
    SLUICE_RETURN_IF_ERROR(kv.status());
    auto facts = shared.facts(o, seed);
    SLUICE_RETURN_IF_ERROR(facts.status());
    const auto begun = std::chrono::steady_clock::now();
    auto requests = make_load(load_of(o, seed, (*hardware)->block_tokens));
    SLUICE_RETURN_IF_ERROR(requests.status());
    const run_setting setting{
        o, **hardware, **kv, *requests, (*facts)->each, drift_of(o, *requests), seed};
    auto out =
        o.config == config_kind::pipelined ? serve_pipelined(setting) : serve_baseline(setting);
    SLUICE_RETURN_IF_ERROR(out.status());
    const auto answered = [](const request_result& r) {
        return r.outcome == request_outcome::computed;
    };
    if (!o.split && !requests->requests.empty() &&
        std::ranges::all_of(out->result.requests, answered)) {
        double fastest = 1;
        for (const drift_step& step : o.drift) {
            fastest = std::max(fastest, step.factor);
        }
        out->bound = clairvoyant_ttft(bound_jobs(**hardware, **kv, *requests, fastest));
    }
    out->wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    return out;
}

}  // namespace sluice::experiment
