// SPDX-License-Identifier: Apache-2.0
#include <poll.h>

#include <array>
#include <chrono>
#include <thread>
#include <utility>

#include <sluice/base/status.hpp>
#include <sluice/device/host_device.hpp>
#include <sluice/sched/policy_registry.hpp>

#include "serve.hpp"

namespace sluice::replay {
namespace {

using command::progress_bar;

// The clock of loops on real time.
time_point now_of_loops() {
    return time_point{
        std::chrono::duration_cast<duration>(std::chrono::steady_clock::now().time_since_epoch())};
}

/// Submits requests at their times and collects what becomes of them, as an engine's front end
/// does.
class front_end {
 public:
    front_end(const setting& s, const pipelined_row& row, pipeline& p, row_recorder& recorder,
              progress_bar& progress)
        : s_(s), row_(row), pipe_(p), recorder_(recorder), progress_(progress) {}

    absl::Status run() {
        const auto& requests = s_.load.requests;
        start_ = now_of_loops() + std::chrono::milliseconds(5);
        recorder_.begin(start_);
        const time_point limit =
            row_.limit_s > 0 ? saturating_add(start_, from_seconds(row_.limit_s)) : never;
        while (ended_ < requests.size()) {
            const time_point now = now_of_loops();
            if (now >= limit) {
                break;
            }
            for (; next_ < requests.size() && arrival(next_) <= now; ++next_) {
                if (absl::Status status = submit(next_); !status.ok()) {
                    return status;
                }
            }
            collect();
            if (ended_ < requests.size()) {
                wait_until(next_ < requests.size() ? std::min(arrival(next_), limit) : limit);
            }
        }
        return failure_;
    }

    /// Counters that include every outcome taken. They are published a moment after the last one.
    [[nodiscard]] pipeline_stats final_stats() const {
        pipeline_stats s = pipe_.stats();
        for (int i = 0; i < 100 && s.outcomes < ended_; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            s = pipe_.stats();
        }
        return s;
    }

 private:
    [[nodiscard]] time_point arrival(std::size_t i) const {
        return start_ + from_seconds(s_.load.requests[i].arrival_s);
    }

    absl::Status submit(std::size_t i) {
        const workload::workload_request& r = s_.load.requests[i];
        request_spec spec;
        if (row_.cached) {
            spec.keys = r.keys;
        }
        spec.prompt_tokens = r.tokens.size();
        spec.max_load_blocks = s_.max_load(r);
        spec.arrival = arrival(i);
        if (!s_.t0_s.empty()) {
            spec.deadline =
                saturating_add(spec.arrival, from_seconds(r.deadline_multiple * s_.t0_s[i]));
        }
        spec.write_back = row_.cached && s_.write_back();
        spec.user = const_cast<prompt*>(&s_.prompts[i]);
        return pipe_.submit(spec).status();
    }

    void collect() {
        std::array<request_event, 32> events;
        while (const std::size_t n = pipe_.poll_events(events)) {
            for (const request_event& e : std::span(events).first(n)) {
                if (is_outcome(e.kind)) {
                    take(e);
                }
            }
        }
    }

    void take(const request_event& e) {
        const auto index =
            static_cast<std::size_t>(static_cast<prompt*>(e.user) - s_.prompts.data());
        const time_point now = now_of_loops();
        const absl::StatusOr<request_report> report = pipe_.report(e.request);
        if (e.kind == event_kind::computed && report.ok()) {
            recorder_.computed(index, *report, now);
        } else {
            recorder_.ended(index, request_outcome::failed, now);
            if (failure_.ok()) {
                failure_ = annotate(e.status.ok() ? report.status() : e.status, "a request failed");
            }
        }
        // A stale handle would be fine too.
        (void)pipe_.release(e.request);
        ++ended_;
        progress_.advance();
    }

    void wait_until(time_point at) const {
        pollfd fd{pipe_.event_fd(), POLLIN, 0};
        const duration left =
            std::max(at == never ? std::chrono::seconds(1) : at - now_of_loops(), duration{0});
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
        const timespec timeout{static_cast<std::time_t>(seconds.count()),
                               static_cast<long>((left - seconds).count())};
        ppoll(&fd, 1, &timeout, nullptr);
    }

    const setting& s_;
    const pipelined_row& row_;
    pipeline& pipe_;
    row_recorder& recorder_;
    progress_bar& progress_;
    time_point start_{};
    std::size_t next_ = 0;
    std::size_t ended_ = 0;
    absl::Status failure_;
};

}  // namespace

absl::StatusOr<run_result> serve_pipelined(const setting& s, const pipelined_row& row,
                                           progress_bar& progress) {
    absl::StatusOr<std::unique_ptr<engine>> eng =
        engine::create(*s.model, s.load.block_tokens, s.l1_blocks);
    if (!eng.ok()) {
        return eng.status();
    }
    const absl::StatusOr<row_store> l3 = row_store::open(s);
    if (!l3.ok()) {
        return l3.status();
    }
    absl::StatusOr<std::unique_ptr<host_device>> gpu = host_device::create();
    if (!gpu.ok()) {
        return gpu.status();
    }
    pipeline_options o;
    o.l1 = &(*eng)->pages();
    o.block_tokens = s.load.block_tokens;
    o.compute = &(*eng)->model_thread();
    o.device = gpu->get();
    o.store = row.cached ? &**l3 : nullptr;
    o.l2_bytes = s.l2_blocks * s.block_bytes();
    absl::StatusOr<std::unique_ptr<policy>> order = make_policy(row.policy);
    if (!order.ok()) {
        return order.status();
    }
    o.policy = std::move(*order);
    o.cost = s.cost_model();
    o.split = row.split;
    absl::StatusOr<std::unique_ptr<pipeline>> pipe = pipeline::create(std::move(o));
    if (!pipe.ok()) {
        return pipe.status();
    }
    row_recorder recorder(s, row.config, row.policy, row.split);
    front_end front(s, row, **pipe, recorder, progress);
    if (absl::Status status = front.run(); !status.ok()) {
        return status;
    }
    const pipeline_stats stats = front.final_stats();
    pipe->reset();
    return recorder.finish(stats, **eng);
}

}  // namespace sluice::replay
