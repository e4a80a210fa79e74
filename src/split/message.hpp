// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/kv/block_key.hpp>
#include <sluice/pipeline.hpp>

// What a scheduler's planner and the workers of its engine say to each other. The engine carries
// the bytes; whoever reads them trusts none.
namespace sluice::split {

/// Ranks are bits of a word.
inline constexpr std::uint32_t max_workers = 64;

[[nodiscard]] constexpr std::uint64_t bit_of(std::uint32_t rank) noexcept {
    return std::uint64_t{1} << rank;
}

/// What every worker is to do about one request.
struct order {
    enum class kind : std::uint8_t {
        submit,
        store,
        rank,
        bind,
        detach,
        cancel,
        compute_done,
        release
    };

    kind what = kind::submit;
    std::uint64_t request = 0;  ///< the planner's id, not 0
    /// \name submit
    ///@{
    std::vector<block_key> keys;  ///< store, too
    std::uint64_t prompt_tokens = 0;
    std::uint32_t pages_per_group = 0;
    std::uint32_t resident_blocks = 0;
    std::uint32_t max_load_blocks = 0;
    std::uint32_t min_query_tokens = 0;
    std::uint64_t load_timeout_ns = 0;
    std::uint32_t tenant = 0;  ///< tenants share where the bytes are moved
    double tenant_weight = 1;
    bool write_back = true;
    bool prewarm = false;
    ///@}
    std::vector<slot_id> pages;  ///< store, bind
    rank_value rank;             ///< submit, rank
    double seconds = 0;          ///< compute_done; 0: not known
};

/// The orders since the last plan.
struct plan {
    std::uint64_t planner = 0;   ///< a number of the planner's own, not 0
    std::uint64_t sequence = 0;  ///< of plans, from 1
    std::vector<order> orders;
};

/// What has happened to one request at some ranks. Facts of the same request and kind are one when
/// they are of different ranks; to say a fact twice changes nothing.
struct fact {
    enum class kind : std::uint8_t { looked_up, want_pages, outcome, quiesced, stored };

    kind what = kind::looked_up;
    std::uint64_t request = 0;
    std::uint64_t ranks = 0;   ///< where it happened, at least one
    std::uint32_t blocks = 0;  ///< of all but want_pages and quiesced; the smallest
    /// \name outcome
    ///@{
    event_kind end = event_kind::ready;  ///< the worst: ready, detached, cancelled, failed
    std::uint64_t busy = 0;              ///< the ranks at which pages are still touched
    std::uint8_t failed_rank = 0;        ///< failed: the smallest such rank, and what it says
    std::uint8_t code = 0;
    std::string text;
    double fetch_seconds = 0;  ///< at the rank that needed the most
    double copy_seconds = 0;
    std::uint64_t bytes_fetched = 0;
    ///@}
};

/// What has happened since the last report, at some ranks.
struct report {
    std::uint64_t planner = 0;
    std::vector<fact> facts;
};

/// Whether facts can be one: same request, same kind.
[[nodiscard]] bool same_event(const fact& a, const fact& b) noexcept;
/// Makes one fact of two. \pre same_event
void merge(fact& into, const fact& other);
/// Adds the facts of another report of the same planner.
void merge(report& into, const report& other);

[[nodiscard]] std::vector<std::byte> encode(const plan& p);
[[nodiscard]] std::vector<std::byte> encode(const report& r);

/// \return kInvalidArgument saying what is wrong.
[[nodiscard]] absl::StatusOr<plan> decode_plan(std::span<const std::byte> bytes);
[[nodiscard]] absl::StatusOr<report> decode_report(std::span<const std::byte> bytes);

}  // namespace sluice::split
