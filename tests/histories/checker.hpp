// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/pipeline.hpp>

#include "agenda.hpp"
#include "blocks.hpp"
#include "history.hpp"

namespace sluice::histories {

/// One request as the outside sees it.
struct watched {
    const request_plan* plan = nullptr;
    std::uint32_t number = 0;
    std::uint32_t per_group = 0;
    request_handle handle;
    time_point submitted_at = never;
    time_point arrival = never;
    bool accepted = false;
    bool ended_early = false;  ///< `cancel` or `release` was called
    bool released = false;
    bool gone = false;  ///< its handle is stale
    bool wanted = false, loaded = false, has_outcome = false, busy = false, quiesced = false,
         stored = false;
    event_kind outcome = event_kind::failed;
    std::uint32_t k = 0;
    bool computing = false;
    bool computed = false;
    bool told_computed = false;  ///< `compute_done` was called
    bool bound = false;
    bool watching = false;  ///< the engine looks whether the handle is stale
    time_point bound_at = never;
    time_point loaded_at = never;
    bool claimed = false;
    std::vector<slot_id> pages;  ///< once known, group-major
    request_report report;
    bool has_report = false;

    [[nodiscard]] std::uint32_t blocks() const noexcept {
        return static_cast<std::uint32_t>(plan->ids.size());
    }
    [[nodiscard]] bool good() const noexcept {
        return has_outcome && outcome != event_kind::cancelled && outcome != event_kind::failed;
    }
};

/// One operation in flight at a seam, and the memory that it touches.
struct transfer {
    seam at = seam::get;
    std::uint64_t key = 0;
    time_point began{};
    const std::byte* l2 = nullptr;  ///< null: touches none
    bool writes_l2 = false;
    std::uint32_t group = 0;
    slot_id page = no_slot;  ///< no_slot: touches none
    bool writes_page = false;
    bool in_flight = false;
};

/// What is counted at the seams, to be compared with the pipeline's own counters.
struct seam_counts {
    std::uint64_t operations = 0;
    std::uint64_t bytes = 0;
    std::uint64_t ok = 0;
    std::uint64_t missed = 0, corrupt = 0, failed = 0;
};

/// The invariants that can be seen from outside. The seams and the engine of a history report to
/// it; the first violation stays.
class checker {
 public:
    checker(const history& h, const agenda& clock, l1_memory& l1);

    /// \name Violations
    ///@{
    void fail(std::string_view check, std::string what);
    [[nodiscard]] bool failed() const noexcept { return !check_.empty(); }
    [[nodiscard]] const std::string& check() const noexcept { return check_; }
    [[nodiscard]] const std::string& what() const noexcept { return what_; }
    ///@}

    [[nodiscard]] watched& request(std::uint64_t n) { return requests_[n]; }
    [[nodiscard]] std::vector<watched>& requests() noexcept { return requests_; }

    /// \name Memory
    ///@{
    void l2_is(std::span<std::byte> memory) noexcept;
    std::uint32_t begins(transfer t);
    void ends(std::uint32_t ticket, absl::StatusCode code, std::uint64_t bytes);
    [[nodiscard]] std::uint32_t in_flight() const noexcept { return in_flight_; }
    [[nodiscard]] const seam_counts& counts(seam s) const noexcept {
        return counts_[static_cast<std::size_t>(s)];
    }
    /// From now on the pages are the request's: nobody else may write them.
    void claim(watched& r);
    void unclaim(watched& r);
    /// Engine-owned: whose page it is, or null.
    [[nodiscard]] watched* page_owner(std::uint32_t group, slot_id page) const noexcept;
    void give_page(std::uint32_t group, slot_id page, watched* to) noexcept;
    /// Whether the first k blocks are in the request's pages, as the hit rules ask.
    void check_prefix(const watched& r, std::uint32_t k, const char* when);
    /// Fills what a prefill computes, and what follows it.
    void compute_pages(watched& r, std::uint32_t k);
    /// Whether that is still there.
    void check_computed(const watched& r, const char* when);
    ///@}

    /// \name The story of requests
    ///@{
    void saw(watched& r, const request_event& e);
    void check_report(const watched& r);
    void check_counters(const pipeline_stats& s, bool closed);
    /// Nothing is live: everything must be back.
    void check_all_back(const pipeline_stats& s);
    ///@}

    /// A block of the request must be loaded for a prefix of k. Not the library's own rule.
    [[nodiscard]] bool needed(std::size_t g, std::uint32_t i, std::uint32_t k) const;
    /// The longest prefix that can be had of what was stored at first.
    [[nodiscard]] std::uint32_t least_prefix(const watched& r) const;
    /// The most that may be loaded.
    [[nodiscard]] std::uint32_t most_blocks(const watched& r) const;
    /// Nothing is planted that could make a block be lost or late.
    [[nodiscard]] bool faultless() const noexcept { return faultless_; }

    [[nodiscard]] const history& of() const noexcept { return h_; }
    [[nodiscard]] time_point now() const noexcept { return clock_.now(); }
    [[nodiscard]] std::string dump() const;
    /// Says it, if the history is traced.
    void trace(const std::string& what) const;

 private:
    friend class order_checks;

    void check_overlap(const transfer& a, const transfer& b);
    void check_page_write(const transfer& t);
    void check_flight(const transfer& t);
    void check_limits(const transfer& t);
    [[nodiscard]] bool is_overdue(const transfer& t) const;

    struct claim_of {
        std::uint32_t request = 0;
        std::uint64_t key = 0;  ///< 0: nobody else's
    };

    const history& h_;
    const agenda& clock_;
    l1_memory& l1_;
    std::vector<watched> requests_;
    std::span<std::byte> l2_;
    std::uint64_t l2_stride_ = 0;
    std::vector<transfer> transfers_;
    std::vector<std::uint32_t> free_tickets_;
    std::uint32_t in_flight_ = 0;
    std::array<seam_counts, 7> counts_{};
    std::vector<std::vector<std::vector<claim_of>>> claims_;  // by group and page
    std::vector<std::vector<watched*>> page_owners_;
    bool faultless_ = false;
    std::string check_;
    std::string what_;
};

}  // namespace sluice::histories
