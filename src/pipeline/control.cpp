// SPDX-License-Identifier: Apache-2.0
#include "control.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sluice::detail {

/// `co_await next_signal{r}`: the signals of io since the last time.
class control::next_signal {
 public:
    explicit next_signal(request& r) noexcept : request_(r) {}
    [[nodiscard]] bool await_ready() const noexcept { return request_.told != 0; }
    void await_suspend(std::coroutine_handle<> h) noexcept { request_.awaiting = h; }
    [[nodiscard]] std::uint32_t await_resume() noexcept { return std::exchange(request_.told, 0); }

 private:
    request& request_;
};

control::control(const pipeline_options& options, class policy& p, cost_model& cost, loop& home,
                 mover& m)
    : options_(options),
      policy_(p),
      cost_(cost),
      home_(home),
      mover_(m),
      tasks_(home),
      change_timer_(*this,
                    [](timer& t) noexcept {
                        control& c = static_cast<owned_timer&>(t).owner;
                        const time_point::rep now = c.home_.now().time_since_epoch().count();
                        while (!c.changes_.empty() && c.changes_.top_key() <= now) {
                            request& r = *c.live_[c.changes_.top()];
                            c.changes_.pop();
                            c.rerank(r);
                        }
                        c.arm_change_timer();
                    }),
      interval_timer_(*this,
                      [](timer& t) noexcept {
                          control& c = static_cast<owned_timer&>(t).owner;
                          c.rerank_all();
                          if (c.live_count_ > 0) {
                              c.home_.arm(t, saturating_add(c.home_.now(), c.policy_.interval()));
                          }
                      }),
      generation_(cost.generation()) {
    for (std::size_t g = 0; g < options.l1->groups().size(); ++g) {
        pieces_ += options.l1->pieces(g);
        all_groups_bytes_ += options.l1->block_bytes(g);
    }
}

void control::look(void* self, request& r, std::uint32_t flags) noexcept {
    auto& c = *static_cast<control*>(self);
    r.told |= flags & ~tell::submitted;
    if ((flags & tell::submitted) != 0) {
        c.tasks_.spawn(c.serve(r));
    } else if (r.awaiting) {
        std::exchange(r.awaiting, {}).resume();
    }
}

absl::Status control::start() {
    if (options_.applications == nullptr) {
        return absl::OkStatus();
    }
    applications_.emplace(*options_.applications, policy_, home_, this, [](void* self, request& r) {
        static_cast<control*>(self)->rerank_of_application(r);
    });
    return applications_->attach();
}

bool control::stop() noexcept {
    home_.disarm(change_timer_);
    home_.disarm(interval_timer_);
    return !applications_ || applications_->detach();
}

// A request's life, as control sees it. One await, so that the frame of a waiting request is small.
task<void> control::serve(request& r) {
    policy_.submitted(r.view, home_.now());
    for (std::uint32_t told = 0; (told & tell::retire) == 0;) {
        const std::uint32_t before = told;
        const std::uint32_t news = co_await next_signal(r);
        told |= news;
        if ((before & tell::settled) == 0) {
            if ((news & tell::ranked) != 0) {
                // A change between the two has raised the signal once more.
                r.view.rank = r.rank_told.load(std::memory_order_relaxed);
                r.view.tier = r.tier_told.load(std::memory_order_relaxed);
            }
            if ((news & tell::looked_up) != 0) {
                admit(r);  // it may have been loaded since
            } else if (r.view.admitted && (news & tell::ranked) != 0) {
                rerank(r);
            }
            if (r.view.admitted || (told & tell::settled) != 0) {
                take_progress(r);
            }
            if ((told & tell::settled) != 0) {
                finish(r);
            }
        }
        if ((news & tell::engine_computed) != 0) {
            observe_compute(r, static_cast<double>(r.compute_seconds_told));
            after_fit();
        }
    }
    if (applications_) {
        applications_->leave(r);
    }
    r.to_io.raise(tell::bury);  // the last touch
}

// ---- plans

double control::predict(stage_id stage, const demand_shape& shape) noexcept {
    if (shape.empty()) {
        return 0;
    }
    const double s = cost_.predict(stage, shape);
    if (std::isfinite(s) && s >= 0) {
        return s;
    }
    cost_faults_.fetch_add(1, std::memory_order_relaxed);
    return 0;
}

