// SPDX-License-Identifier: Apache-2.0
#include <sluice/sim/iteration_engine.hpp>

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "checks.hpp"
#include "flow.hpp"
#include "ring.hpp"

namespace sluice::sim {
namespace {

using detail::instant;

double decode_time(const std::vector<decode_point>& points, std::uint32_t batch) noexcept {
    if (batch == 0) {
        return 0;
    }
    const auto after = std::find_if(points.begin(), points.end(),
                                    [batch](const decode_point& p) { return p.batch >= batch; });
    if (after == points.begin() || after->batch == batch) {
        return after->seconds;
    }
    const decode_point& a = *(after - 1);
    const decode_point& b = *after;
    return a.seconds + (b.seconds - a.seconds) * static_cast<double>(batch - a.batch) /
                           static_cast<double>(b.batch - a.batch);
}

}  // namespace

struct iteration_engine::state {
    state(iteration_options options, tokens_of output_tokens, decoded_function decoded, loop& on)
        : o(std::move(options)),
          tokens(std::move(output_tokens)),
          tell(std::move(decoded)),
          clock(on),
          step_times(o.max_batch + 1) {
        for (std::uint32_t b = 0; b <= o.max_batch; ++b) {
            step_times[b] = decode_time(o.decode, b) * 1e9;
        }
        running.reserve(o.max_batch);
    }
    ~state() { clock.disarm(alarm); }
    state(const state&) = delete;
    state& operator=(const state&) = delete;

    struct prefill {
        compute_job* job = nullptr;
        std::uint64_t done = 0;   ///< tokens
        std::uint64_t chunk = 0;  ///< tokens of this iteration
    };
    struct sequence {
        void* user = nullptr;
        std::uint32_t left = 0;  ///< tokens
    };
    struct alarm_timer : timer {
        explicit alarm_timer(state& s) noexcept
            : timer([](timer& t) noexcept { static_cast<alarm_timer&>(t).owner.run(); }),
              owner(s) {}
        state& owner;
    };

    void run() noexcept;
    void begin_iteration();
    double begin_prefills(std::size_t places);
    void end_prefills();
    void end_decode_step();
    [[nodiscard]] double prefill_time(const prefill& p) const noexcept;

    const iteration_options o;
    const tokens_of tokens;
    const decoded_function tell;
    loop& clock;
    std::vector<double> step_times;  // of decode, by batch

    detail::ring<prefill> waiting;
    std::size_t prefilling = 0;  // the first of `waiting` take part in this iteration
    std::vector<sequence> running;
    std::size_t decoding = 0;  // the first of `running` do
    bool busy = false;         // in an iteration
    instant end = 0;           // of the last iteration, or when the next one begins
    double busy_ns = 0;
    iteration_stats counts;
    alarm_timer alarm{*this};
};

double iteration_engine::state::prefill_time(const prefill& p) const noexcept {
    const auto q = static_cast<double>(p.chunk);
    const auto before = static_cast<double>(p.job->context_tokens + p.done);
    return (o.prefill_per_token_s * q + o.prefill_pair_s * q * (before + q / 2)) * 1e9;
}

// Says which prefills take part, and how long their tokens take.
double iteration_engine::state::begin_prefills(std::size_t places) {
    double time = 0;
    prefilling = 0;
    if (o.chunk_tokens == 0) {
        if (places > 0 && !waiting.empty()) {
            waiting[0].chunk = waiting[0].job->query_tokens;
            time = prefill_time(waiting[0]);
            prefilling = 1;
        }
        return time;
    }
    std::uint64_t budget = o.chunk_tokens;
    while (prefilling < std::min(places, waiting.size()) && budget > 0) {
        prefill& p = waiting[prefilling++];
        p.chunk = std::min(budget, p.job->query_tokens - p.done);
        budget -= p.chunk;
        time += prefill_time(p);
    }
    return time;
}

void iteration_engine::state::begin_iteration() {
    double time = begin_prefills(o.max_batch - running.size());
    decoding = prefilling > 0 && o.chunk_tokens == 0 ? 0 : running.size();
    if (prefilling == 0 && decoding == 0) {
        return;
    }
    time += std::max(prefilling > 0 ? o.prefill_fixed_s * 1e9 : 0, step_times[decoding]);
    busy = true;
    busy_ns += time;
    end += time;
    ++counts.iterations;
    counts.decode_steps += decoding > 0 ? 1 : 0;
    clock.arm(alarm, detail::time_of(end));
}

// What an end brings about takes part in the next iteration, which begins at the same instant, but
// after all else: timers come last.
void iteration_engine::state::run() noexcept {
    if (!busy) {
        begin_iteration();
        return;
    }
    busy = false;
    end_decode_step();
    end_prefills();
    clock.arm(alarm, clock.now());
}

void iteration_engine::state::end_decode_step() {
    if (decoding == 0) {
        return;  // those that run have waited for a prefill
    }
    counts.decoded_tokens += decoding;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < decoding; ++i) {
        if (--running[i].left > 0) {
            running[kept++] = running[i];
        } else if (tell) {
            tell(running[i].user);
        }
    }
    running.resize(kept);
}

