// SPDX-License-Identifier: Apache-2.0
// Applications at the planner: as at a pipeline, but that ranks are worked out in turns.
#include "planner_apps.hpp"

#include <algorithm>
#include <utility>

#include "planner_entry.hpp"

namespace sluice::split {

planner::~planner() {
    if (applications_ != nullptr) {
        options_.applications->detach();
    }
}

absl::Status planner::take_applications() {
    if (options_.applications == nullptr) {
        return absl::OkStatus();
    }
    auto ranks = std::make_unique<app_ranks>(*this);
    const absl::Status status = options_.applications->attach(*ranks);
    if (status.ok()) {
        applications_ = std::move(ranks);
    }
    return status;
}

void planner::rank_applications(time_point now) {
    if (applications_ != nullptr) {
        while (options_.applications->refresh(now) <= now) {
        }
    }
}

void planner::admit_to_application(const request_view& noted) {
    const app_handle a = noted.application;
    if (applications_ == nullptr || a == app_handle{} || !options_.policy->ranks_applications() ||
        !waits(noted.id)) {
        return;
    }
    const std::optional<rank_value> rank = options_.applications->rank_now(a, options_.now());
    if (rank) {
        applications_->requests[a].push_back(noted.id);
    }
    const std::scoped_lock lock(mutex_);
    if (entry* const e = find(noted.id); e != nullptr) {
        e->view.application = rank ? a : app_handle{};  // it ended before this one had begun
        e->view.application_rank = rank.value_or(rank_value{});
    }
}

// Also those that are ready, and wait for the engine to compute them.
void planner::application_ranked(app_handle a, rank_value rank) {
    const auto at = applications_->requests.find(a);
    if (at == applications_->requests.end()) {
        return;
    }
    std::erase_if(at->second, [&](request_handle h) {
        const std::scoped_lock lock(mutex_);
        entry* const e = find(h);
        if (e != nullptr) {
            e->view.application_rank = rank;
        }
        return e == nullptr;
    });
    for (const request_handle h : at->second) {
        rerank(h);
    }
}

}  // namespace sluice::split
