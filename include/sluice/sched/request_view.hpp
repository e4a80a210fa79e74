// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <sluice/base/clock.hpp>
#include <sluice/base/ids.hpp>
#include <sluice/base/rank.hpp>

namespace sluice {

/// Seconds of a request per stage. A block that several requests wait for counts once in each of
/// their predictions while nobody has started to move it, and not at all afterwards.
struct stage_seconds {
    double fetch = 0;  ///< including stages of the user's between fetch and copy
    double copy = 0;
    double compute = 0;

    [[nodiscard]] double load() const noexcept { return fetch + copy; }
    [[nodiscard]] double total() const noexcept { return fetch + copy + compute; }
    /// The same with nobody in the way: blocks are copied while others are fetched.
    [[nodiscard]] double alone() const noexcept { return (fetch > copy ? fetch : copy) + compute; }
};

/// What a policy may know of a request.
struct request_view {
    request_handle id;
    void* user = nullptr;  ///< as given at submit
    time_point arrival{};
    /// Of the first token; or of its application, if that is earlier.
    time_point deadline = never;
    std::int32_t priority = 0;  ///< the engine's own; smaller is more urgent
    std::uint32_t tenant = 0;
    double tenant_weight = 1;  ///< of that tenant, greater than 0
    double rank = 0;           ///< the engine's own, as submitted or set since; see its tier
    std::uint64_t prompt_tokens = 0;
    std::uint64_t load_tokens = 0;       ///< of those, planned to be loaded
    bool admitted = false;               ///< lookup is done; the times below are known
    bool prewarm = false;                ///< only loads, for requests to come
    rank_tier tier = rank_tier::normal;  ///< of `rank`
    app_handle application;              ///< that it is a part of; a default handle: of none
    rank_value application_rank;         ///< by `policy::rank_application`, if it is part of one
    stage_seconds predicted;             ///< at admission, or at the last change of the plan
    stage_seconds remaining;             ///< of that, what has not been done
    stage_seconds attained;              ///< service received so far
};

}  // namespace sluice
