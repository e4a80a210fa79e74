// SPDX-License-Identifier: Apache-2.0
#include "app_table.hpp"

#include <algorithm>
#include <utility>

namespace sluice::demand::detail {

std::uint32_t app_table::take() {
    if (free_.empty()) {
        free_.push_back(static_cast<std::uint32_t>(apps_.size()));
        apps_.emplace_back();
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    application& a = apps_[index];
    std::vector<unit_visit> visits = std::move(a.visits);  // keep the memory
    visits.clear();
    const std::uint32_t epoch = std::max(a.epoch + 1, 1U);
    a = application{};
    a.index = index;
    a.epoch = epoch;
    a.visits = std::move(visits);
    a.live = a.taken = true;
    return index;
}

void app_table::give_back(std::uint32_t index) {
    apps_[index].taken = false;
    free_.push_back(index);
}

std::uint32_t app_table::class_of(std::string_view name) {
    const auto at = names_.find(name);
    if (at != names_.end()) {
        return at->second;
    }
    if (classes_.size() >= max_classes) {
        return 0;
    }
    const auto index = static_cast<std::uint32_t>(classes_.size());
    classes_.emplace_back().name = name;
    names_.emplace(name, index);
    return index;
}

std::uint32_t app_table::unit_of(app_class& c, std::string_view name, std::string_view backend) {
    const auto at = std::ranges::find_if(
        c.units, [&](const app_class::unit& u) { return u.name == name && u.backend == backend; });
    if (at == c.units.end() && c.units.size() >= max_units) {
        return no_unit;
    }
    const auto index = static_cast<std::uint32_t>(at - c.units.begin());
    if (at == c.units.end()) {
        c.units.push_back(
            {std::string(name), std::string(backend), backend == "llm", backend == "env"});
    }
    return index;
}

}  // namespace sluice::demand::detail
