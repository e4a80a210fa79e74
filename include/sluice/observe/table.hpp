// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include <sluice/observe/report_page.hpp>
#include <sluice/observe/result.hpp>

namespace sluice {

struct table_options {
    bool bold = false;  ///< the best TTFTs and attainments in bold: for a terminal
};

/// The comparison of an experiment's rows, which the terminal and the page both show. Rows with
/// fewer requests than the fullest one are not called best.
[[nodiscard]] page_table comparison_table(const experiment_result& experiment);

/// A table as plain text, its columns aligned.
[[nodiscard]] std::string render_table(const page_table& table, table_options options = {});

/// The experiment for a terminal: facts, one line per row, notes. At most 120 columns wide for
/// usual names and figures.
[[nodiscard]] std::string render_table(const experiment_result& experiment,
                                       table_options options = {});

/// A number of bytes in at most five characters and a unit: "1.23 GB" (powers of ten).
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);
/// Seconds with three significant digits and a unit: "1.23 s", "45.6 ms", "789 us".
[[nodiscard]] std::string format_seconds(double seconds);
/// A count in at most five characters: "812", "12.3K", "4.56M".
[[nodiscard]] std::string format_count(std::uint64_t count);

}  // namespace sluice
