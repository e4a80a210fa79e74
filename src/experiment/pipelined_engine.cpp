// SPDX-License-Identifier: Apache-2.0
#include "pipelined_engine.hpp"

#include <array>
#include <span>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/sched/policy_registry.hpp>

namespace sluice::experiment {

absl::StatusOr<std::unique_ptr<pipelined_engine>> pipelined_engine::create(const run_setting& s,
                                                                           cluster& in) {
    std::unique_ptr<pipelined_engine> out(new pipelined_engine(s));
    SLUICE_RETURN_IF_ERROR(out->assemble(in));
    out->arrivals_.emplace(in.home(), s.requests, [e = out.get()](std::size_t i) { e->submit(i); });
    return out;
}

pipelined_engine::~pipelined_engine() {
    if (pipe_ != nullptr) {
        arrivals_.reset();
        pipe_->begin_close();
        bed_->home().run_until_idle();
    }
}

absl::Status pipelined_engine::assemble(cluster& in) {
    auto bed = testbed::create(in, s_.hardware, s_.model, s_.requests, s_.drift,
                               [this](std::size_t i) { part_ended(i); });
    SLUICE_RETURN_IF_ERROR(bed.status());
    bed_ = *std::move(bed);
    auto order = make_policy(s_.options.policy_spec());
    SLUICE_RETURN_IF_ERROR(order.status());
    auto cost = informed_cost::create(s_, bed_->home());
    SLUICE_RETURN_IF_ERROR(cost.status());
    cost_ = *std::move(cost);
    pipeline_options o;
    o.l1 = &bed_->l1();
    o.block_tokens = s_.requests.block_tokens;
    o.compute = &bed_->model();
    o.device = &bed_->gpu();
    o.store = &bed_->l3();
    o.l2_bytes = s_.hardware.l2_bytes;
    o.reservation = s_.options.reservation;
    o.policy = *std::move(order);
    o.cost = cost_->take();
    o.split = s_.options.split;
    o.fetch = s_.hardware.fetch_window;
    o.copy = s_.hardware.copy_window;
    o.fetch_soft_timeout = s_.fetch_soft_timeout;
    o.max_requests = static_cast<std::uint32_t>(s_.requests.requests.size()) + 1;
    o.control = &bed_->home();
    o.io = &bed_->home();
    auto pipe = pipeline::create(std::move(o));
    SLUICE_RETURN_IF_ERROR(annotate(pipe.status(), s_.hardware.name));
    pipe_ = *std::move(pipe);
    recorder_.emplace(s_, *bed_);
    handles_.resize(s_.requests.requests.size());
    parts_.assign(handles_.size(), bed_->decodes() ? 2 : 1);
    return absl::OkStatus();
}

void pipelined_engine::submit(std::size_t i) {
    const load_request& r = s_.requests.requests[i];
    keys_.clear();
    append_keys(r, keys_);
    request_spec spec;
    spec.keys = keys_;
    spec.prompt_tokens = r.prompt_tokens;
    spec.pages = bed_->pages_of(i);
    spec.arrival = arrival_of(r);
    spec.deadline = s_.deadline(i);
    spec.write_back = !s_.requests.distinct;
    spec.user = bed_->user_of(i);
    const absl::StatusOr<request_handle> handle = pipe_->submit(spec);
    if (handle.ok()) {
        handles_[i] = *handle;
    } else if (absl::IsOutOfRange(handle.status())) {
        recorder_->ended(i, request_outcome::rejected);
    } else if (failure_.ok()) {
        failure_ = annotate(handle.status(), fmt::format("request {}", i));
    }
}

std::size_t pipelined_engine::collect() {
    std::array<request_event, 32> events;
    std::size_t taken = 0;
    while (const std::size_t n = pipe_->poll_events(events)) {
        taken += n;
        for (const request_event& e : std::span(events).first(n)) {
            if (is_outcome(e.kind)) {
                take(e);
            }
        }
    }
    return taken;
}

void pipelined_engine::take(const request_event& e) {
    const std::size_t i = bed_->request_of(e.user);
    const absl::StatusOr<request_report> report = pipe_->report(e.request);
    const bool good = e.kind == event_kind::computed && report.ok();
    if (good) {
        recorder_->computed(i, *report);
    } else {
        recorder_->ended(i, request_outcome::failed);
    }
    if (good) {
        part_ended(i);
    } else {
        (void)pipe_->release(e.request);
    }
}

// It is answered, or decoded: at one instant these may come in either order.
void pipelined_engine::part_ended(std::size_t i) {
    if (--parts_[i] == 0) {
        (void)pipe_->release(handles_[i]);
    }
}

}  // namespace sluice::experiment
