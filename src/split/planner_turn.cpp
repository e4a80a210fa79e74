// SPDX-License-Identifier: Apache-2.0
// The planner's turns: plans go out, reports come in, and the policy and the cost model are asked.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <sluice/cost/cost_model.hpp>
#include <sluice/sched/policy.hpp>
#include <sluice/sched/ready_queue.hpp>

#include "../request_id.hpp"
#include "planner.hpp"
#include "planner_entry.hpp"

namespace sluice::split {

class planner::turn {
 public:
    /// \return kFailedPrecondition: inside a turn.
    [[nodiscard]] static absl::StatusOr<turn> begin(planner& p) {
        if (p.in_turn_.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
            return absl::FailedPreconditionError(
                "called by the planner's own policy or cost model; do it after they have returned");
        }
        return turn(p);
    }
    turn(turn&& other) noexcept : planner_(std::exchange(other.planner_, nullptr)) {}
    turn& operator=(turn&&) = delete;
    ~turn() {
        if (planner_ != nullptr) {
            planner_->in_turn_.store(std::thread::id(), std::memory_order_relaxed);
            planner_->turn_mutex_.unlock();
        }
    }

 private:
    explicit turn(planner& p) : planner_(&p) {
        p.turn_mutex_.lock();
        p.in_turn_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    }