// A request that moves so many bytes and computes what is not in `context` tokens.
stage_seconds control::predict_request(std::uint64_t fetch, std::uint64_t copy,
                                       std::uint64_t prompt, std::uint64_t context) noexcept {
    const auto pieces = [this](std::uint64_t bytes, std::uint64_t of_a_block) {
        return (bytes * of_a_block + all_groups_bytes_ - 1) / all_groups_bytes_;
    };
    const demand_shape fetched{fetch, pieces(fetch, options_.l1->groups().size()), 0, 0};
    stage_seconds s;
    s.fetch = predict(stage_id::fetch, fetched);
    for (std::size_t i = 0; i < options_.inbound.size(); ++i) {
        s.fetch += predict(
            static_cast<stage_id>(static_cast<std::size_t>(stage_id::first_custom) + i), fetched);
    }
    s.copy = predict(stage_id::copy, {copy, pieces(copy, pieces_), 0, 0});
    context = std::min(context, prompt);
    s.compute = predict(stage_id::compute, {0, 0, prompt - context, context});
    return s;
}

// Loading the first k of the hits, whose transfers io has summed up, and computing the rest.
stage_seconds control::predict_load_of(const request& r, std::uint32_t k) {
    const double share =
        r.report.hit_blocks == 0 ? 0 : static_cast<double>(k) / r.report.hit_blocks;
    const auto part = [share](std::uint64_t bytes) {
        return static_cast<std::uint64_t>(share * static_cast<double>(bytes) + 0.5);
    };
    return predict_request(part(r.planned_fetch), part(r.planned_copy), r.view.prompt_tokens,
                           std::uint64_t{k} * options_.block_tokens);
}

void control::admit(request& r) {
    const std::uint32_t most = std::min(r.report.hit_blocks, r.max_load);
    ++admitted_since_;
    r.plan_blocks = options_.split && most > 0 && !r.prewarm ? choose_blocks(r, most) : most;
    if (r.prewarm) {  // nothing is computed
        r.view.prompt_tokens = std::uint64_t{r.plan_blocks} * options_.block_tokens;
    }
    const stage_seconds s = predict_load_of(r, r.plan_blocks);
    if (r.report.hit_blocks > 0) {  // from all the hits to the plan
        const double share = static_cast<double>(r.plan_blocks) / r.report.hit_blocks;
        r.planned_fetch = static_cast<std::uint64_t>(share * static_cast<double>(r.planned_fetch));
        r.planned_copy = static_cast<std::uint64_t>(share * static_cast<double>(r.planned_copy));
    }
    const auto rate = [](double seconds, std::uint64_t bytes) {
        return bytes == 0 ? 0.0F : static_cast<float>(seconds / static_cast<double>(bytes));
    };
    r.fetch_per_byte = rate(s.fetch, r.planned_fetch);
    r.copy_per_byte = rate(s.copy, r.planned_copy);
    r.predicted[rank_fetch] = static_cast<float>(s.fetch);
    r.predicted[rank_copy] = static_cast<float>(s.copy);
    r.predicted[rank_compute] = static_cast<float>(s.compute);
    r.view.load_tokens = std::uint64_t{r.plan_blocks} * options_.block_tokens;
    r.view.predicted = s;
    r.view.remaining = s;
    r.view.admitted = true;

    if (r.index >= live_.size()) {
        live_.resize(std::size_t{r.index} + 1, nullptr);
        shares_.resize(options_.split ? live_.size() : 0);
    }
    live_[r.index] = &r;
    if (live_count_++ == 0 && policy_.interval() > duration{0}) {
        home_.arm(interval_timer_, saturating_add(home_.now(), policy_.interval()));
    }
    if (applications_) {
        applications_->admit(r, home_.now());
    }
    publish_ranks(r);
    r.to_io.raise(tell::plan);
}

