// SPDX-License-Identifier: Apache-2.0
// Models to and from files.
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "../json/located.hpp"
#include "../json/read_text.hpp"
#include "demand_model_impl.hpp"
#include "profile.hpp"

namespace sluice::demand {

absl::StatusOr<std::unique_ptr<demand_model>> demand_model::parse(std::string_view json,
                                                                  std::string_view source,
                                                                  const demand_options& options) {
    SLUICE_RETURN_IF_ERROR(check_options(options));
    absl::StatusOr<detail::profile> profile = detail::parse_profile(json, source);
    if (!profile.ok()) {
        return profile.status();
    }
    std::unique_ptr<demand_model> model(
        new demand_model(std::make_unique<impl>(profile->application, options)));
    for (const detail::unit_profile& unit : profile->units) {
        (void)model->add_unit(unit.facts.name, unit.facts.backend);
    }
    for (const auto& visits : detail::draw_runs(*profile, options.drawn_runs, options.seed)) {
        SLUICE_RETURN_IF_ERROR(model->add(std::span<const unit_visit>(visits)));
    }
    return model;
}

absl::StatusOr<std::unique_ptr<demand_model>> demand_model::read(const std::string& file,
                                                                 const demand_options& options) {
    const std::size_t longest = json::parse_limits().bytes;
    const absl::StatusOr<std::string> text = json::read_text(file, longest);
    return text.ok() ? parse(*text, file, options) : text.status();
}

std::string demand_model::to_json() const {
    return detail::profile_json(detail::profile_of(impl_->application, impl_->units, impl_->runs));
}

}  // namespace sluice::demand
