// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <sluice/observe/report_page.hpp>
#include <sluice/observe/result.hpp>

namespace sluice {

/// The tables and plots of an experiment.
[[nodiscard]] report_page page_of(const experiment_result& experiment);

/// The experiment as one self-contained HTML page.
[[nodiscard]] std::string html_report(const experiment_result& experiment);

}  // namespace sluice
