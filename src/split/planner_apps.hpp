// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unordered_map>
#include <vector>

#include <sluice/demand/app_tracker.hpp>
#include <sluice/sched/policy.hpp>

#include "planner.hpp"

namespace sluice::split {

/// Ranks applications by the planner's policy. Everything in a turn, but for `due` and `now`.
class planner::app_ranks final : public demand::app_ranker {
 public:
    explicit app_ranks(planner& p) noexcept : planner_(p) {}

    rank_value rank(const demand::application_view& a, time_point now) noexcept override {
        return order().rank_application(a, now);
    }
    time_point next_change(const demand::application_view& a, time_point now) noexcept override {
        return order().next_application_change(a, now);
    }
    void begun(const demand::application_view& a, time_point now) noexcept override {
        order().application_begun(a, now);
    }
    void ranked(app_handle a, rank_value rank) noexcept override {
        planner_.application_ranked(a, rank);
    }
    void ended(app_handle a, time_point now) noexcept override {
        order().application_ended(a, now);
        requests.erase(a);  // they keep the rank that it had
    }
    void due() noexcept override {}  // there is a turn at every step of the engine
    [[nodiscard]] time_point now() const noexcept override { return planner_.options_.now(); }

    std::unordered_map<app_handle, std::vector<request_handle>> requests;

 private:
    [[nodiscard]] policy& order() noexcept { return *planner_.options_.policy; }

    planner& planner_;
};

}  // namespace sluice::split
