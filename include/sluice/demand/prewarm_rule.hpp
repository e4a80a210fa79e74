// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include <sluice/demand/need_forecast.hpp>

namespace sluice::demand {

/// What it costs to have something warm.
struct warm_cost {
    double seconds = 0;  ///< from the start of warming until it is warm
    /// What a use gains if it is warm, in seconds. If it is still warming then: the share of it
    /// that has been done by then.
    double saving = 0;
    double hold = 1;  ///< resource-seconds per second from the start of warming

    /// Whether all of it is finite and none negative.
    [[nodiscard]] bool valid() const noexcept;
};

/// How much waste a second of latency is worth.
struct prewarm_rule {
    /// K, in (0, 1): warming starts when the probability that the need comes before warming could
    /// finish reaches K. A resource-second of waste is priced at K / (1 - K) seconds of latency;
    /// that makes both the same rule (see `plan_prewarm`).
    double confidence = 0.3;
    /// b, in (0, 1]: a need later than this share of its forecast is overdue and given up.
    double give_up = 1;
    /// How long past that, or past the end of the records, it is held all the same: in units of the
    /// seconds that warming takes.
    double overdue_slack = 1;

    [[nodiscard]] double price() const noexcept { return confidence / (1 - confidence); }
    /// Whether all of it is in range.
    [[nodiscard]] bool valid() const noexcept;
};

/// When to warm, in seconds on the forecast's clock, and what that is expected to bring.
struct prewarm_plan {
    static constexpr double never = std::numeric_limits<double>::infinity();

    double start = never;
    double stop = never;  ///< when to give up if the need has not come by then
    double gain = 0;      ///< expected seconds of latency saved
    double waste = 0;     ///< expected resource-seconds held for nothing
    double value = 0;     ///< gain - price * waste

    [[nodiscard]] bool pays() const noexcept { return start < never; }
};

/// The next window of those that are worth most together. A window (s, e] has
///
///     value = E[gain] - price * E[waste]
///     gain  = saving * min(1, (T - s) / seconds)  for a need at T in (s, e]
///     waste = hold * max(0, T - s - seconds)      for a need at T in (s, e]
///             hold * (min(T, e) - s)              for one after e, and if there is none
///
/// with T conditioned on that nothing has happened until `elapsed`. Windows do not overlap: between
/// two groups of likely needs it may pay to cool down. If none is worth more than nothing, the
/// plan does not pay. Where the value is smooth in s its derivative is zero at the start: for hold
/// 1 and saving = seconds, P(need in (s, s + seconds] | none until s) = K.
///
/// The plan stays the best one while time passes without news, so one timer is enough. Neither
/// allocates nor fails; some 30 us for a full forecast.
///
/// \param elapsed  seconds since the forecast was made
/// \pre `rule.valid()` and `cost.valid()`
[[nodiscard]] prewarm_plan plan_prewarm(const need_forecast& forecast, double elapsed,
                                        const warm_cost& cost, const prewarm_rule& rule) noexcept;

/// The same for what is warm or warming already: the plan starts at `elapsed` if keeping it is
/// worth more than letting it go, and `stop` says until when. Else it is the plan for warming it
/// anew.
///
/// \param done    seconds of warming that are behind it; all of them if it is warm
/// \param unpaid  of those, the ones that nobody has had the use of: if it is let go they have been
///                wasted, if it is used they have not
[[nodiscard]] prewarm_plan plan_keep(const need_forecast& forecast, double elapsed, double done,
                                     double unpaid, const warm_cost& cost,
                                     const prewarm_rule& rule) noexcept;

/// The plan that starts at `start` and is never given up, for comparison with other rules.
[[nodiscard]] prewarm_plan evaluate_start(const need_forecast& forecast, double start,
                                          const warm_cost& cost, const prewarm_rule& rule) noexcept;

}  // namespace sluice::demand