std::uint32_t control::choose_blocks(const request& r, std::uint32_t most) {
    const time_point now = home_.now();
    // A price is what a second costs the others in the long run: over many requests, or a burst
    // would move everything to the stage that happens to be idle, and then back.
    mean_request_s_ += 0.05 * (predict_load_of(r, most).total() - mean_request_s_);
    if (const double elapsed = to_seconds(now - last_stats_at_); elapsed > mean_request_s_) {
        const pipeline_stats s = mover_.stats();
        const double weight = elapsed / (elapsed + 50 * mean_request_s_);
        const auto follow = [&](double& share, const stage_counters& now_c,
                                const stage_counters& old) {
            const double busy = to_seconds(now_c.busy - old.busy) / elapsed;
            share += weight * (std::clamp(busy, 0.0, 1.0) - share);
        };
        follow(utilisation_.fetch, s.fetch, last_stats_.fetch);
        follow(utilisation_.copy, s.copy, last_stats_.copy);
        follow(utilisation_.compute, s.compute, last_stats_.compute);
        arrivals_per_s_ += weight * (admitted_since_ / elapsed - arrivals_per_s_);
        admitted_since_ = 0;
        last_stats_ = s;
        last_stats_at_ = now;
    }
    const stage_prices prices{shadow_price(utilisation_.fetch), shadow_price(utilisation_.copy),
                              shadow_price(utilisation_.compute), arrivals_per_s_};
    return choose_split(
               most, [&](std::uint32_t k) { return predict_load_of(r, k); }, backlog_before(r),
               prices)
        .load_blocks;
}

// Only where loads are split: it goes through all live requests.
stage_backlog control::backlog_before(const request& r) {
    request_view probe = r.view;
    probe.predicted = probe.remaining = predict_load_of(r, r.report.hit_blocks);
    probe.admitted = true;
    const time_point now = home_.now();
    const std::uint64_t own = pack_rank(policy_.rank(probe, stage_id::fetch, now));
    stage_backlog before;
    for (std::size_t i = 0; i < live_.size(); ++i) {
        if (live_[i] == nullptr) {
            continue;
        }
        const load_share& other = shares_[i];
        if (const duration::rep began = live_[i]->counts.compute_begin;
            began != progress::not_yet) {
            // Nothing preempts it, whatever its rank.
            const double had = to_seconds(now - time_point{duration{began}});
            before.compute += std::max(other.remaining.compute - had, 0.0);
        } else if (other.rank <= own) {
            before.fetch += other.remaining.fetch;
            before.copy += other.remaining.copy;
            before.compute += other.remaining.compute;
        }
    }
    return before;
}

// ---- ranks

bool control::publish_ranks(request& r) {
    const time_point now = home_.now();
    constexpr stage_id stages[ranked_stages] = {stage_id::fetch, stage_id::copy, stage_id::compute};
    bool changed = false;
    for (std::size_t s = 0; s < ranked_stages; ++s) {
        const std::uint64_t rank = pack_rank(policy_.rank(r.view, stages[s], now));
        if (r.ranks[s].load(std::memory_order_relaxed) != rank) {  // nobody else writes it
            r.ranks[s].store(rank, std::memory_order_relaxed);
            changed = true;
        }
    }
    note_share(r);
    const flow_share share = policy_.flow(r.view);
    r.flow.store(share.flow, std::memory_order_relaxed);
    r.flow_weight.store(static_cast<float>(share.weight), std::memory_order_relaxed);
    const time_point next = policy_.next_change(r.view, now);
    if (next != never && next > now) {
        changes_.set(r.index, next.time_since_epoch().count());
        arm_change_timer();
    } else {
        changes_.erase(r.index);
    }
    return changed;
}

void control::note_share(const request& r) {
    if (options_.split) {
        shares_[r.index] = {r.ranks[rank_fetch].load(std::memory_order_relaxed), r.view.remaining};
    }
}

void control::rerank(request& r) {
    if (publish_ranks(r)) {
        r.to_io.raise(tell::ranks);
    }
}

// Also one that is ready, and waits for the engine to compute it.
void control::rerank_of_application(request& r) {
    if (live_[r.index] == &r) {
        rerank(r);
    } else if (options_.compute == nullptr && !r.prewarm) {
        const std::uint64_t rank = pack_rank(policy_.rank(r.view, stage_id::compute, home_.now()));
        if (r.ranks[rank_compute].exchange(rank, std::memory_order_relaxed) != rank) {
            r.to_io.raise(tell::ranks);
        }
    }
}

void control::rerank_all() {
    for (request* r : live_) {
        if (r != nullptr) {
            rerank(*r);
        }
    }
}

void control::arm_change_timer() {
    if (changes_.empty()) {
        home_.disarm(change_timer_);
        return;
    }
    const time_point next{duration{changes_.top_key()}};
    if (!change_timer_.armed() || change_timer_.due() != next) {
        home_.arm(change_timer_, next);
    }
}

