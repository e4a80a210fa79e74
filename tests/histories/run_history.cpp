// SPDX-License-Identifier: Apache-2.0
#include "run_history.hpp"

#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <sluice/coro/virtual_loop.hpp>
#include <sluice/cost/linear_cost_model.hpp>
#include <sluice/sched/policy_registry.hpp>

#include "applications.hpp"
#include "engine.hpp"
#include "faulty_device.hpp"
#include "faulty_store.hpp"
#include "order_checks.hpp"

namespace sluice::histories {
namespace {

/// Ranks at random, also by what is no number, and anew at its interval.
class hostile_policy final : public policy {
 public:
    explicit hostile_policy(const policy_options& o)
        : d_(static_cast<std::uint64_t>(o.integer("seed", 1, 0, 1000))),
          overdue_(o.flag("overdue", false)) {}

    [[nodiscard]] duration interval() const noexcept override {
        // Now and then it wants to be left alone, or the impossible.
        return duration{300'000 * (static_cast<duration::rep>(asked_++ % 8) - 1)};
    }
    [[nodiscard]] bool ranks_by_service() const noexcept override { return true; }
    [[nodiscard]] flow_share flow(const request_view& r) noexcept override {
        return {r.tenant, d_.pick({1.0, 0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), 3.0})};
    }

 private:
    rank_value do_rank(const request_view&, stage_id, time_point) noexcept override {
        constexpr double inf = std::numeric_limits<double>::infinity();
        const double value = d_.pick({static_cast<double>(d_.below(1000)), -1e308, inf, -inf,
                                      std::numeric_limits<double>::quiet_NaN()});
        return {value, d_.pick({rank_tier::normal, rank_tier::normal, rank_tier::hopeless,
                                overdue_ ? rank_tier::overdue : rank_tier::normal})};
    }

    dice d_;
    bool overdue_;  ///< claims that too, which is for the aging wrapper to say
    mutable std::uint32_t asked_ = 2;
};

/// Predicts nonsense.
class hostile_cost final : public cost_model {
 public:
    [[nodiscard]] double predict(stage_id, const demand_shape& s) const noexcept override {
        return d_.pick({std::numeric_limits<double>::quiet_NaN(), -1.0, 1e300, 0.0,
                        static_cast<double>(s.bytes), std::numeric_limits<double>::infinity()});
    }
    void observe(stage_id, const demand_shape&, double) noexcept override { ++generation_; }
    [[nodiscard]] std::uint64_t generation() const noexcept override { return generation_; }

 private:
    mutable dice d_{7};
    std::uint64_t generation_ = 0;
};

std::unique_ptr<cost_model> make_cost(cost_kind kind) {
    if (kind == cost_kind::hostile) {
        return std::make_unique<hostile_cost>();
    }
    linear_cost_options o;
    o.refit = kind == cost_kind::learning;
    return std::make_unique<linear_cost_model>(o);
}

/// The pipeline of a history and everything around it.
class stand {
 public:
    explicit stand(const history& h)
        : h_(h),
          loop_(beginning),
          clock_(loop_),
          l1_(h.c.groups),
          check_(h, clock_, l1_),
          order_(h, check_),
          faults_(h),
          sim_(h.c.simulated ? std::make_unique<simulated_seams>(h, l1_.form(), loop_) : nullptr),
          world_{h_, clock_, check_, order_, l1_, faults_, sim_.get()},
          device_(std::make_unique<faulty_device>(world_)),
          compute_(world_) {
        if (h.c.has_store) {
            store_ = std::make_unique<faulty_store>(world_);
        }
        if (h.c.applications) {
            apps_ = std::make_unique<applications>(check_);
        }
        for (std::uint32_t form = h.c.stages; form > 0; --form) {
            stages_.push_back(std::make_unique<faulty_stage>(world_, form));
        }
    }

    verdict run();

 private:
    [[nodiscard]] pipeline_options options() const;
    void play();
    void finish();
    bool step();
    [[nodiscard]] bool settle_instant();
    void check_progress();

