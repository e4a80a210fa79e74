// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/app_prewarmer.hpp>

#include <algorithm>
#include <utility>

namespace sluice::demand {
namespace {

constexpr double least_pace = 0.01;
constexpr double most_pace = 100;
constexpr double least_gap = 1e-3;  // what is due at once is still to come
constexpr double most_gap = 10;     // longer pauses are none of the application's business

}  // namespace

app_prewarmer::app_prewarmer(prewarmer& to, lookup targets, const app_prewarmer_options& options)
    : to_(to),
      targets_(std::move(targets)),
      options_(options),
      gap_(std::max(options.gap, least_gap)) {}

app_prewarmer::~app_prewarmer() {
    for (auto& [handle, known] : live_) {
        for (const expected& e : known.needs) {
            to_.withdraw(e.need);
        }
    }
}

double app_prewarmer::pace(std::string_view backend) const noexcept {
    const auto known = pace_.find(backend);
    return known == pace_.end() ? options_.pace : known->second;
}

void app_prewarmer::changed(const app_state& a, time_point now) noexcept {
    const auto [at, fresh] = live_.try_emplace(a.view.id);
    application& known = at->second;
    if (!fresh && known.ended == a.seen.ended.size() && known.in_unit == a.in_unit &&
        known.since == a.since) {
        return;  // progress, or another rank: no news about when
    }
    arrive(known, a);
    learn_pace(known, a);
    learn_gap(known, a);
    known.ended = a.seen.ended.size();
    known.in_unit = a.in_unit;
    known.since = a.since;

    for (expected& e : known.needs) {
        e.still = false;
    }
    if (a.model != nullptr) {
        look_ahead(a, now);
        for (const unit_id unit : units_) {
            expect(known, a, unit);
        }
    }
    std::erase_if(known.needs, [this](const expected& e) {
        if (!e.still) {
            to_.withdraw(e.need);
        }
        return !e.still;
    });
}

void app_prewarmer::ended(app_handle a, time_point) noexcept {
    const auto known = live_.find(a);
    if (known == live_.end()) {
        return;
    }
    for (const expected& e : known->second.needs) {
        to_.withdraw(e.need);
    }
    live_.erase(known);
}

// Units that have begun since the last event; some may have ended, too.
void app_prewarmer::arrive(application& known, const app_state& a) {
    const auto begun = [&](unit_id unit) {
        std::erase_if(known.needs, [&](const expected& e) {
            if (e.unit == unit) {
                to_.arrived(e.need);
            }
            return e.unit == unit;
        });
    };
    for (std::size_t i = known.ended + (known.in_unit ? 1 : 0); i < a.seen.ended.size(); ++i) {
        begun(a.seen.ended[i].unit);
    }
    const bool was_known = known.in_unit && known.ended == a.seen.ended.size();
    if (a.seen.current && !was_known) {
        begun(a.seen.current->unit);
    }
}

void app_prewarmer::learn_pace(const application& known, const app_state& a) {
    // If the next one is seen with it, it began at once: `since` is the end of this one, nearly.
    const bool just_ended = known.in_unit && a.seen.ended.size() == known.ended + 1;
    if (!just_ended || a.model == nullptr || options_.newest_share <= 0) {
        return;
    }
    const unit_visit& last = a.seen.ended.back();
    const double expected = path_seconds(last, a.model->rates());
    if (last.unit >= a.model->units().size() || expected < 1e-6) {
        return;
    }
    const double ratio =
        std::clamp(to_seconds(a.since - known.since) / expected, least_pace, most_pace);
    const std::string& backend = a.model->units()[last.unit].backend;
    const auto [at, fresh] = pace_.try_emplace(backend, ratio);
    if (!fresh) {
        at->second += options_.newest_share * (ratio - at->second);
    }
}

void app_prewarmer::learn_gap(const application& known, const app_state& a) {
    if (!known.in_unit && a.in_unit && known.ended > 0 && a.seen.ended.size() == known.ended) {
        const double gap = std::clamp(to_seconds(a.since - known.since), least_gap, most_gap);
        gap_ += std::max(options_.newest_share, 0.0) * (gap - gap_);
    }
}

// Fills `ahead_` with the runs that may follow, `coming_` with the first begin of each unit in each
// of them, and `units_` with the units that are likely enough.
void app_prewarmer::look_ahead(const app_state& a, time_point now) {
    ahead_.clear();
    coming_.clear();
    units_.clear();
    a.model->runs_ahead(a.seen, runs_);
    const std::span<const unit_facts> facts = a.model->units();
    std::vector<double> probability(facts.size(), 0);
    for (std::uint32_t r = 0; r < runs_.size(); ++r) {
        const run_ahead& run = runs_[r];
        const std::size_t first = coming_.size();
        double at = a.in_unit ? 0 : gap_;
        std::uint32_t hop = a.in_unit ? 0 : 1;
        for (const unit_visit& v : run.visits) {
            if (hop > options_.hops) {
                break;
            }
            const bool met =
                std::any_of(coming_.begin() + static_cast<std::ptrdiff_t>(first), coming_.end(),
                            [&v](const coming& c) { return c.unit == v.unit; });
            if (v.unit < facts.size()) {
                if (hop > 0 && !met) {
                    coming_.push_back({v.unit, r, at});
                    probability[v.unit] += run.weight;
                }
                at += path_seconds(v, a.model->rates()) * pace(facts[v.unit].backend);
            }
            if (hop == 0) {
                at = std::max(at - to_seconds(now - a.since), 0.0);
            }
            at += gap_;
            ++hop;
        }
        ahead_.push_back({run.weight, at});
    }
    for (unit_id unit = 0; unit < probability.size(); ++unit) {
        if (probability[unit] > 0 && probability[unit] >= options_.min_probability) {
            units_.push_back(unit);
        }
    }
}

void app_prewarmer::expect(application& known, const app_state& a, unit_id unit) {
    const warm_target target = targets_(a, a.model->units()[unit]);
    if (target.what == nullptr) {
        return;
    }
    samples_.clear();
    std::uint32_t next = 0;  // run
    const auto without = [&](std::uint32_t limit) {
        for (; next < limit; ++next) {
            samples_.push_back({ahead_[next].end, false, ahead_[next].weight});
        }
    };
    for (const coming& c : coming_) {
        if (c.unit == unit) {
            without(c.run);
            samples_.push_back({c.seconds, true, ahead_[c.run].weight});
            next = c.run + 1;
        }
    }
    without(static_cast<std::uint32_t>(ahead_.size()));
    const need_forecast forecast = need_forecast::of(samples_);
    for (expected& e : known.needs) {
        if (e.unit == unit && e.target == target) {
            e.still = to_.update(e.need, forecast).ok();
            return;
        }
    }
    if (const auto need = to_.expect(*target.what, target.key, forecast); need.ok()) {
        known.needs.push_back({unit, target, *need, true});
    }
}

}  // namespace sluice::demand