// ---- progress and the end

void control::take_progress(request& r) {
    const auto left = [](std::uint64_t now, std::uint64_t planned) {
        return planned == 0
                   ? 0.0
                   : std::min(1.0, static_cast<double>(now) / static_cast<double>(planned));
    };
    request_view& v = r.view;
    v.remaining.fetch = v.predicted.fetch * left(r.counts.fetch_left, r.planned_fetch);
    v.remaining.copy = v.predicted.copy * left(r.counts.copy_left, r.planned_copy);
    const auto serve = [&](stage_id stage, std::int64_t total, double& known) {
        const double seconds = to_seconds(duration{total});
        if (seconds > known) {
            policy_.served(v, stage, seconds - std::exchange(known, seconds));
        }
    };
    serve(stage_id::fetch, r.counts.fetch_ns, v.attained.fetch);
    serve(stage_id::copy, r.counts.copy_ns, v.attained.copy);
    serve(stage_id::compute, r.counts.compute_ns, v.attained.compute);
    if (!v.admitted) {
        return;
    }
    if (policy_.ranks_by_service()) {
        rerank(r);
    } else {
        note_share(r);
    }
}

void control::finish(request& r) {
    policy_.done(r.view, home_.now());
    if (!r.view.admitted) {
        return;
    }
    changes_.erase(r.index);
    live_[r.index] = nullptr;
    --live_count_;
    const std::uint64_t fetched = r.report.bytes_fetched;
    const std::uint64_t copied = r.copied_bytes;
    const std::uint64_t groups = options_.l1->groups().size();
    if (fetched > 0) {
        observe(stage_id::fetch,
                {fetched, (fetched * groups + all_groups_bytes_ - 1) / all_groups_bytes_, 0, 0},
                r.view.attained.fetch, error_.fetch);
    }
    if (copied > 0) {
        observe(stage_id::copy,
                {copied, (copied * pieces_ + all_groups_bytes_ - 1) / all_groups_bytes_, 0, 0},
                r.view.attained.copy, error_.copy);
    }
    observe_compute(r, r.view.attained.compute);
    after_fit();
}

void control::observe_compute(const request& r, double seconds) {
    const std::uint64_t context = std::min<std::uint64_t>(
        std::uint64_t{r.report.loaded_blocks} * options_.block_tokens, r.view.prompt_tokens);
    observe(stage_id::compute, {0, 0, r.view.prompt_tokens - context, context}, seconds,
            error_.compute);
}

void control::observe(stage_id stage, const demand_shape& shape, double seconds, double& error) {
    if (!(seconds > 0)) {
        return;
    }
    const double off = std::abs(predict(stage, shape) - seconds) / seconds;
    error += 0.05 * (off - error);
    cost_.observe(stage, shape, seconds);
}

void control::after_fit() {
    errors_[0].store(error_.fetch, std::memory_order_relaxed);
    errors_[1].store(error_.copy, std::memory_order_relaxed);
    errors_[2].store(error_.compute, std::memory_order_relaxed);
    const std::uint64_t now = cost_.generation();
    if (now == std::exchange(generation_, now)) {
        return;
    }
    for (request* r : live_) {
        if (r != nullptr) {
            repredict(*r);
        }
    }
}

// The fit has changed materially: what was predicted at admission is predicted anew.
void control::repredict(request& r) {
    request_view& v = r.view;
    const stage_seconds old = v.predicted;
    v.predicted = predict_request(r.planned_fetch, r.planned_copy, v.prompt_tokens, v.load_tokens);
    const auto scale = [](double& remaining, double now, double before) {
        remaining = before > 0 ? remaining * now / before : now;
    };
    scale(v.remaining.fetch, v.predicted.fetch, old.fetch);
    scale(v.remaining.copy, v.predicted.copy, old.copy);
    scale(v.remaining.compute, v.predicted.compute, old.compute);
    rerank(r);
}

void control::add_to(pipeline_stats& s) const noexcept {
    s.policy_faults = policy_.faults();
    s.cost_faults = cost_faults_.load(std::memory_order_relaxed);
    s.relative_error = {errors_[0].load(std::memory_order_relaxed),
                        errors_[1].load(std::memory_order_relaxed),
                        errors_[2].load(std::memory_order_relaxed)};
}

}  // namespace sluice::detail
