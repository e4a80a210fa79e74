// SPDX-License-Identifier: Apache-2.0
#include "app_server.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/sched/policy_registry.hpp>

namespace sluice::experiment {
namespace {

// Places of the external backends: 20 cores of which each takes 2, GPUs, connections.
constexpr std::array<std::uint32_t, app_backends> all_places{0, 10, 15, 100, 0};

// What ends later does not end.
constexpr double longest_s = 30 * 86'400.0;

}  // namespace

app_server::~app_server() {
    if (pipe_ != nullptr) {
        prefixes_.reset();
        gaps_.clear();
        arrival_timer_.reset();
        progress_timer_.reset();
        cold_.reset();
        pipe_->begin_close();
        bed_->home().run_until_idle();
    }
}

absl::Status app_server::assemble() {
    auto shared = cluster::create({s_.hardware.nodes, s_.hardware.replicas, s_.seed});
    SLUICE_RETURN_IF_ERROR(annotate(shared.status(), s_.hardware.name));
    cluster_ = *std::move(shared);
    auto bed =
        testbed::create(*cluster_, s_.hardware, s_.model, s_.draw.calls, {},
                        [this](std::size_t i) { part_ended(static_cast<std::uint32_t>(i)); });
    SLUICE_RETURN_IF_ERROR(bed.status());
    bed_ = *std::move(bed);
    auto order = make_policy(s_.options.policy);
    SLUICE_RETURN_IF_ERROR(order.status());
    by_application_ = (*order)->ranks_applications();
    // Of policies that order requests, those by deadlines can order what is no request.
    external_by_deadline_ = s_.options.policy.starts_with("edf");

    demand::app_tracker_options t;
    t.models = &s_.models;
    t.rates = rates_of(s_.options, s_.hardware, s_.model);
    t.interval = progress_interval;
    t.learn = s_.options.learn;
    t.max_applications = static_cast<std::uint32_t>(s_.draw.tasks.size());
    tracker_ = std::make_unique<demand::app_tracker>(t);
    pipeline_options o;
    o.l1 = &bed_->l1();
    o.block_tokens = s_.draw.calls.block_tokens;
    o.compute = &bed_->model();
    o.device = &bed_->gpu();
    o.l2_bytes = bed_->block_bytes();  // nothing is loaded from anywhere
    const bool far = s_.options.load_share > 0;
    if (far) {
        auto cost = profiled_cost_model(s_.hardware, bed_->block_bytes());
        SLUICE_RETURN_IF_ERROR(annotate(cost.status(), s_.hardware.name));
        o.cost = *std::move(cost);
        o.store = &bed_->l3();
        o.l2_bytes = s_.hardware.l2_bytes;
    }
    if (s_.options.host_gb) {
        o.l2_bytes = static_cast<std::uint64_t>(*s_.options.host_gb * 1e9);
    }
    o.fetch = s_.hardware.fetch_window;
    o.copy = s_.hardware.copy_window;
    o.policy = *std::move(order);
    o.applications = tracker_.get();
    o.max_requests = static_cast<std::uint32_t>(s_.draw.calls.requests.size()) + 1;
    o.control = &home();
    o.io = &home();
    auto pipe = pipeline::create(std::move(o));
    SLUICE_RETURN_IF_ERROR(annotate(pipe.status(), s_.hardware.name));
    pipe_ = *std::move(pipe);

    if (s_.options.cache == cache_use::prewarm) {
        const double block_s =
            far ? static_cast<double>(bed_->block_bytes()) / s_.hardware.link.rate : 1e-3;
        prefixes_ = std::make_unique<app_prefixes>(s_.options, s_.draw, block_s,
                                                   bed_->l1().slots(0), *pipe_, *tracker_, home());
    }
    live_.resize(s_.draw.tasks.size());
    calls_.resize(s_.draw.calls.requests.size());
    out_.tasks.resize(live_.size());
    out_.seed = s_.seed;
    open_ = live_.size();
    for (std::uint32_t i = 0; i < calls_.size(); ++i) {
        gaps_.push_back(std::make_unique<owned_timer>(*this, i, [](timer& f) noexcept {
            auto& self = static_cast<owned_timer&>(f);
            self.owner.come(self.which);
        }));
    }
    const bool fifo = s_.options.external_fifo || !(by_application_ || external_by_deadline_);
    for (std::size_t b = 1; b < app_backends; ++b) {
        const std::uint32_t places = s_.mix.external_queues ? all_places[b] : 0;
        queues_[b] = std::make_unique<external_queue>(
            external_queue::options{places, fifo},
            [this](std::uint32_t task) { return external_rank(task); },
            [this](std::uint32_t task) { end_external(task); }, home());
        queues_[b]->begun = [this](std::uint32_t task) { begin_external(task); };
        queues_[b]->start_seconds = [this](std::uint32_t task) {
            return cold_ == nullptr ? 0 : cold_->external_begins(task, visit_of(task).at);
        };
    }
    if (s_.options.cold_starts) {
        cold_starts::sizes size;
        size.host_adapters = s_.options.host_adapters;
        size.adapters = s_.mix.adapters;
        cold_ = std::make_unique<cold_starts>(
            s_.options.prewarm, size, s_.draw, s_.seed, *tracker_,
            [this](std::uint32_t task) { return external_rank(task); },
            [this](std::uint32_t call) { enter(call); }, s_.options.prewarm_confidence, home());
    }
    arrival_timer_.emplace(*this, 0,
                           [](timer& f) noexcept { static_cast<owned_timer&>(f).owner.arrive(); });
    home().arm(*arrival_timer_, time_point{from_seconds(s_.draw.tasks.front().arrival_s)});
    progress_timer_.emplace(
        *this, 0, [](timer& f) noexcept { static_cast<owned_timer&>(f).owner.report_progress(); });
    home().arm(*progress_timer_, time_point{progress_interval});
    return absl::OkStatus();
}

void app_server::keep(const absl::Status& status) {
    if (!status.ok() && failure_.ok()) {
        failure_ = status;
    }
}

// ---- clients

void app_server::arrive() {
    const auto& tasks = s_.draw.tasks;
    const time_point now = home().now();
    const auto at = [&] { return time_point{from_seconds(tasks[next_task_].arrival_s)}; };
    for (; next_task_ < tasks.size() && at() <= now; ++next_task_) {
        const app_task& task = tasks[next_task_];
        demand::app_spec spec;
        spec.application = task.run->application;
        spec.arrival = now;
        spec.user = const_cast<app_task*>(&task);
        if (task.deadline_multiple > 0) {
            spec.deadline =
                saturating_add(now, from_seconds(task.deadline_multiple * task.ideal_s));
        }
        spec.known_service_s = task.service_s;
        spec.known_path_s = task.path_s;
        auto handle = tracker_->begin(spec);
        keep(handle.status());
        if (handle.ok()) {
            live_[next_task_].handle = *handle;
        }
        if (cold_ != nullptr) {
            cold_->application_begins(static_cast<std::uint32_t>(next_task_));
        }
        begin_visit(static_cast<std::uint32_t>(next_task_));
    }
    if (next_task_ < tasks.size()) {
        home().arm(*arrival_timer_, at());
    }
}

void app_server::begin_visit(std::uint32_t task) {
    live_task& t = live_[task];
    const app_visit& v = visit_of(task);
    if (prefixes_ != nullptr) {
        prefixes_->begins(task, t.visit);
    }
    if (cold_ != nullptr) {
        cold_->visit_begins(task, v);
    }
    if (v.at != app_backend::llm) {
        queues_[static_cast<std::size_t>(v.at)]->add(task, v.seconds);
        return;
    }
    t.open_calls = static_cast<std::uint32_t>(v.record->calls.size());
    t.had = {};
    demand::unit_begin unit;
    unit.unit = v.record->unit;
    unit.calls = t.open_calls;
    for (const demand::call_record& c : v.record->calls) {
        unit.prompt_tokens += c.prompt_tokens;
    }
    keep(tracker_->begin_unit(t.handle, unit));
    for (std::uint32_t i = v.first_call; i < v.first_call + t.open_calls; ++i) {
        home().arm(*gaps_[i], saturating_add(home().now(), from_seconds(s_.draw.gap_s[i])));
    }
}

void app_server::end_visit(std::uint32_t task) {
    live_task& t = live_[task];
    const app_task& from = s_.draw.tasks[task];
    if (cold_ != nullptr) {
        cold_->visit_ends(task, visit_of(task));
    }
    if (++t.visit < from.visits.size()) {
        begin_visit(task);
        return;
    }
    keep(tracker_->end(t.handle));
    if (prefixes_ != nullptr) {
        prefixes_->ended(task);
    }
    if (cold_ != nullptr) {
        cold_->application_ends(task);
    }
    const double now = to_seconds(home().now().time_since_epoch());
    out_.tasks[task] = {from.run->application, from.arrival_s, now - from.arrival_s,
                        from.deadline_multiple, from.deadline_multiple * from.ideal_s};
    out_.makespan_s = std::max(out_.makespan_s, now);
    --open_;
}

// ---- external backends

rank_value app_server::external_rank(std::uint32_t task) const {
    const app_handle handle = live_[task].handle;
    if (external_by_deadline_) {
        const absl::StatusOr<time_point> deadline = tracker_->deadline(handle);
        return deadline.ok() ? static_cast<double>(deadline->time_since_epoch().count()) : 0.0;
    }
    return tracker_->rank(handle).value_or(rank_value(0));
}

// What waits locally is nobody's to schedule, and trackers do not hear of it.
void app_server::begin_external(std::uint32_t task) {
    const app_visit& v = visit_of(task);
    if (v.at != app_backend::wait) {
        demand::unit_begin unit;
        unit.unit = v.record->unit;
        unit.backend = v.record->backend;
        keep(tracker_->begin_unit(live_[task].handle, unit));
    }
}

void app_server::end_external(std::uint32_t task) {
    const app_visit& v = visit_of(task);
    if (cold_ != nullptr) {
        cold_->external_ends(task, v.at);
    }
    if (v.at != app_backend::wait) {
        demand::unit_end end;
        end.seconds = v.seconds;
        keep(tracker_->end_unit(live_[task].handle, end));
    }
    end_visit(task);
}

absl::StatusOr<app_run> app_server::run() {
    virtual_loop& clock = bed_->home();
    const time_point last{from_seconds(s_.draw.tasks.back().arrival_s + longest_s)};
    while (open_ > 0) {
        clock.run_until(clock.next_due());
        collect();
        SLUICE_RETURN_IF_ERROR(failure_);
        if (clock.now() > last) {
            return absl::InternalError(
                fmt::format("seed {}: {} applications have not ended in {} days", s_.seed, open_,
                            longest_s / 86'400));
        }
    }
    out_.tracker = tracker_->stats();
    out_.ttft_s = ttft_total_s_ / static_cast<double>(calls_.size());
    if (prefixes_ != nullptr) {
        out_.prewarmer = prefixes_->stats();
    }
    if (cold_ != nullptr) {
        out_.cold = cold_->result();
    }
    out_.busy[0] = bed_->compute_busy_seconds() / out_.makespan_s;
    for (std::size_t b = 1; b < app_backends; ++b) {
        const external_queue& q = *queues_[b];
        out_.busy[b] = all_places[b] > 0 ? q.busy_seconds() / (all_places[b] * out_.makespan_s) : 0;
        out_.waited_s[b] = q.items() > 0 ? q.waited_seconds() / static_cast<double>(q.items()) : 0;
    }
    return std::move(out_);
}

}  // namespace sluice::experiment