    planner* planner_;
};

absl::Status planner::export_plan(
    const std::function<absl::Status(std::span<const std::byte>)>& take) {
    const absl::StatusOr<turn> mine = turn::begin(*this);
    if (!mine.ok()) {
        return mine.status();
    }
    think();
    const std::scoped_lock lock(mutex_);
    forget_recalled();
    plan p{id_, next_sequence_, std::move(orders_)};
    const std::size_t asked_for = p.orders.size();
    for (const request_handle h : new_ranks_) {
        if (const entry* const e = find(h); e != nullptr && !e->ended) {
            order& o = p.orders.emplace_back();
            o.what = order::kind::rank;
            o.request = e->id();
            o.rank = *e->told_rank;
        }
    }
    const absl::Status status = take(p.orders.empty() ? std::vector<std::byte>() : encode(p));
    if (!status.ok()) {
        p.orders.resize(asked_for);
        orders_ = std::move(p.orders);
        return status;
    }
    orders_.clear();
    for (const request_handle h : new_ranks_) {
        if (entry* const e = find(h); e != nullptr) {
            e->rank_due = false;
        }
    }
    new_ranks_.clear();
    if (p.orders.empty()) {
        return status;
    }
    ++next_sequence_;
    for (const order& o : p.orders) {
        if (o.what == order::kind::submit || o.what == order::kind::store) {
            find(sluice::detail::handle_of_id(o.request))->exported = true;
        }
    }
    return status;
}

absl::Status planner::import_report(std::span<const std::byte> bytes) {
    const absl::StatusOr<split::report> r = decode_report(bytes);
    if (!r.ok()) {
        return r.status();
    }
    if (r->planner != id_) {
        return absl::InvalidArgumentError("the report is about plans of another planner");
    }
    const std::uint64_t known =
        options_.workers == max_workers ? ~std::uint64_t{0} : bit_of(options_.workers) - 1;
    for (const fact& f : r->facts) {
        if ((f.ranks & ~known) != 0) {
            return absl::InvalidArgumentError(
                fmt::format("the report is of rank {}, but there are {} workers",
                            std::bit_width(f.ranks) - 1, options_.workers));
        }
    }
    const absl::StatusOr<turn> mine = turn::begin(*this);
    if (!mine.ok()) {
        return mine.status();
    }
    {
        const std::scoped_lock lock(mutex_);
        for (const fact& f : r->facts) {
            entry* const e = find(sluice::detail::handle_of_id(f.request));
            if (e != nullptr && e->exported) {
                learn(*e, f);
            }
        }
    }
    think();
    return absl::OkStatus();
}

// One pass: what the policy itself sets off comes in the next turn.
void planner::think() {
    std::vector<news> fresh;
    {
        const std::scoped_lock lock(mutex_);
        fresh.swap(news_);
    }
    for (const news& n : fresh) {
        tell_policy(n);
    }
    if (const std::uint64_t now = options_.cost->generation();
        now != std::exchange(generation_, now)) {
        for (const request_handle h : ranked()) {
            predict(h);
            rerank(h);
        }
    }
    const time_point now = options_.now();
    rank_applications(now);
    rerank_due(now);
}

void planner::tell_policy(const news& n) {
    const time_point now = options_.now();
    policy& order = *options_.policy;
    switch (n.what) {
    case news::kind::submitted: order.submitted(n.view, now); break;
    case news::kind::looked_up:
        predict(n.view.id);
        admit_to_application(n.view);
        rerank(n.view.id);  // it may have been loaded since
        break;
    case news::kind::ranked:
        if (waits(n.view.id)) {
            rerank(n.view.id);
        }
        break;
    case news::kind::ended: {
        changes_.erase(n.view.id.index);
        const request_view v = latest(n.view);
        for (const auto& [stage, seconds] :
             {std::pair{stage_id::fetch, v.attained.fetch}, {stage_id::copy, v.attained.copy}}) {
            if (seconds > 0) {
                order.served(v, stage, seconds);
            }
        }
        order.done(v, now);
        observe_load(n);
        break;
    }
    case news::kind::computed:
        observe(stage_id::compute, computed(n.view, n.loaded_blocks), n.view.attained.compute,
                stats_.relative_error.compute);
        break;
    }
}

// As noted, with what has been predicted since.
request_view planner::latest(const request_view& noted) const {
    request_view v = noted;
    const std::scoped_lock lock(mutex_);
    if (const entry* const e = find(noted.id); e != nullptr) {
        v.admitted = e->view.admitted;
        v.load_tokens = e->view.load_tokens;
        v.predicted = e->view.predicted;
        v.remaining = e->view.remaining;
    }
    return v;
}

bool planner::waits(request_handle h) const {
    const std::scoped_lock lock(mutex_);
    const entry* const e = find(h);
    return e != nullptr && !e->ended;
}

// ---- costs

demand_shape planner::fetched(std::uint64_t bytes) const noexcept {
    const std::uint64_t per_block = std::max<std::uint64_t>(options_.block_bytes, 1);
    return {bytes, (bytes + per_block - 1) / per_block * options_.groups, 0, 0};
}

demand_shape planner::copied(std::uint64_t blocks) const noexcept {
    return {blocks * options_.block_bytes, blocks * options_.block_pieces, 0, 0};
}

demand_shape planner::computed(const request_view& v, std::uint64_t loaded_blocks) const noexcept {
    const std::uint64_t context = std::min(loaded_blocks * options_.block_tokens, v.prompt_tokens);
    return {0, 0, v.prompt_tokens - context, context};
}

double planner::predict(stage_id stage, const demand_shape& shape) {
    if (shape.empty()) {
        return 0;
    }
    const double s = options_.cost->predict(stage, shape);
    if (std::isfinite(s) && s >= 0) {
        return s;
    }
    const std::scoped_lock lock(mutex_);
    ++stats_.cost_faults;
    return 0;
}

// The ranks load at the same time, each its own bytes.
void planner::predict(request_handle h) {
    request_view v;
    std::uint64_t plan = 0;
    std::uint64_t loads = 0;
    {
        const std::scoped_lock lock(mutex_);
        const entry* const e = find(h);
        if (e == nullptr) {
            return;
        }
        v = e->view;
        plan = e->story.planned_blocks;
        loads = plan - std::min<std::uint64_t>(plan, e->resident);
    }
    const bool moves = options_.block_bytes > 0;
    v.load_tokens = plan * options_.block_tokens;
    v.predicted.fetch = moves ? predict(stage_id::fetch, fetched(loads * options_.block_bytes)) : 0;
    v.predicted.copy = moves ? predict(stage_id::copy, copied(loads)) : 0;
    v.predicted.compute = v.prewarm ? 0 : predict(stage_id::compute, computed(v, plan));
    const std::scoped_lock lock(mutex_);
    if (entry* const e = find(h); e != nullptr) {
        e->view.load_tokens = v.load_tokens;
        e->view.predicted = e->view.remaining = e->story.predicted = v.predicted;
        e->view.admitted = true;
    }
}

void planner::observe_load(const news& n) {
    if (options_.block_bytes == 0) {
        return;
    }
    observe(stage_id::fetch, fetched(n.bytes_fetched), n.view.attained.fetch,
            stats_.relative_error.fetch);
    observe(stage_id::copy, copied(n.loaded_blocks), n.view.attained.copy,
            stats_.relative_error.copy);
}

void planner::observe(stage_id stage, const demand_shape& shape, double seconds, double& error) {
    if (!(seconds > 0) || shape.empty()) {
        return;
    }
    const double off = std::abs(predict(stage, shape) - seconds) / seconds;
    {
        const std::scoped_lock lock(mutex_);
        error += 0.05 * (off - error);
    }
    options_.cost->observe(stage, shape, seconds);
}

// ---- ranks

void planner::rerank(request_handle h) {
    request_view v;
    {
        const std::scoped_lock lock(mutex_);
        const entry* const e = find(h);
        if (e == nullptr || !e->view.admitted) {
            return;
        }
        v = e->view;
    }
    const time_point now = options_.now();
    policy& policy = *options_.policy;
    rank_value rank = policy.rank(v, stage_id::fetch, now);
    const std::uint64_t compute_rank = pack_rank(policy.rank(v, stage_id::compute, now));
    const time_point next = policy.next_change(v, now);
    if (std::isnan(rank.value)) {
        rank.value = std::numeric_limits<double>::infinity();
    }
    if (next != never && next > now) {
        changes_.set(h.index, next.time_since_epoch().count());
    } else {
        changes_.erase(h.index);
    }
    const std::scoped_lock lock(mutex_);
    entry* const e = find(h);
    if (e == nullptr) {
        return;
    }
    e->compute_rank = compute_rank;
    if (offers_.contains(h.index)) {
        offers_.set(h.index, e->compute_key());
    }
    if (!e->ended &&
        (!e->told_rank || e->told_rank->value != rank.value || e->told_rank->tier != rank.tier)) {
        e->told_rank = rank;
        if (!std::exchange(e->rank_due, true)) {
            new_ranks_.push_back(h);
        }
    }
}

void planner::rerank_due(time_point now) {
    while (!changes_.empty() && changes_.top_key() <= now.time_since_epoch().count()) {
        const std::uint32_t index = changes_.top();
        changes_.pop();
        request_handle h;
        {
            const std::scoped_lock lock(mutex_);
            h = entries_[index].handle();
        }
        rerank(h);
    }
    const duration interval = options_.policy->interval();
    if (interval <= duration{0} || (next_interval_ != never && now < next_interval_)) {
        return;
    }
    if (next_interval_ != never) {
        for (const request_handle h : ranked()) {
            rerank(h);
        }
    }
    next_interval_ = now + interval;
}

std::vector<request_handle> planner::ranked() const {
    const std::scoped_lock lock(mutex_);
    std::vector<request_handle> out;
    for (const entry& e : entries_) {
        if (e.live && !e.ended && e.view.admitted) {
            out.push_back(e.handle());
        }
    }
    return out;
}

}  // namespace sluice::split
