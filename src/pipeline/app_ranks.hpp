// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include <absl/status/status.h>

#include <sluice/coro/loop.hpp>
#include <sluice/demand/app_tracker.hpp>
#include <sluice/sched/policy.hpp>

#include "request.hpp"

namespace sluice::detail {

/// Ranks applications by the policy, and takes what changes to their requests.
///
/// Everything on the control loop, but for `due` and `now`.
class app_ranks final : demand::app_ranker {
 public:
    /// Called for each request whose application has another rank.
    using rerank_request = void (*)(void* context, request& r);

    app_ranks(demand::app_tracker& tracker, class policy& p, loop& home, void* context,
              rerank_request rerank);
    app_ranks(const app_ranks&) = delete;
    app_ranks& operator=(const app_ranks&) = delete;
    ~app_ranks();

    /// Before anything else.
    absl::Status attach();
    /// \return whether all is over: nothing is posted any more. Else call again in another turn.
    [[nodiscard]] bool detach() noexcept;

    /// `r` is about to be ranked for the first time: gives it the rank of its application.
    void admit(request& r, time_point now);
    /// `r` is not to be ranked again.
    void leave(request& r) noexcept;

 private:
    rank_value rank(const demand::application_view& a, time_point now) noexcept override;
    time_point next_change(const demand::application_view& a, time_point now) noexcept override;
    void begun(const demand::application_view& a, time_point now) noexcept override;
    void ranked(app_handle a, rank_value rank) noexcept override;
    void ended(app_handle a, time_point now) noexcept override;
    void due() noexcept override;
    [[nodiscard]] time_point now() const noexcept override { return home_.now(); }

    void refresh() noexcept;
    // The requests of an application: a ring.
    struct ring {
        std::uint32_t epoch = 0;
        request* first = nullptr;
    };
    struct link {
        request* next = nullptr;  // null: in no ring
        request* previous = nullptr;
    };
    [[nodiscard]] link& link_of(const request& r) noexcept { return links_[r.index]; }
    [[nodiscard]] ring* ring_of(app_handle a) noexcept {
        return a.index < rings_.size() && rings_[a.index].epoch == a.epoch ? &rings_[a.index]
                                                                           : nullptr;
    }

    demand::app_tracker& tracker_;
    class policy& policy_;
    loop& home_;
    void* const context_;
    const rerank_request rerank_;
    std::vector<ring> rings_;  // by the application's index
    std::vector<link> links_;  // by the request's index; only as long as needed
    bool attached_ = false;

    struct turn : work {
        explicit turn(app_ranks& o) noexcept
            : work([](work& w) noexcept {
                  auto& self = static_cast<turn&>(w);
                  self.posted.store(false, std::memory_order_relaxed);
                  self.owner.refresh();
              }),
              owner(o) {}
        app_ranks& owner;
        std::atomic<bool> posted{false};
    } turn_;
    struct tick : timer {
        explicit tick(app_ranks& o) noexcept
            : timer([](timer& t) noexcept { static_cast<tick&>(t).owner.refresh(); }), owner(o) {}
        app_ranks& owner;
    } tick_;
};

}  // namespace sluice::detail
