// SPDX-License-Identifier: Apache-2.0
#include <sluice/sim/prefill.hpp>

#include <utility>

#include <sluice/base/status.hpp>

#include "checks.hpp"
#include "completion_queue.hpp"
#include "flow.hpp"

namespace sluice::sim {

struct prefill::state {
    state(const compute_coefficients& c, loop& on)
        : coefficients(c), clock(on), work(0, {}), done(on) {}

    const compute_coefficients coefficients;
    loop& clock;
    detail::flow work;
    detail::completion_queue done;
};

absl::StatusOr<std::unique_ptr<prefill>> prefill::create(const compute_coefficients& coefficients,
                                                         loop& on) {
    const compute_coefficients& c = coefficients;
    SLUICE_RETURN_IF_ERROR(detail::check_seconds("prefill", "c0_s", c.c0_s));
    SLUICE_RETURN_IF_ERROR(detail::check_seconds("prefill", "c1_s", c.c1_s));
    SLUICE_RETURN_IF_ERROR(detail::check_seconds("prefill", "c2_s", c.c2_s));
    return std::unique_ptr<prefill>(new prefill(std::make_unique<state>(c, on)));
}

prefill::prefill(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}

prefill::~prefill() = default;

void prefill::start(compute_job& job) noexcept {
    const compute_coefficients& c = state_->coefficients;
    const auto q = static_cast<double>(job.query_tokens);
    const auto ctx = static_cast<double>(job.context_tokens);
    const double seconds =
        job.query_tokens > 0 ? c.c0_s + c.c1_s * q + c.c2_s * q * (ctx + q / 2) : 0;
    const detail::instant now = detail::instant_of(state_->clock.now());
    const detail::flow::passage p = state_->work.ask(now, seconds * 1e9, 0);
    state_->work.admit(now, p);
    state_->done.push(job, p.end);
}

double prefill::busy_seconds() const noexcept {
    return state_->work.busy_seconds(detail::instant_of(state_->clock.now()));
}

}  // namespace sluice::sim
