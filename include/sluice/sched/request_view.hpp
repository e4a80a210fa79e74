// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <sluice/base/clock.hpp>
#include <sluice/base/ids.hpp>

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

/// Groups of ranks: every request of an earlier tier goes before all of a later one.
enum class rank_tier : std::uint8_t {
    overdue = 0,  ///< has waited too long (the aging wrapper); goes even before L1 holders
    normal = 1,
    hopeless = 2,  ///< cannot make its deadline any more (late_last)
};

/// What a policy may know of a request.
struct request_view {
    request_handle id;
    void* user = nullptr;  ///< as given at submit
    time_point arrival{};
    time_point deadline = never;  ///< of the first token
    std::int32_t priority = 0;    ///< the engine's own; smaller is more urgent
    std::uint32_t tenant = 0;
    double tenant_weight = 1;  ///< of that tenant, greater than 0
    double rank = 0;           ///< the engine's own, as submitted or set since; see its tier
    std::uint64_t prompt_tokens = 0;
    std::uint64_t load_tokens = 0;       ///< of those, planned to be loaded
    bool admitted = false;               ///< lookup is done; the times below are known
    rank_tier tier = rank_tier::normal;  ///< of `rank`
    stage_seconds predicted;             ///< at admission, or at the last change of the plan
    stage_seconds remaining;             ///< of that, what has not been done
    stage_seconds attained;              ///< service received so far
};

}  // namespace sluice