void iteration_engine::state::end_prefills() {
    for (std::size_t i = 0; i < prefilling; ++i) {
        waiting[i].done += waiting[i].chunk;
    }
    // Only the last one can be unfinished.
    while (prefilling > 0 && waiting[0].done == waiting[0].job->query_tokens) {
        compute_job& job = *waiting[0].job;
        waiting.pop();
        --prefilling;
        ++counts.prefills;
        const std::uint32_t n = tokens ? std::max(tokens(job), 1U) : 1;
        void* const user = job.user;
        job.complete(absl::OkStatus());
        if (n > 1) {
            running.push_back({user, n - 1});
        } else if (tell) {
            tell(user);
        }
    }
}

absl::StatusOr<std::unique_ptr<iteration_engine>> iteration_engine::create(
    iteration_options options, tokens_of output_tokens, decoded_function decoded, loop& on) {
    const iteration_options& o = options;
    const char* const whose = "iteration engine";
    SLUICE_RETURN_IF_ERROR(detail::check_seconds(whose, "prefill_fixed_s", o.prefill_fixed_s));
    SLUICE_RETURN_IF_ERROR(
        detail::check_seconds(whose, "prefill_per_token_s", o.prefill_per_token_s));
    SLUICE_RETURN_IF_ERROR(detail::check_seconds(whose, "prefill_pair_s", o.prefill_pair_s));
    SLUICE_RETURN_IF_ERROR(
        detail::check_count(whose, "points of decode", o.decode.size(), 1, 1'000'000));
    for (std::size_t i = 0; i < o.decode.size(); ++i) {
        const std::string which = fmt::format("decode point {}", i);
        SLUICE_RETURN_IF_ERROR(
            detail::check_seconds(whose, which + ", seconds", o.decode[i].seconds));
        SLUICE_RETURN_IF_ERROR(detail::check_count(whose, which + ", batch", o.decode[i].batch,
                                                   i == 0 ? 1 : o.decode[i - 1].batch + 1,
                                                   1'000'000));
    }
    SLUICE_RETURN_IF_ERROR(
        detail::check_count(whose, "max_batch", o.max_batch, 1, o.decode.back().batch));
    return std::unique_ptr<iteration_engine>(new iteration_engine(std::make_unique<state>(
        std::move(options), std::move(output_tokens), std::move(decoded), on)));
}

iteration_engine::iteration_engine(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}

iteration_engine::~iteration_engine() = default;

void iteration_engine::start(compute_job& job) noexcept {
    state_->waiting.push({&job});
    if (!state_->busy && !state_->alarm.armed()) {
        state_->end = detail::instant_of(state_->clock.now());
        state_->clock.arm(state_->alarm, state_->clock.now());
    }
}

double iteration_engine::decode_seconds(std::uint32_t batch) const noexcept {
    return state_->step_times[std::min(batch, state_->o.max_batch)] * 1e-9;
}

iteration_stats iteration_engine::stats() const noexcept {
    iteration_stats out = state_->counts;
    out.running = static_cast<std::uint32_t>(state_->running.size());
    out.waiting = static_cast<std::uint32_t>(state_->waiting.size());
    const instant now = detail::instant_of(state_->clock.now());
    out.busy_seconds = (state_->busy_ns - std::max(0.0, state_->end - now)) * 1e-9;
    return out;
}

void iteration_engine::for_each_running(
    const std::function<void(void*, std::uint32_t)>& each) const {
    for (const state::sequence& s : state_->running) {
        each(s.user, s.left);
    }
}

}  // namespace sluice::sim
