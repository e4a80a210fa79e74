// SPDX-License-Identifier: Apache-2.0
#include "prewarm_curves.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include <sluice/demand/need_forecast.hpp>
#include <sluice/demand/prewarm_rule.hpp>

namespace sluice::experiment {
namespace {

using demand::need_forecast;
using demand::need_sample;
using demand::prewarm_plan;
using demand::prewarm_rule;
using demand::warm_cost;

struct outcome {
    double saved = 0;
    double waste = 0;
};

// Averages over the needs, adds over the seconds, for one application.
template <class OutcomeOf>
outcome average(const warm_case& of, OutcomeOf outcome_of) {
    outcome sum;
    for (const double seconds : of.seconds) {
        for (std::size_t i = 0; i < of.needed_after.size(); ++i) {
            const outcome o = outcome_of(i, seconds);
            sum.saved += o.saved;
            sum.waste += o.waste;
        }
    }
    const double by = of.applications * static_cast<double>(of.needed_after.size());
    return {sum.saved / by, sum.waste / by};
}

outcome at_quantile(const warm_case& of, double k, bool credit) {
    const auto n = static_cast<double>(of.needed_after.size());
    const double mean = std::accumulate(of.needed_after.begin(), of.needed_after.end(), 0.0) / n;
    double square = 0;
    for (const double t : of.needed_after) {
        square += (t - mean) * (t - mean);
    }
    const double ready = mean + std::sqrt(square / n) * normal_quantile(k);
    return average(of, [&](std::size_t i, double seconds) -> outcome {
        const double early = of.needed_after[i] - ready;
        if (early > 0) {
            return {seconds, early};
        }
        return {credit ? std::max(seconds + early, 0.0) : 0, 0};
    });
}

struct window {
    double start;
    double stop;
};

constexpr window at_once{0, prewarm_plan::never};

// All that the prewarmer would open if the need did not come.
std::vector<window> windows_of(const need_forecast& forecast, double seconds,
                               const prewarm_rule& rule) {
    std::vector<window> out;
    for (double now = 0;;) {
        const prewarm_plan plan = plan_prewarm(forecast, now, {seconds, seconds, 1}, rule);
        if (!plan.pays()) {
            return out;
        }
        out.push_back({plan.start, plan.stop});
        now = plan.stop;
    }
}

outcome follow(std::span<const window> windows, double needed, double seconds) {
    outcome o;
    for (const window& w : windows) {
        if (needed <= w.start) {
            break;
        }
        if (needed <= w.stop) {
            const double held = needed - w.start;
            o.saved += std::min(held, seconds);
            o.waste += std::max(held - seconds, 0.0);
            break;
        }
        o.waste += w.stop - w.start;
    }
    return o;
}

class planner {
 public:
    explicit planner(const warm_case& of) : of_(of) {
        for (std::size_t i = 0; i < (of.drawn ? 1 : of.needed_after.size()); ++i) {
            forecasts_.push_back(from_others(i));
        }
    }

    [[nodiscard]] outcome at(double k) const {
        const prewarm_rule rule{.confidence = k};
        std::vector<window> windows;
        return average(of_, [&](std::size_t i, double seconds) {
            if (!of_.drawn || i == 0) {
                windows = windows_of(forecasts_[of_.drawn ? 0 : i], seconds, rule);
            }
            return follow(windows, of_.needed_after[i], seconds);
        });
    }

    // Two values of K, mixed: some applications by the one, some by the other.
    [[nodiscard]] double saved_at_waste(double waste) {
        if (hull_.empty()) {
            make_hull();
        }
        std::size_t i = 1;
        while (i + 1 < hull_.size() && hull_[i].waste < waste) {
            ++i;
        }
        const outcome& a = hull_[i - 1];
        const outcome& b = hull_[i];
        const double share = std::clamp((waste - a.waste) / (b.waste - a.waste), 0.0, 1.0);
        return a.saved + share * (b.saved - a.saved);
    }

 private:
    [[nodiscard]] double known(std::size_t i) const {
        return of_.known.empty() ? std::nan("") : of_.known[i];
    }

    [[nodiscard]] need_forecast from_others(std::size_t i) const {
        std::vector<std::pair<double, double>> others;  // how far, needed after
        for (std::size_t j = 0; j < of_.needed_after.size(); ++j) {
            const bool same_run =
                !of_.drawn && (of_.run.empty() ? i == j : of_.run[i] == of_.run[j]);
            if (!same_run && std::isnan(known(i)) == std::isnan(known(j))) {
                const double far = std::isnan(known(i)) ? 0 : std::abs(known(i) - known(j));
                others.emplace_back(far, of_.needed_after[j]);
            }
        }
        std::sort(others.begin(), others.end());
        const std::size_t n = others.size();
        const std::size_t nearest = std::min(n, std::max<std::size_t>(10, n / 10));
        std::vector<need_sample> samples;
        for (std::size_t j = 0; j < n; ++j) {
            // The nearest count for four fifths, all for the rest: few records miss the rare.
            const bool near = !std::isnan(known(i)) && j < nearest;
            const double more = 4 * static_cast<double>(n) / static_cast<double>(nearest);
            samples.push_back({others[j].second, true, near ? 1 + more : 1});
        }
        return need_forecast::of(samples);
    }

