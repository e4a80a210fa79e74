// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace sluice::detail {

// The constant parts of every report page.

/// The style sheet: light and dark, wide and narrow.
[[nodiscard]] std::string_view report_style() noexcept;
/// Draws `plots` of the page's data, and what the plots share.
[[nodiscard]] std::string_view report_script() noexcept;
/// The Gantt chart, which has zoom and so a life of its own.
[[nodiscard]] std::string_view report_gantt_script() noexcept;

}  // namespace sluice::detail
