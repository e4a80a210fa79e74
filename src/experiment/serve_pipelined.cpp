// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/sched/policy_registry.hpp>

#include "serve.hpp"

namespace sluice::experiment {
namespace {

/// The production pipeline, driven as an engine drives it: requests are submitted when they arrive,
/// and released when they are answered (or have been decoded).
class pipelined_run {
 public:
    explicit pipelined_run(const run_setting& s) : s_(s), arrivals_(*this) {}
    ~pipelined_run() {
        if (pipe_ != nullptr) {
            close();
        }
    }

    absl::StatusOr<seed_result> run() {
        SLUICE_RETURN_IF_ERROR(assemble());
        virtual_loop& home = bed_->home();
        arm_next();
        while (!recorder_->all_ended()) {
            // An engine takes its events at once: pages that it holds longer would be missing.
            if (home.next_due() == never && home.run_until_idle() == 0 && collect() == 0) {
                return absl::InternalError(fmt::format(
                    "seed {}: nothing moves any more, and requests have no answer", s_.seed));
            }
            home.run_until(home.next_due());
            collect();
            SLUICE_RETURN_IF_ERROR(failure_);
        }
        home.run_until_idle();  // write-back
        const pipeline_stats stats = pipe_->stats();
        seed_result out = recorder_->finish(stats);
        close();
        return out;
    }

 private:
    struct arrival_timer : timer {
        explicit arrival_timer(pipelined_run& o) noexcept
            : timer([](timer& t) noexcept { static_cast<arrival_timer&>(t).owner.arrive(); }),
              owner(o) {}
        pipelined_run& owner;
    };

    absl::Status assemble() {
        auto bed = testbed::create(s_.hardware, s_.model, s_.requests, s_.drift, s_.seed,
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

    [[nodiscard]] time_point arrival(std::size_t i) const {
        return time_point{from_seconds(s_.requests.requests[i].arrival_s)};
    }
    void arm_next() {
        if (next_ < s_.requests.requests.size()) {
            bed_->home().arm(arrivals_, arrival(next_));
        }
    }
    void arrive() {
        const time_point now = bed_->home().now();
        for (; next_ < s_.requests.requests.size() && arrival(next_) <= now; ++next_) {
            submit(next_);
        }
        arm_next();
    }

    void submit(std::size_t i) {
        const load_request& r = s_.requests.requests[i];
        keys_.clear();
        append_keys(r, keys_);
        request_spec spec;
        spec.keys = keys_;
        spec.prompt_tokens = r.prompt_tokens;
        spec.pages = bed_->pages_of(i);
        spec.arrival = arrival(i);
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

    std::size_t collect() {
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

    void take(const request_event& e) {
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
    void part_ended(std::size_t i) {
        if (--parts_[i] == 0) {
            (void)pipe_->release(handles_[i]);
        }
    }

    void close() {
        pipe_->begin_close();
        bed_->home().run_until_idle();
        pipe_.reset();
    }

    const run_setting& s_;
    std::unique_ptr<testbed> bed_;
    std::unique_ptr<informed_cost> cost_;
    std::unique_ptr<pipeline> pipe_;
    std::optional<run_recorder> recorder_;
    arrival_timer arrivals_;
    std::size_t next_ = 0;
    std::vector<request_handle> handles_;  // by request
    std::vector<std::uint8_t> parts_;      // by request: what it is not released before
    std::vector<block_key> keys_;          // of the request being submitted
    absl::Status failure_;
};

}  // namespace

absl::StatusOr<seed_result> serve_pipelined(const run_setting& s) {
    pipelined_run run(s);
    return run.run();
}

}  // namespace sluice::experiment
