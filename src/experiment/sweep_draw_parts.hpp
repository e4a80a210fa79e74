// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sweep_draw.hpp"

namespace sluice::experiment {

// Each adds to `out` what a kind of figure shows where the panels are at `panel`.

void draw_lines(const figure_cells& cells, const figure_cells::place& panel, drawn_figure& out);
void draw_bars(const figure_cells& cells, const figure_cells::place& panel, drawn_figure& out);
void draw_distribution(const figure_cells& cells, const figure_cells::place& panel,
                       drawn_figure& out);
void draw_scatter(const figure_cells& cells, const figure_cells::place& panel, drawn_figure& out);
void draw_table(const figure_cells& cells, const figure_cells::place& panel, drawn_figure& out);

/// The figure's title and where the panels are.
[[nodiscard]] std::string titled(const figure_cells& cells, const figure_cells::place& panel);
/// No variant is better at the same place; false where there is only one, and of what is shown
/// against one.
[[nodiscard]] bool is_best(const figure_cells& cells, const figure_cells::place& p,
                           const shown_measure& shown);

}  // namespace sluice::experiment
