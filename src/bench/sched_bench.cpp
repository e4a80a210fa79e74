// SPDX-License-Identifier: Apache-2.0
#include "sched_bench.hpp"

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <random>
#include <utility>

#include <sluice/sched/policy_registry.hpp>
#include <sluice/sched/ready_queue.hpp>

namespace sluice::bench {

namespace {

constexpr double operation_s = 1e-4;  // virtual time of an operation

class hold_model {
 public:
    hold_model(policy& p, std::uint32_t queued, const sched_bench_options& options)
        : policy_(&p),
          requests_(queued),
          random_(options.seed),
          span_s_(2 * operation_s * queued),
          tenants_(std::max(options.tenants, 1U)) {
        queue_.reserve(queued);
        for (std::uint32_t id = 0; id < queued; ++id) {
            arrive(id);
        }
    }

    void run(std::uint64_t operations) {
        for (std::uint64_t i = 0; i < operations; ++i) {
            const std::uint32_t id = queue_.top();
            queue_.charge(id, operation_s);
            queue_.erase(id);
            arrive(id);
            // What comes next is known: it is far away in memory, and there is time until then.
            const auto* next = reinterpret_cast<const char*>(&requests_[queue_.top()]);
            for (std::size_t line = 0; line < sizeof(request_view); line += 64) {
                __builtin_prefetch(next + line, 1);
            }
        }
    }

 private:
    void arrive(std::uint32_t id) {
        now_ += from_seconds(operation_s);
        const double wait_s = span_s_ * uniform();
        request_view& r = requests_[id];
        r.arrival = now_;
        r.deadline = saturating_add(now_, from_seconds(wait_s + 1));
        r.tenant = static_cast<std::uint32_t>(random_() % tenants_);
        r.prompt_tokens = static_cast<std::uint64_t>(
            (to_seconds(now_.time_since_epoch()) + wait_s) / operation_s);
        r.admitted = true;
        r.predicted.fetch = to_seconds(now_.time_since_epoch()) + wait_s;
        r.remaining = r.predicted;

        const flow_share share = policy_->flow(r);
        const rank_value rank = policy_->rank(r, stage_id::fetch, now_);
        queue_.set(id, {pack_rank(rank), order_++, false, share.flow, share.weight});
    }

    double uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

    policy* policy_;
    std::vector<request_view> requests_;
    ready_queue queue_;
    std::minstd_rand random_;
    double span_s_;
    std::uint32_t tenants_;
    time_point now_{};
    std::uint32_t order_ = 0;
};

// CPU time of this thread: on a machine with other work the clock on the wall says little.
double thread_seconds() noexcept {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

double measure(policy& p, std::uint32_t queued, const sched_bench_options& options) {
    hold_model model(p, queued, options);
    // Every request is renewed about once before it counts: the fill is not the steady state.
    model.run(std::max<std::uint64_t>(queued, options.operations));
    std::vector<double> rates;
    for (std::uint32_t i = 0; i < std::max(options.repeats, 1U); ++i) {
        const double start = thread_seconds();
        model.run(options.operations);
        rates.push_back(static_cast<double>(options.operations) / (thread_seconds() - start));
    }
    return median(std::move(rates));
}

}  // namespace

std::vector<sched_bench_row> run_sched_bench(const sched_bench_options& options) {
    std::vector<sched_bench_row> rows;
    for (const std::string& spec : options.policies) {
        const auto made = make_policy(spec);
        for (const std::uint64_t queued : options.queued) {
            sched_bench_row& row = rows.emplace_back();
            row.policy = spec;
            row.queued = queued;
            if (made.ok() && queued > 0 && queued < std::numeric_limits<std::uint32_t>::max()) {
                row.ops_per_s = measure(**made, static_cast<std::uint32_t>(queued), options);
            }
        }
    }
    return rows;
}

void set_memory_figures(std::vector<sched_bench_row>& rows, double bytes_per_request,
                        double bytes_per_block) noexcept {
    for (sched_bench_row& row : rows) {
        row.bytes_per_request = bytes_per_request;
        row.bytes_per_block = bytes_per_block;
    }
}

}  // namespace sluice::bench
