// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <sluice/observe/report_page.hpp>

namespace sluice::experiment {

/// A table in Markdown, one line per row. Best cells are bold. The name of a group of columns goes
/// into their headings, or into the first one if there is only one such group.
[[nodiscard]] std::string markdown_table(const page_table& table);

}  // namespace sluice::experiment