    const history& h_;
    virtual_loop loop_;
    agenda clock_;
    l1_memory l1_;
    checker check_;
    order_checks order_;
    fault_plan faults_;
    std::unique_ptr<simulated_seams> sim_;
    seam_world world_;
    std::unique_ptr<faulty_device> device_;
    std::unique_ptr<faulty_store> store_;
    std::vector<std::unique_ptr<faulty_stage>> stages_;
    faulty_compute compute_;
    std::unique_ptr<applications> apps_;
    std::unique_ptr<pipeline> pipe_;
    std::optional<engine> engine_;
    std::uint64_t steps_ = 0;
    std::uint64_t operations_at_outcome_ = 0;
    std::uint64_t outcomes_seen_ = 0;
    time_point last_change_{};
    std::uint64_t last_operations_ = 0;
    bool draining_ = false;
};

pipeline_options stand::options() const {
    const config& c = h_.c;
    pipeline_options o;
    o.l1 = &l1_.form();
    o.block_tokens = c.block_tokens;
    o.owner = c.library_owned ? l1_owner::library : l1_owner::engine;
    o.compute = c.library_computes ? const_cast<faulty_compute*>(&compute_) : nullptr;
    o.concurrent_computes = c.concurrent_computes;
    o.device = device_.get();
    o.store = store_.get();
    for (const auto& s : stages_) {
        o.inbound.push_back(s.get());
    }
    o.l2_bytes = round_up(l1_.form().max_block_bytes(), 64) * c.l2_slots;
    o.reservation = c.reservation;
    o.write_back_share = c.write_back_share;
    o.quarantine_share = c.quarantine_share;
    o.policy = *make_policy(c.policy);
    o.cost = make_cost(c.cost);
    o.split = c.split;
    o.applications = apps_ != nullptr ? &apps_->tracker() : nullptr;
    o.fetch = c.fetch;
    o.copy = c.copy;
    o.write_back = c.write_back;
    o.max_requests = c.max_requests;
    o.fetch_soft_timeout = c.soft_timeout;
    o.fetch_hard_timeout = c.hard_timeout;
    o.load_timeout = c.load_timeout;
    o.on_load_failure = c.on_load_failure;
    o.control = const_cast<virtual_loop*>(&loop_);
    o.io = const_cast<virtual_loop*>(&loop_);
    return o;
}

verdict stand::run() {
    auto made = pipeline::create(options());
    if (!made.ok()) {
        check_.fail("create", std::string(made.status().message()));
    } else {
        pipe_ = *std::move(made);
        engine_.emplace(world_, store_.get(), *pipe_, apps_.get());
        engine_->begin();
        play();
        if (!check_.failed()) {
            finish();
        }
    }
    verdict v;
    for (std::size_t s = 0; s < 7; ++s) {
        v.operations += check_.counts(static_cast<seam>(s)).operations;
    }
    if (check_.failed()) {
        v.check = check_.check();
        v.what = check_.what();
        v.dump = check_.dump();
        if (pipe_) {
            const pipeline_stats s = pipe_->stats();
            v.dump += fmt::format(
                "  L2: {} slots, {} free, {} cold, {} quarantined; L1: {} free, {} "
                "cold, {} quarantined; {} live\n",
                s.l2_slots, s.l2_free, s.l2_cold, s.l2_quarantined, s.l1_free, s.l1_cold,
                s.l1_quarantined, s.live_requests);
            // What has gone wrong may not even close: everything is left as it is.
            static_cast<void>(pipe_.release());
            static_cast<void>(apps_.release());
            static_cast<void>(device_.release());
            static_cast<void>(store_.release());
            static_cast<void>(sim_.release());
        }
        return v;
    }
    v.stats = pipe_->stats();
    if (sim_ != nullptr) {
        v.simulated = true;
        v.link = sim_->stats();
    }
    pipe_.reset();
    device_.reset();
    store_.reset();
    if (check_.failed()) {
        v.check = check_.check();
        v.what = check_.what();
    }
    return v;
}

// Runs what there is at this instant, and has the engine look at it.
bool stand::settle_instant() {
    do {
        loop_.run_until(loop_.now());
    } while (!check_.failed() && engine_->poll());
    return !check_.failed();
}

// Then jumps to the next. False when nothing is left to do.
bool stand::step() {
    if (!settle_instant()) {
        return false;
    }
    check_progress();
    return !check_.failed() && loop_.run_one();
}

// With nothing under way at the seams and nothing outstanding at the engine, a request that has had
// no outcome has been forgotten. And with no new arrivals somebody must finish in bounded time.
void stand::check_progress() {
    ++steps_;
    const pipeline_stats s = pipe_->stats();
    std::uint64_t accepted = 0;
    std::uint64_t work = 0;
    std::uint64_t written_back = 0;
    for (const watched& r : check_.requests()) {
        const std::uint64_t blocks = (r.blocks() + 1) * h_.c.groups.size();
        accepted += r.accepted;
        (r.has_outcome ? written_back : work) += r.accepted ? blocks : 0;
    }
    if (check_.in_flight() == 0 && s.outcomes < accepted && !engine_->closing() &&
        h_.c.poll_every == duration{0} && engine_->owes_nothing()) {
        check_.fail("forgotten",
                    "nothing is under way and the engine owes nothing, but a request "
                    "has had no outcome");
    }
    std::uint64_t operations = 0;
    for (std::size_t i = 0; i < 7; ++i) {
        operations += check_.counts(static_cast<seam>(i)).operations;
    }
    if (s.outcomes != outcomes_seen_ || !draining_ || work == 0) {
        outcomes_seen_ = s.outcomes;
        operations_at_outcome_ = operations;
    } else if (operations - operations_at_outcome_ > 100 + 30 * work + 3 * written_back) {
        check_.fail("livelock", fmt::format("{} operations without an outcome",
                                            operations - operations_at_outcome_));
    }
    if (operations != last_operations_ || !draining_) {
        last_operations_ = operations;
        last_change_ = loop_.now();
    } else if (loop_.now() - last_change_ > 3 * h_.c.hard_timeout + std::chrono::seconds(1)) {
        check_.fail("stuck", "virtual time passes and nothing happens");
    }
}

void stand::play() {
    duration last{0};
    for (const action& a : h_.actions) {
        last = std::max(last, a.at);
    }
    const time_point end = loop_.now() + last;
    while (loop_.now() <= end && step()) {
    }
    if (check_.failed()) {
        return;
    }
    draining_ = true;
    last_change_ = loop_.now();
    engine_->drain();
    while (!engine_->all_gone() || check_.in_flight() > 0) {
        if (!step()) {
            break;
        }
    }
    if (check_.failed() || !settle_instant()) {
        return;
    }
    if (!engine_->all_gone()) {
        check_.fail("deadlock", "nothing is left to do, but requests are live");
    }
}

void stand::finish() {
    check_.check_all_back(pipe_->stats());
    check_.check_counters(pipe_->stats(), engine_->closing());
    order_.at_end(pipe_->stats());
    if (apps_ != nullptr && !engine_->closing()) {
        loop_.run_until(loop_.now() + std::chrono::seconds(1));
        apps_->check_at_end();
    }
    for (const watched& r : check_.requests()) {
        if (r.accepted && !engine_->closing() && !r.has_outcome) {
            check_.fail("lost", fmt::format("request {} has had no outcome", r.number));
        }
    }
    if (!engine_->closing() && pipe_->closed()) {
        check_.fail("close", "it is closed before it was asked to");
    }
    pipe_->begin_close();
    for (int i = 0; i < 1000 && !pipe_->closed() && loop_.run_one(); ++i) {
    }
    if (!pipe_->closed()) {
        check_.fail("close", "nothing is live and nothing left to do, but it is not closed");
    }
    loop_.run_until(loop_.now() + std::chrono::seconds(200));
    check_.check_all_back(pipe_->stats());
}

}  // namespace

verdict run(const history& h) {
    [[maybe_unused]] static const bool registered =
        register_policy("hostile", [](const policy_options& o) {
            return std::make_unique<hostile_policy>(o);
        }).ok();
    return stand(h).run();
}

}  // namespace sluice::histories
