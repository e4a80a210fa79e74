// SPDX-License-Identifier: Apache-2.0
#include "prewarm_curves_command.hpp"

#include <vector>

#include <sluice/base/status.hpp>

#include "experiment/apps/prewarm_curves.hpp"
#include "output.hpp"

namespace sluice::command {

absl::Status write_prewarm_curves(const std::string& runs, std::string_view backends,
                                  const std::string& json, bool quiet) {
    SLUICE_RETURN_IF_ERROR(check_writable(json));
    const absl::StatusOr<experiment::warm_records> records = experiment::read_warm_records(runs);
    SLUICE_RETURN_IF_ERROR(records.status());
    std::vector<experiment::curve_point> points;
    const auto asked = [backends](std::string_view backend) {
        return backends == "all" || backend.substr(0, backends.size()) == backends;
    };
    for (const experiment::curve_point& p : records->paper) {
        if (asked(p.backend)) {
            points.push_back(p);
        }
    }
    for (const experiment::warm_case& of : records->cases) {
        if (asked(of.backend)) {
            const auto more = experiment::prewarm_curves(of, records->paper);
            points.insert(points.end(), more.begin(), more.end());
        }
    }
    if (!json.empty()) {
        SLUICE_RETURN_IF_ERROR(write_text(json, experiment::curves_json(points)));
    }
    if (json == "-" || quiet) {
        return absl::OkStatus();
    }
    return write_text("-", experiment::curves_table(points));
}

}  // namespace sluice::command