    void make_hull() {
        // Never; and at once and for good, which is where K goes to 0.
        std::vector<outcome> all{{0, 0}, average(of_, [&](std::size_t i, double seconds) {
                                     return follow({&at_once, 1}, of_.needed_after[i], seconds);
                                 })};
        for (int step = 0; step < 120; ++step) {
            const double price = std::pow(10.0, -3.0 + step / 20.0);
            all.push_back(at(price / (1 + price)));
        }
        std::sort(all.begin(), all.end(), [](const outcome& a, const outcome& b) {
            return a.waste != b.waste ? a.waste < b.waste : a.saved < b.saved;
        });
        for (const outcome& next : all) {
            while (!hull_.empty() && next.saved >= hull_.back().saved &&
                   next.waste <= hull_.back().waste) {
                hull_.pop_back();
            }
            while (hull_.size() >= 2) {
                const outcome& a = hull_[hull_.size() - 2];
                const outcome& b = hull_.back();
                if ((b.saved - a.saved) * (next.waste - a.waste) >
                    (next.saved - a.saved) * (b.waste - a.waste)) {
                    break;
                }
                hull_.pop_back();
            }
            if (hull_.empty() || next.saved > hull_.back().saved) {
                hull_.push_back(next);
            }
        }
        if (hull_.size() < 2) {
            hull_.push_back({hull_[0].saved, hull_[0].waste + 1});
        }
    }

    const warm_case& of_;
    std::vector<need_forecast> forecasts_;
    std::vector<outcome> hull_;
};

}  // namespace

double normal_quantile(double share) {
    double low = -10;
    double high = 10;
    for (int i = 0; i < 60; ++i) {
        const double middle = (low + high) / 2;
        (0.5 * std::erfc(-middle / std::sqrt(2.0)) < share ? low : high) = middle;
    }
    return low;
}

std::vector<curve_point> prewarm_curves(const warm_case& of, std::span<const curve_point> paper) {
    std::vector<curve_point> points;
    planner plans(of);
    for (int tenth = 1; tenth <= 9; ++tenth) {
        const double k = tenth / 10.0;
        const auto add = [&](std::string_view rule, const outcome& o) {
            points.push_back({of.backend, std::string(rule), k, o.saved, o.waste});
        };
        const outcome hits = at_quantile(of, k, false);
        add("hits_only", hits);
        add("credit", at_quantile(of, k, true));
        add("sluice", plans.at(k));
        add("sluice_equal_waste", {plans.saved_at_waste(hits.waste), hits.waste});
        for (const curve_point& p : paper) {
            if (p.backend == of.backend && std::abs(p.k - k) < 0.01) {
                add("sluice_paper_waste", {plans.saved_at_waste(p.waste_s), p.waste_s});
            }
        }
    }
    return points;
}

std::string curves_json(std::span<const curve_point> points) {
    std::string text = "{\"curves\":[";
    for (const curve_point& p : points) {
        text += fmt::format(
            "{}\n{{\"backend\":\"{}\",\"rule\":\"{}\",\"k\":{:.1f},\"latency_saved_s\":{:.4f},"
            "\"waste_s\":{:.4f}}}",
            &p == points.data() ? "" : ",", p.backend, p.rule, p.k, p.latency_saved_s, p.waste_s);
    }
    return text + "\n]}\n";
}

std::string curves_table(std::span<const curve_point> points) {
    std::vector<std::string_view> backends;
    std::vector<std::string_view> rules;
    std::vector<double> ks;
    const auto note = [](auto& known, auto what) {
        if (std::find(known.begin(), known.end(), what) == known.end()) {
            known.push_back(what);
        }
    };
    for (const curve_point& p : points) {
        note(backends, std::string_view(p.backend));
        note(rules, std::string_view(p.rule));
        note(ks, p.k);
    }
    std::string text;
    for (const std::string_view backend : backends) {
        text += fmt::format(
            "{}{}: seconds saved / wasted per application\n\n<!-- table {} 1 -->\n| K |",
            text.empty() ? "" : "\n", backend, backend);
        for (const std::string_view rule : rules) {
            text += fmt::format(" {} |", rule);
        }
        text += "\n|---|";
        for (std::size_t i = 0; i < rules.size(); ++i) {
            text += "---|";
        }
        text += '\n';
        for (const double k : ks) {
            text += fmt::format("| {:.1f} |", k);
            for (const std::string_view rule : rules) {
                const auto found =
                    std::find_if(points.begin(), points.end(), [&](const curve_point& p) {
                        return p.backend == backend && p.rule == rule && p.k == k;
                    });
                text += found == points.end() ? std::string(" - |")
                                              : fmt::format(" {:.2f} / {:.2f} |",
                                                            found->latency_saved_s, found->waste_s);
            }
            text += '\n';
        }
    }
    return text;
}

}  // namespace sluice::experiment
