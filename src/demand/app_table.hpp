// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/demand/app_tracker.hpp>

namespace sluice::demand::detail {

/// Service and path seconds.
struct spent {
    double service_s = 0;
    double path_s = 0;

    spent& operator+=(const spent& s) noexcept {
        service_s += s.service_s;
        path_s += s.path_s;
        return *this;
    }
};

/// A class of applications, as far as events name it.
struct app_class {
    struct unit {
        std::string name;
        std::string backend;
        bool llm = true;
        bool local = false;
    };

    std::string name;
    std::vector<unit> units;  ///< in the order in which they were named first

    /// \name Where `refresh` is
    ///@{
    demand_model* model = nullptr;
    std::vector<unit_id> model_units;  ///< what the model calls `units`
    ///@}
};

/// A live application.
struct application {
    std::uint32_t index = 0;
    std::uint32_t epoch = 0;
    std::uint32_t in_class = 0;
    bool live = false;        ///< takes events
    bool taken = false;       ///< the index is in use: also until its end is worked out
    bool in_unit = false;     ///< one is under way: the last visit, or
    bool in_local = false;    ///< `local_unit`, a wait that nobody schedules and models leave out
    bool dirty = false;       ///< in the queue
    bool progressed = false;  ///< in the queue for the next interval
    bool irregular = false;
    bool complete = false;
    bool told = false;    ///< the ranker knows of it
    bool ranked = false;  ///< `rank` is one
    std::uint32_t local_unit = 0;
    std::size_t unconditioned_at = 0;  ///< visits when that was counted last
    std::uint32_t tenant = 0;
    double tenant_weight = 1;
    void* user = nullptr;
    time_point arrival{};
    time_point deadline = never;
    time_point since{};  ///< the begin of the unit, or the end of the last
    double known_service_s = 0;
    double known_path_s = 0;
    spent before;  ///< in units that have ended
    unit_progress so_far;
    std::uint64_t prompt_tokens = 0;  ///< in units that have ended
    std::uint64_t completion_tokens = 0;
    std::vector<unit_visit> visits;  ///< their units are those of its class here
    rank_value rank = std::numeric_limits<double>::infinity();
};

/// Applications by handle, and the names of their classes. Under the tracker's lock.
class app_table {
 public:
    static constexpr std::uint32_t max_classes = 4096;
    static constexpr std::uint32_t max_units = 1024;

    [[nodiscard]] application* find(app_handle a) noexcept {
        return a.epoch != 0 && a.index < apps_.size() && apps_[a.index].epoch == a.epoch &&
                       apps_[a.index].live
                   ? &apps_[a.index]
                   : nullptr;
    }
    [[nodiscard]] application& at(std::uint32_t index) noexcept { return apps_[index]; }
    /// All whose end is not worked out yet.
    template <class Visit>
    void for_each(Visit visit) {
        for (application& a : apps_) {
            if (a.taken) {
                visit(a);
            }
        }
    }
    /// A fresh one.
    [[nodiscard]] std::uint32_t take();
    /// \pre its end is worked out
    void give_back(std::uint32_t index);

    /// The class of that name; class 0, which nothing is known of, once there are too many.
    [[nodiscard]] std::uint32_t class_of(std::string_view name);
    [[nodiscard]] app_class& in_class(std::uint32_t index) noexcept { return classes_[index]; }
    /// The unit of that name; `no_unit` once there are too many.
    [[nodiscard]] static std::uint32_t unit_of(app_class& c, std::string_view name,
                                               std::string_view backend);

 private:
    std::deque<application> apps_;
    std::vector<std::uint32_t> free_;
    std::deque<app_class> classes_{1};
    std::map<std::string, std::uint32_t, std::less<>> names_;
};

}  // namespace sluice::demand::detail
