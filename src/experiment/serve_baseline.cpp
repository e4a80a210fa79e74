// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/coro/sleep.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/sched/policy_registry.hpp>

#include "../baseline/baseline.hpp"
#include "arrivals.hpp"
#include "serve.hpp"

namespace sluice::experiment {
namespace {

using baselines::baseline;
using baselines::baseline_kind;
using baselines::baseline_options;
using baselines::baseline_outcome;
using baselines::baseline_spec;

/// A baseline on a testbed.
class stand {
 public:
    stand(const hardware_profile& hardware, const load& requests)
        : hardware_(hardware),
          requests_(requests),
          keys_(requests.requests.size()),
          ids_(requests.requests.size()),
          parts_(requests.requests.size(), 2) {}
    ~stand() {
        if (base_ != nullptr) {
            sync_wait(home(), base_->close());
            home().run_until_idle();  // what is posted names the baseline
        }
    }

    absl::Status open(const kv_model& model, std::span<const sim::rate_change> drift,
                      std::uint64_t seed) {
        auto shared = cluster::create({hardware_.nodes, hardware_.replicas, seed});
        SLUICE_RETURN_IF_ERROR(annotate(shared.status(), hardware_.name));
        cluster_ = *std::move(shared);
        auto bed = testbed::create(*cluster_, hardware_, model, requests_, drift,
                                   [this](std::size_t i) { part_ended(i); });
        SLUICE_RETURN_IF_ERROR(bed.status());
        bed_ = *std::move(bed);
        return absl::OkStatus();
    }
    absl::Status start(baseline_kind kind, policy* order, cost_model* cost) {
        baseline_options o;
        o.kind = kind;
        o.l1 = &bed_->l1();
        o.block_tokens = requests_.block_tokens;
        o.compute = &bed_->model();
        o.device = &bed_->gpu();
        o.store = &bed_->l3();
        o.l2_bytes = hardware_.l2_bytes;
        o.fetch = hardware_.fetch_window;
        o.copy = hardware_.copy_window;
        o.policy = order;
        o.cost = cost;
        o.home = &home();
        auto base = baseline::create(o, [this](const baseline_outcome& out) { ended(out); });
        SLUICE_RETURN_IF_ERROR(annotate(base.status(), hardware_.name));
        base_ = *std::move(base);
        return absl::OkStatus();
    }

    void submit(std::size_t i, time_point deadline) {
        const load_request& r = requests_.requests[i];
        append_keys(r, keys_[i]);
        baseline_spec spec;
        spec.keys = keys_[i];
        spec.prompt_tokens = r.prompt_tokens;
        spec.pages = bed_->pages_of(i);
        spec.keep_pages = bed_->decodes();
        spec.deadline = deadline;
        spec.write_back = !requests_.distinct;
        spec.user = bed_->user_of(i);
        base_->submit(spec);
    }

    [[nodiscard]] virtual_loop& home() noexcept { return bed_->home(); }
    [[nodiscard]] testbed& bed() noexcept { return *bed_; }
    [[nodiscard]] baseline& base() noexcept { return *base_; }

    /// Called once per request.
    std::function<void(std::size_t request, const baseline_outcome&)> on_outcome;

 private:
    void ended(const baseline_outcome& out) {
        const std::size_t i = bed_->request_of(out.user);
        ids_[i] = out.id;
        on_outcome(i, out);
        if (out.status.ok() && bed_->decodes()) {
            part_ended(i);
        }
    }
    // It is answered, or decoded: at one instant these may come in either order.
    void part_ended(std::size_t i) {
        if (--parts_[i] == 0) {
            base_->release(ids_[i]);
        }
    }

    const hardware_profile& hardware_;
    const load& requests_;
    std::unique_ptr<cluster> cluster_;
    std::unique_ptr<testbed> bed_;
    std::vector<std::vector<block_key>> keys_;  // by request, which borrows them
    std::vector<std::uint32_t> ids_;            // by request: what the baseline calls it
    std::vector<std::uint8_t> parts_;           // by request: what it is not released before
    std::unique_ptr<baseline> base_;
};

task<void> one_by_one(stand& on, const load& requests) {
    for (std::size_t i = 0; i < requests.requests.size(); ++i) {
        on.submit(i, never);
        co_await on.base().idle();
        on.base().drop_caches();
    }
}

}  // namespace

absl::StatusOr<seed_result> serve_baseline(const run_setting& s) {
    std::unique_ptr<policy> order;
    const std::string spec = s.options.policy_spec();
    if (spec != "fifo") {
        auto made = make_policy(spec);
        SLUICE_RETURN_IF_ERROR(made.status());
        order = *std::move(made);
    }
    stand on(s.hardware, s.requests);
    SLUICE_RETURN_IF_ERROR(on.open(s.model, s.drift, s.seed));
    auto cost = informed_cost::create(s, on.home());
    SLUICE_RETURN_IF_ERROR(cost.status());
    const bool coupled = s.options.config == config_kind::coupled;
    SLUICE_RETURN_IF_ERROR(on.start(coupled ? baseline_kind::coupled : baseline_kind::async,
                                    order.get(), &(*cost)->model()));
    run_recorder recorder(s, on.bed());
    on.on_outcome = [&](std::size_t i, const baseline_outcome& out) {
        if (out.status.ok()) {
            recorder.computed(i, out.report);
        } else {
            recorder.ended(i, absl::IsOutOfRange(out.status) ? request_outcome::rejected
                                                             : request_outcome::failed);
        }
    };
    arrivals in_time(on.home(), s.requests, [&](std::size_t i) { on.submit(i, s.deadline(i)); });
    on.home().run_until_idle();
    if (!recorder.all_ended()) {
        return absl::InternalError(
            fmt::format("seed {}: nothing moves any more, and requests have no answer", s.seed));
    }
    return recorder.finish(on.base().stats());
}

absl::StatusOr<std::vector<alone>> serve_alone(const hardware_profile& hardware,
                                               const kv_model& model, const load& requests,
                                               std::uint64_t seed) {
    stand on(hardware, requests);
    SLUICE_RETURN_IF_ERROR(on.open(model, {}, seed));
    SLUICE_RETURN_IF_ERROR(on.start(baseline_kind::coupled, nullptr, nullptr));
    std::vector<alone> out(requests.requests.size());
    absl::Status failure;
    on.on_outcome = [&](std::size_t i, const baseline_outcome& o) {
        if (!o.status.ok()) {
            if (failure.ok() && !absl::IsOutOfRange(o.status)) {
                failure = annotate(o.status, fmt::format("request {} alone", i));
            }
            return;
        }
        const request_report& r = o.report;
        alone& a = out[i];
        a.t0_s = to_seconds(r.first_token - r.arrival);
        a.fetch_s = r.fetched == never ? 0 : to_seconds(r.fetched - r.arrival);
        a.load_s = to_seconds(r.loaded - r.arrival);
        a.compute_s = to_seconds(r.first_token - r.compute_begin);
        a.loaded_tokens = std::uint64_t{r.loaded_blocks} * requests.block_tokens;
        a.query_tokens = requests.requests[i].prompt_tokens - a.loaded_tokens;
    };
    sync_wait(on.home(), one_by_one(on, requests));
    SLUICE_RETURN_IF_ERROR(failure);
    return out;
}

}  // namespace sluice::experiment
