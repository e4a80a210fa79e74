// SPDX-License-Identifier: Apache-2.0
#include "demand_bench.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include <sluice/demand/app_tracker.hpp>
#include <sluice/demand/application_view.hpp>
#include <sluice/demand/demand_model.hpp>
#include <sluice/demand/model_set.hpp>
#include <sluice/sched/policy_registry.hpp>

#include "../workload/random.hpp"
#include "quantile.hpp"

namespace sluice::bench {
namespace {

using workload::random_source;

constexpr int class_count = 4;

demand::unit_record calls_of(std::string unit, std::uint64_t calls, double prompt,
                             double completion, random_source& random) {
    demand::unit_record out{std::move(unit), "llm", {}};
    for (std::uint64_t i = 0; i < calls; ++i) {
        out.calls.push_back({static_cast<std::uint32_t>(random.log_normal(prompt, 0.2)),
                             static_cast<std::uint32_t>(random.log_normal(completion, 0.5)), 0, 0});
    }
    return out;
}

/// A run of a class; what happens first says something of what follows.
demand::run_record draw_run(int in_class, random_source& random) {
    demand::run_record run{fmt::format("class{}", in_class), 0, {}};
    const std::uint64_t size = random.below(12) + 1;
    const auto part = static_cast<double>(size);
    const auto add = [&](std::string unit, std::uint64_t calls, double prompt, double completion) {
        run.units.push_back(calls_of(std::move(unit), calls, prompt, completion, random));
    };
    switch (in_class) {
    case 0:
        add("first", 1, 500 + 50 * part, 50 * part);
        run.units.push_back({"tool", "docker", {{0, 0, 0, random.log_normal(3, 0.5)}}});
        add("last", 1, 1000, 100 * part);
        break;
    case 1:
        add("plan", 1, 600, 20 * part);
        add("ask", size, 300, 20);
        add("check", size, 500, 150);
        break;
    case 2:
        for (std::uint64_t visit = 0; visit < size + 3; ++visit) {
            add("think", 1, 1500 + 60 * static_cast<double>(visit), 15);
        }
        break;
    default:
        add("generate", 2, 1500, 900);
        add("score", 20, 1500 + 100 * part, 100 + 40 * part);
        add("merge", 1, 2000, 900);
        add("score", 20, 1500 + 100 * part, 100 + 40 * part);
    }
    return run;
}

class bench_ranker final : public demand::app_ranker {
 public:
    explicit bench_ranker(policy& p) noexcept : policy_(&p) {}

    rank_value rank(const demand::application_view& a, time_point now) noexcept override {
        return policy_->rank_application(a, now);
    }
    time_point next_change(const demand::application_view& a, time_point now) noexcept override {
        return policy_->next_application_change(a, now);
    }
    void begun(const demand::application_view& a, time_point now) noexcept override {
        policy_->application_begun(a, now);
    }
    void ranked(app_handle, rank_value) noexcept override { ++given_out; }
    void ended(app_handle, time_point) noexcept override {}
    void due() noexcept override {}
    [[nodiscard]] time_point now() const noexcept override { return at; }

    time_point at{};
    std::uint64_t given_out = 0;

 private:
    policy* policy_;
};

/// A live application: the run that it will turn out to be, and how far it is.
struct live_application {
    app_handle handle;
    demand::run_record run;
    std::size_t unit = 0;
    bool in_unit = false;
};

class follower {
 public:
    follower(const demand_bench_options& options, policy& p, std::uint32_t live)
        : random_(options.seed), ranker_(p) {
        demand::demand_options model;
        model.window = options.window;
        for (int c = 0; c < class_count; ++c) {
            std::vector<demand::run_record> runs;
            for (std::size_t i = 0; i < options.window; ++i) {
                runs.push_back(draw_run(c, random_));
            }
            models_.add(*demand::demand_model::learn(fmt::format("class{}", c), runs, model));
        }
        demand::app_tracker_options tracked;
        tracked.models = &models_;
        tracker_ = std::make_unique<demand::app_tracker>(tracked);
        (void)tracker_->attach(ranker_);
        for (std::uint32_t i = 0; i < live; ++i) {
            live_.emplace_back();
            renew(live_.back());
        }
        work_out();
    }
    ~follower() { tracker_->detach(); }

    /// Lets something happen to an application. \return whether a unit has ended
    bool step() {
        live_application& a = live_[random_.below(live_.size())];
        ranker_.at += std::chrono::milliseconds(1);
        if (!a.in_unit) {
            const demand::unit_visit v = demand::visit_of(a.run.units[a.unit]);
            demand::unit_begin begin;
            begin.unit = a.run.units[a.unit].unit;
            begin.backend = a.run.units[a.unit].backend;
            begin.calls = v.calls;
            begin.prompt_tokens = v.prompt_tokens;
            timed(begun_, [&] { (void)tracker_->begin_unit(a.handle, begin); });
            a.in_unit = true;
            return false;
        }
        const demand::unit_visit v = demand::visit_of(a.run.units[a.unit]);
        demand::unit_end end;
        end.prompt_tokens = v.prompt_tokens;
        end.completion_tokens = v.completion_tokens;
        end.max_prompt_tokens = v.max_prompt_tokens;
        end.max_completion_tokens = v.max_completion_tokens;
        end.seconds = v.max_seconds;
        timed(ended_, [&] { (void)tracker_->end_unit(a.handle, end); });
        a.in_unit = false;
        if (++a.unit == a.run.units.size()) {
            timed(learned_, [&] { (void)tracker_->end(a.handle); });
            renew(a);
            work_out();
        }
        return true;
    }

    [[nodiscard]] demand_bench_row row() {
        demand_bench_row out;
        out.live_applications = static_cast<std::uint32_t>(live_.size());
        constexpr double half = 0.5;
        constexpr double most = 0.99;
        out.event_us_p50 = quantile(ended_, half);
        out.event_us_p99 = quantile(ended_, most);
        out.begin_us_p50 = quantile(begun_, half);
        out.begin_us_p99 = quantile(begun_, most);
        out.learn_us_p50 = quantile(learned_, half);
        out.learn_us_p99 = quantile(learned_, most);
        return out;
    }

 private:
    void renew(live_application& a) {
        a.run = draw_run(static_cast<int>(random_.below(class_count)), random_);
        a.unit = 0;
        demand::app_spec spec;
        spec.application = a.run.application;
        a.handle = *tracker_->begin(spec);
    }

    void work_out() {
        while (tracker_->refresh(ranker_.at) <= ranker_.at) {
        }
    }

    template <class Event>
    void timed(std::vector<double>& into, Event event) {
        const auto begin = std::chrono::steady_clock::now();
        event();
        work_out();
        const std::chrono::duration<double, std::micro> took =
            std::chrono::steady_clock::now() - begin;
        into.push_back(took.count());
    }

    random_source random_;
    bench_ranker ranker_;
    demand::model_set models_;
    std::unique_ptr<demand::app_tracker> tracker_;
    std::vector<live_application> live_;
    std::vector<double> ended_;
    std::vector<double> begun_;
    std::vector<double> learned_;
};

}  // namespace

std::vector<demand_bench_row> run_demand_bench(const demand_bench_options& options) {
    std::vector<demand_bench_row> rows;
    for (const std::uint32_t live : options.live) {
        const auto p = make_policy(options.policy);
        if (!p.ok()) {
            return {};
        }
        follower f(options, **p, live);
        for (std::uint64_t ended = 0; ended < options.events;) {
            ended += f.step() ? 1 : 0;
        }
        rows.push_back(f.row());
    }
    return rows;
}

}  // namespace sluice::bench
