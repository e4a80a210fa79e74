// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/demand/app_tracker.hpp>
#include <sluice/pipeline.hpp>

#include "../cluster.hpp"
#include "../testbed.hpp"
#include "cold_starts.hpp"
#include "external_queue.hpp"
#include "prefixes.hpp"
#include "serve.hpp"

namespace sluice::experiment {

/// An engine on the production pipeline, with external backends beside it, and the clients of the
/// applications. It reports what it does to an application tracker, and does what the ranks say.
///
/// \par Thread safety
/// One thread at a time; time is virtual.
class app_server {
 public:
    /// How often the engine says what its sequences have got.
    static constexpr duration progress_interval = std::chrono::milliseconds(500);

    /// \param s  outlives it
    explicit app_server(const app_setting& s) noexcept : s_(s) {}
    ~app_server();
    app_server(const app_server&) = delete;
    app_server& operator=(const app_server&) = delete;

    /// Once, before `run`.
    [[nodiscard]] absl::Status assemble();
    /// Once.
    [[nodiscard]] absl::StatusOr<app_run> run();

 private:
    struct live_task {
        app_handle handle;
        std::uint32_t visit = 0;
        std::uint32_t open_calls = 0;  ///< of the visit
        demand::unit_progress had;     ///< of the visit, by calls that are computed or ended
        bool changed = false;          ///< since the last progress report
    };
    /// What a call has not had yet: it is released when both are there, in either order.
    struct live_call {
        request_handle handle;
        std::uint8_t parts = 2;  ///< its outcome, its last token
    };
    struct owned_timer : timer {
        owned_timer(app_server& o, std::uint32_t of, timer::function f) noexcept
            : timer(f), owner(o), which(of) {}
        ~owned_timer() { owner.home().disarm(*this); }
        owned_timer(const owned_timer&) = delete;
        owned_timer& operator=(const owned_timer&) = delete;
        app_server& owner;
        std::uint32_t which;
    };

    // Clients
    void arrive();
    void begin_visit(std::uint32_t task);
    void end_visit(std::uint32_t task);

    // The engine
    void come(std::uint32_t call);   // its client has sent it
    void enter(std::uint32_t call);  // nothing but its turn is missing
    void submit_waiting();
    void submit(std::uint32_t call);
    std::size_t collect();
    void take(const request_event& e);
    void part_ended(std::uint32_t call);
    void report_progress();

    // External backends
    void begin_external(std::uint32_t task);
    void end_external(std::uint32_t task);
    [[nodiscard]] rank_value external_rank(std::uint32_t task) const;

    [[nodiscard]] const app_visit& visit_of(std::uint32_t task) const noexcept {
        return s_.draw.tasks[task].visits[live_[task].visit];
    }
    [[nodiscard]] loop& home() noexcept { return bed_->home(); }
    void keep(const absl::Status& status);

    const app_setting& s_;
    std::unique_ptr<cluster> cluster_;
    std::unique_ptr<testbed> bed_;
    std::unique_ptr<demand::app_tracker> tracker_;
    std::unique_ptr<pipeline> pipe_;
    std::unique_ptr<app_prefixes> prefixes_;  // null: none is prewarmed
    bool by_application_ = false;
    bool external_by_deadline_ = false;
    std::array<std::unique_ptr<external_queue>, app_backends> queues_;
    std::unique_ptr<cold_starts> cold_;  // null: nothing starts cold
    std::vector<live_task> live_;        // by task
    std::vector<live_call> calls_;
    std::vector<std::unique_ptr<owned_timer>> gaps_;  // by call: the client's wait before it
    std::optional<owned_timer> arrival_timer_;
    std::optional<owned_timer> progress_timer_;
    std::vector<std::uint32_t> outside_;  // calls that wait for their turn, by arrival
    std::uint32_t inside_ = 0;            // calls that have been submitted and not computed
    std::size_t next_task_ = 0;
    std::size_t open_ = 0;
    double ttft_total_s_ = 0;
    std::vector<block_key> keys_;  // of the call being submitted
    absl::Status failure_;
    app_run out_;
};

}  // namespace sluice::experiment
