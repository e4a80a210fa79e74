// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <sluice/demand/app_tracker.hpp>
#include <sluice/demand/application_view.hpp>
#include <sluice/demand/prewarmer.hpp>

namespace sluice::demand {

/// What a unit of an application uses that is slow to start.
struct warm_target {
    warmable* what = nullptr;  ///< null: nothing
    warm_key key = 0;

    friend bool operator==(const warm_target&, const warm_target&) = default;
};

struct app_prewarmer_options {
    /// How many units ahead to look: 1 is the next one.
    std::uint32_t hops = 3;
    /// Units that follow more rarely are not looked at.
    double min_probability = 0.02;
    /// Real seconds for each second of the model's rates, until they have been measured.
    double pace = 1;
    /// Seconds between the end of a unit and the begin of the next, until they have been measured.
    double gap = 0.1;
    /// How much the newest measurement counts; 0: none does.
    double newest_share = 0.1;
};

/// Feeds a prewarmer from the events of applications: at each begin and end of a unit it asks the
/// model of the class for recorded runs that went on from there, and tells the prewarmer when each
/// of the units to come would begin.
///
/// The seconds of a language model's unit are those of the model's rates times the pace that units
/// of the same backend have had lately, so that a loaded engine is seen.
///
/// Use: `tracker.set_observer(&it)`.
///
/// \par Thread safety
/// On the loop where the tracker is refreshed: the pipeline's control loop. That is the prewarmer's
/// loop too.
///
/// \par Lifetime
/// The prewarmer outlives it. It is taken away from the tracker before it goes.
class app_prewarmer final : public app_observer {
 public:
    /// What is to be warm when `unit` begins in that application. Must not call the tracker.
    using lookup = std::function<warm_target(const app_state& a, const unit_facts& unit)>;

    app_prewarmer(prewarmer& to, lookup targets, const app_prewarmer_options& options = {});
    ~app_prewarmer() override;

    void changed(const app_state& a, time_point now) noexcept override;
    void ended(app_handle a, time_point now) noexcept override;

    /// Real seconds for each second of the model's, of units of that backend.
    [[nodiscard]] double pace(std::string_view backend) const noexcept;
    /// Seconds between two units.
    [[nodiscard]] double gap() const noexcept { return gap_; }
    /// Applications that it follows.
    [[nodiscard]] std::size_t applications() const noexcept { return live_.size(); }

 private:
    struct expected {
        unit_id unit = no_unit;
        warm_target target;
        need_handle need;
        bool still = false;  // likely after the latest event, too
    };
    struct application {
        std::size_t ended = 0;  // visits
        bool in_unit = false;
        time_point since;
        std::vector<expected> needs;
    };
    /// A unit in one recorded run ahead.
    struct coming {
        unit_id unit;
        std::uint32_t run;
        double seconds;
    };
    struct ahead {
        double weight;
        double end;  // seconds to where we look no further
    };

    void arrive(application& known, const app_state& a);
    void learn_pace(const application& known, const app_state& a);
    void learn_gap(const application& known, const app_state& a);
    void look_ahead(const app_state& a, time_point now);
    void expect(application& known, const app_state& a, unit_id unit);

    prewarmer& to_;
    lookup targets_;
    app_prewarmer_options options_;
    std::unordered_map<app_handle, application> live_;
    std::map<std::string, double, std::less<>> pace_;
    double gap_;

    // Of one event; kept for their memory.
    std::vector<run_ahead> runs_;
    std::vector<ahead> ahead_;
    std::vector<coming> coming_;
    std::vector<unit_id> units_;
    std::vector<need_sample> samples_;
};

}  // namespace sluice::demand
