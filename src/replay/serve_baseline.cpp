// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <utility>

#include <sluice/base/status.hpp>
#include <sluice/coro/sleep.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/device/host_device.hpp>

#include "serve.hpp"

namespace sluice::replay {
namespace {

using baselines::baseline;
using baselines::baseline_options;
using baselines::baseline_outcome;
using baselines::baseline_spec;
using command::progress_bar;

/// A baseline on a thread of its own, and all that it stands on.
class stand {
 public:
    static absl::StatusOr<std::unique_ptr<stand>> open(const setting& s, baseline_kind kind) {
        std::unique_ptr<stand> out(new stand(s));
        SLUICE_RETURN_IF_ERROR(out->assemble(kind));
        return out;
    }
    ~stand() {
        // What is still posted may name the baseline.
        home_.stop();
        home_.join();
    }

    /// Runs a task on the loop and then closes the baseline.
    /// \return the first failure of a request
    absl::Status run(task<void> t) {
        sync_wait(home_, std::move(t));
        sync_wait(home_, base_->close());
        return failure_;
    }

    [[nodiscard]] baseline_spec spec(std::size_t i) const {
        const workload::workload_request& r = s_.load.requests[i];
        baseline_spec out;
        out.keys = r.keys;
        out.prompt_tokens = r.tokens.size();
        out.max_load_blocks = s_.max_load(r);
        out.write_back = s_.write_back();
        out.user = const_cast<prompt*>(&s_.prompts[i]);
        return out;
    }
    [[nodiscard]] loop& home() noexcept { return home_; }
    [[nodiscard]] baseline& base() noexcept { return *base_; }
    [[nodiscard]] const engine& eng() const noexcept { return *engine_; }

    /// Called for each request that has been computed.
    std::function<void(std::size_t index, const baseline_outcome&)> on_computed;

 private:
    explicit stand(const setting& s) : s_(s), home_("sluice-baseline") {}

    absl::Status assemble(baseline_kind kind) {
        auto eng = engine::create(*s_.model, s_.load.block_tokens, s_.l1_blocks);
        SLUICE_RETURN_IF_ERROR(eng.status());
        engine_ = std::move(*eng);
        auto l3 = row_store::open(s_);
        SLUICE_RETURN_IF_ERROR(l3.status());
        l3_.emplace(std::move(*l3));
        auto gpu = host_device::create();
        SLUICE_RETURN_IF_ERROR(gpu.status());
        gpu_ = std::move(*gpu);
        baseline_options o;
        o.kind = kind;
        o.l1 = &engine_->pages();
        o.block_tokens = s_.load.block_tokens;
        o.compute = &engine_->model_thread();
        o.device = gpu_.get();
        o.store = &**l3_;
        o.l2_bytes = s_.l2_blocks * s_.block_bytes();
        o.home = &home_;
        auto base = baseline::create(o, [this](const baseline_outcome& out) { ended(out); });
        SLUICE_RETURN_IF_ERROR(base.status());
        base_ = std::move(*base);
        return home_.start();
    }

    void ended(const baseline_outcome& out) {
        if (out.status.ok()) {
            on_computed(
                static_cast<std::size_t>(static_cast<prompt*>(out.user) - s_.prompts.data()), out);
        } else if (failure_.ok()) {
            failure_ = annotate(out.status, "a request failed");
        }
    }

    const setting& s_;
    std::unique_ptr<engine> engine_;
    std::optional<row_store> l3_;
    std::unique_ptr<host_device> gpu_;
    thread_loop home_;
    std::unique_ptr<baseline> base_;
    absl::Status failure_;
};

/// A baseline predicts nothing itself; these are for the same table of errors.
request_report with_predictions(request_report report, std::size_t index, const setting& s,
                                const linear_cost_model& cost) {
    const workload::workload_request& r = s.load.requests[index];
    const std::uint64_t blocks = report.bytes_fetched / s.block_bytes();
    const std::uint64_t context = std::uint64_t{report.loaded_blocks} * s.load.block_tokens;
    const std::uint64_t pieces = 2 * s.model->config().layers;
    report.predicted.fetch = cost.predict(stage_id::fetch, {report.bytes_fetched, blocks, 0, 0});
    report.predicted.copy =
        cost.predict(stage_id::copy, {report.bytes_fetched, blocks * pieces, 0, 0});
    report.predicted.compute =
        cost.predict(stage_id::compute, {0, 0, r.tokens.size() - context, context});
    return report;
}

task<void> in_time(stand& on, const setting& s, time_point start) {
    for (std::size_t i = 0; i < s.load.requests.size(); ++i) {
        const time_point at = start + from_seconds(s.load.requests[i].arrival_s);
        (void)co_await sleep_until(on.home(), at);
        baseline_spec spec = on.spec(i);
        spec.arrival = at;
        on.base().submit(spec);
    }
}

task<void> one_by_one(stand& on, const setting& s) {
    for (std::size_t i = 0; i < s.load.requests.size(); ++i) {
        on.base().submit(on.spec(i));
        co_await on.base().idle();
        on.base().drop_caches();
    }
}

task<void> all_at_once(stand& on, const setting& s) {
    for (std::size_t i = 0; i < s.load.requests.size(); ++i) {
        on.base().submit(on.spec(i));
    }
    co_return;
}

}  // namespace

absl::StatusOr<baseline_run> serve_baseline(const setting& s, baseline_kind kind,
                                            progress_bar& progress) {
    auto on = stand::open(s, kind);
    if (!on.ok()) {
        return on.status();
    }
    row_recorder recorder(s, kind == baseline_kind::coupled ? "coupled" : "async", "fifo", false);
    const std::unique_ptr<linear_cost_model> cost = s.cost_model();
    cost->set_refit(false);
    pipeline_stats stats;
    double service = 0;
    (*on)->on_computed = [&](std::size_t index, const baseline_outcome& out) {
        service += to_seconds(out.report.first_token - out.begun);
        recorder.computed(index, with_predictions(out.report, index, s, *cost),
                          (*on)->home().now());
        stats = (*on)->base().stats();
        progress.advance();
    };
    const time_point start = (*on)->home().now() + std::chrono::milliseconds(5);
    recorder.begin(start);
    if (absl::Status status = (*on)->run(in_time(**on, s, start)); !status.ok()) {
        return status;
    }
    baseline_run out;
    out.mean_service_s = service / static_cast<double>(s.load.requests.size());
    out.result = recorder.finish(stats, (*on)->eng());
    return out;
}

absl::StatusOr<std::vector<double>> measure_alone(const setting& s, progress_bar& progress) {
    auto on = stand::open(s, baseline_kind::coupled);
    if (!on.ok()) {
        return on.status();
    }
    std::vector<double> out(s.load.requests.size());
    (*on)->on_computed = [&](std::size_t index, const baseline_outcome& o) {
        out[index] = to_seconds(o.report.first_token - o.report.arrival);
        progress.advance();
    };
    if (absl::Status status = (*on)->run(one_by_one(**on, s)); !status.ok()) {
        return status;
    }
    return out;
}

absl::StatusOr<double> measure_service(const setting& s, progress_bar& progress) {
    auto on = stand::open(s, baseline_kind::coupled);
    if (!on.ok()) {
        return on.status();
    }
    double total = 0;
    (*on)->on_computed = [&](std::size_t, const baseline_outcome& o) {
        total += to_seconds(o.report.first_token - o.begun);
        progress.advance();
    };
    if (absl::Status status = (*on)->run(all_at_once(**on, s)); !status.ok()) {
        return status;
    }
    return total / static_cast<double>(s.load.requests.size());
}

}  // namespace sluice::replay
