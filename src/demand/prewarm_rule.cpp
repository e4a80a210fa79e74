// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/prewarm_rule.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>

namespace sluice::demand {
namespace {

using point = need_forecast::point;

double share_done(double seconds, const warm_cost& cost) noexcept {
    return seconds >= cost.seconds ? 1 : seconds / cost.seconds;
}

double weight_after(std::span<const point> points, double start) noexcept {
    double sum = 0;
    for (const point& p : points) {
        sum += p.seconds > start ? p.weight : 0;
    }
    return sum;
}

// The end beyond which a need is overdue, by the rule's b.
double give_up_at(std::span<const point> points, double share) noexcept {
    if (share >= 1) {
        return prewarm_plan::never;
    }
    double all = 0;
    for (const point& p : points) {
        all += p.used ? p.weight : 0;
    }
    double behind = 0;
    for (const point& p : points) {
        behind += p.used ? p.weight : 0;
        if (behind >= share * all * (1 - 1e-9)) {
            return p.seconds;
        }
    }
    return prewarm_plan::never;
}

struct window {
    double stop = prewarm_plan::never;
    double gain = 0;
    double waste = 0;
    double value = 0;
    double total = 0;  // with the windows after it
    bool found = false;
};

// The best row of windows from `elapsed` on, by dynamic programming from the last to the first:
// windows do not overlap, so that what they bring adds up.
class solver {
 public:
    solver(const need_forecast& forecast, double elapsed, const warm_cost& cost,
           const prewarm_rule& rule) noexcept
        : points_(forecast.points()),
          cost_(cost),
          price_(rule.price()),
          last_end_(give_up_at(points_, rule.give_up)) {
        // The value of a window is linear between these starts.
        starts_[count_++] = elapsed;
        for (const point& p : points_) {
            if (p.seconds > elapsed) {
                starts_[count_++] = p.seconds;
                if (p.used && p.seconds - cost.seconds > elapsed) {
                    starts_[count_++] = p.seconds - cost.seconds;
                }
            }
        }
        std::sort(starts_.begin(), starts_.begin() + static_cast<std::ptrdiff_t>(count_));
        future_[count_] = 0;
        for (std::size_t k = count_; k-- > 0;) {
            future_[k] = future_[k + 1];
            const window w = best_end(k, 0, 0);
            // Of equal ones the later: it may learn more before it starts.
            if (w.found && w.total > future_[k] + 1e-12 * std::abs(future_[k])) {
                future_[k] = w.total;
                first_ = k;
                first_window_ = w;
            }
        }
    }

    [[nodiscard]] double total() const noexcept { return future_[0]; }
    /// Of the first window, if `total` is not zero.
    [[nodiscard]] double start() const noexcept { return starts_[first_]; }
    [[nodiscard]] const window& first() const noexcept { return first_window_; }

    /// The best end for a start, in one pass: as the end moves from need to need, those behind it
    /// are settled and all that lie ahead of it hold for nothing until it.
    ///
    /// \param done, unpaid  as `plan_keep`
    [[nodiscard]] window best_end(std::size_t from, double done, double unpaid) const noexcept {
        const double start = starts_[from];
        const double unready = std::max(cost_.seconds - done, 0.0);
        window best;
        double left = weight_after(points_, start);
        double gain = 0;
        double settled = 0;  // waste of those behind
        std::size_t next = from;
        for (const point& p : points_) {
            if (p.seconds <= start) {
                continue;
            }
            const double held = p.seconds - start;
            left = std::max(left - p.weight, 0.0);
            if (!p.used) {
                settled += p.weight * held;
                continue;
            }
            if (p.seconds > last_end_) {
                break;
            }
            while (starts_[next] < p.seconds) {
                ++next;
            }
            gain += p.weight * cost_.saving * share_done(done + held, cost_);
            settled += p.weight * (std::max(held - unready, 0.0) - unpaid);
            const double waste = cost_.hold * (settled + left * held);
            const double value = gain - price_ * waste;
            const double total = value + future_[next];
            if (!best.found || total >= best.total) {
                best = {p.seconds, gain, waste, value, total, true};
            }
        }
        return best;
    }

    /// Records end where life may not: what is given up at the very last of them would be lost for
    /// a moment's delay. Between two groups of needs, at most half way.
    [[nodiscard]] prewarm_plan plan_of(double start, const window& w,
                                       const prewarm_rule& rule) const noexcept {
        const double slack = rule.overdue_slack * cost_.seconds;
        double stop = w.stop + slack;
        for (const point& p : points_) {
            if (p.used && p.seconds > w.stop) {
                stop = w.stop + std::min(slack, (p.seconds - w.stop) / 2);
                break;
            }
        }
        const double ahead = weight_after(points_, starts_[0]);
        return {start, stop, w.gain / ahead, w.waste / ahead, w.value / ahead};
    }

 private:
    static constexpr std::size_t most_starts = 1 + 3 * need_forecast::max_points_each;

    std::span<const point> points_;
    const warm_cost& cost_;
    double price_;
    double last_end_;
    std::array<double, most_starts> starts_;
    std::array<double, most_starts + 1> future_;  // of each start: with the best windows from it on
    std::size_t count_ = 0;
    std::size_t first_ = 0;
    window first_window_;
};

}  // namespace

bool warm_cost::valid() const noexcept {
    return seconds >= 0 && saving >= 0 && hold >= 0 && std::isfinite(seconds) &&
           std::isfinite(saving) && std::isfinite(hold);
}

bool prewarm_rule::valid() const noexcept {
    return confidence > 0 && confidence < 1 && give_up > 0 && give_up <= 1 && overdue_slack >= 0 &&
           std::isfinite(overdue_slack);
}

prewarm_plan plan_prewarm(const need_forecast& forecast, double elapsed, const warm_cost& cost,
                          const prewarm_rule& rule) noexcept {
    const solver best(forecast, elapsed, cost, rule);
    return best.total() > 0 ? best.plan_of(best.start(), best.first(), rule) : prewarm_plan{};
}

prewarm_plan plan_keep(const need_forecast& forecast, double elapsed, double done, double unpaid,
                       const warm_cost& cost, const prewarm_rule& rule) noexcept {
    const solver best(forecast, elapsed, cost, rule);
    const window keep = best.best_end(0, done, unpaid);
    if (keep.found && keep.total > 0 && keep.total > best.total() * (1 - 1e-9)) {
        return best.plan_of(elapsed, keep, rule);
    }
    return best.total() > 0 ? best.plan_of(best.start(), best.first(), rule) : prewarm_plan{};
}

prewarm_plan evaluate_start(const need_forecast& forecast, double start, const warm_cost& cost,
                            const prewarm_rule& rule) noexcept {
    prewarm_plan plan;
    plan.start = start;
    for (const point& p : forecast.points()) {
        if (p.seconds <= start) {
            continue;
        }
        const double held = p.seconds - start;
        plan.gain += p.used ? p.weight * cost.saving * share_done(held, cost) : 0;
        plan.waste += p.weight * cost.hold * (p.used ? std::max(held - cost.seconds, 0.0) : held);
    }
    plan.value = plan.gain - rule.price() * plan.waste;
    return plan;
}

}  // namespace sluice::demand
