// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "sweep_figure.hpp"

namespace sluice::experiment {

/// A figure with its runs, addressed by places on its axes.
class figure_cells {
 public:
    using place = std::vector<std::size_t>;  ///< one index per axis

    figure_cells(const figure_spec& figure, std::span<const run_figures> runs)
        : figure_(figure), runs_(runs) {}

    [[nodiscard]] const figure_spec& figure() const noexcept { return figure_; }
    [[nodiscard]] const run_figures& at(const place& p) const noexcept {
        std::size_t index = 0;
        for (std::size_t a = 0; a < figure_.axes.size(); ++a) {
            index = index * figure_.axes[a].values.size() + p[a];
        }
        return runs_[figure_.runs[index]];
    }
    [[nodiscard]] estimate value(const place& p, const shown_measure& shown) const {
        return estimate_of(shown, at(p).seeds, reference(p, shown));
    }

    /// The places that differ from `from` in these axes only, the last one fastest.
    [[nodiscard]] std::vector<place> over(const std::vector<std::size_t>& axes,
                                          const place& from) const {
        std::vector<place> out{from};
        for (const std::size_t a : axes) {
            std::vector<place> wider;
            for (const place& p : out) {
                for (std::size_t i = 0; i < figure_.axes[a].values.size(); ++i) {
                    wider.push_back(p);
                    wider.back()[a] = i;
                }
            }
            out = std::move(wider);
        }
        return out;
    }
    [[nodiscard]] place origin() const { return place(figure_.axes.size(), 0); }

    /// The axes that are neither panels nor among these.
    [[nodiscard]] std::vector<std::size_t> others(const std::vector<std::size_t>& used) const {
        std::vector<std::size_t> out;
        for (std::size_t a = 0; a < figure_.axes.size(); ++a) {
            const auto in = [a](const std::vector<std::size_t>& list) {
                return std::find(list.begin(), list.end(), a) != list.end();
            };
            if (!in(used) && !in(figure_.panels)) {
                out.push_back(a);
            }
        }
        return out;
    }
    /// What names a place among those that differ in these axes: "pipelined sjf, hit ratio 0.5".
    [[nodiscard]] std::string phrase(const place& p, const std::vector<std::size_t>& axes) const {
        std::string out;
        for (const std::size_t a : axes) {
            if (figure_.axes[a].values.size() > 1 || axes.size() == 1) {
                out += (out.empty() ? "" : ", ") + figure_.axes[a].phrases[p[a]];
            }
        }
        return out;
    }
    [[nodiscard]] bool dashed(const place& p) const {
        for (std::size_t a = 0; a < figure_.axes.size(); ++a) {
            if (figure_.axes[a].dashed[p[a]]) {
                return true;
            }
        }
        return false;
    }

 private:
    [[nodiscard]] const std::vector<measured>* reference(const place& p,
                                                         const shown_measure& shown) const {
        for (std::size_t a = 0; a < figure_.axes.size() && !shown.against.empty(); ++a) {
            const sweep_axis& axis = figure_.axes[a];
            const auto it = std::find(axis.values.begin(), axis.values.end(), shown.against);
            if (axis.key == "variant" && it != axis.values.end()) {
                place from = p;
                from[a] = static_cast<std::size_t>(it - axis.values.begin());
                // Against itself it shows nothing.
                return from == p ? nullptr : &at(from).seeds;
            }
        }
        return nullptr;
    }

    const figure_spec& figure_;
    std::span<const run_figures> runs_;
};

}  // namespace sluice::experiment
