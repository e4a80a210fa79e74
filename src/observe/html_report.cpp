// SPDX-License-Identifier: Apache-2.0
#include <sluice/observe/html_report.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <sluice/observe/table.hpp>

namespace sluice {
namespace {

// Places in the page's palette.
constexpr int faint = 0;
constexpr int strong = 3;

bool is_baseline(const run_result& run) { return run.config != "pipelined"; }

series_look look_of(const run_result& run) {
    return is_baseline(run) ? series_look::dashed : series_look::solid;
}

const run_result* find_config(const experiment_result& e, std::string_view config) {
    const auto it = std::find_if(e.rows.begin(), e.rows.end(),
                                 [config](const run_result& r) { return r.config == config; });
    return it == e.rows.end() ? nullptr : &*it;
}

/// The pipelined row with the best mean TTFT; null if there is none.
const run_result* best_pipelined(const experiment_result& e) {
    const run_result* best = nullptr;
    double best_mean = 0;
    for (const run_result& run : e.rows) {
        const ttft_summary t = summarize_ttft(run);
        if (!is_baseline(run) && t.count > 0 && (best == nullptr || t.mean < best_mean)) {
            best = &run;
            best_mean = t.mean;
        }
    }
    return best;
}

std::string change(double from, double to) {
    return from > 0 ? fmt::format(" ({:+.0f} %)", (to / from - 1) * 100) : "";
}

std::vector<page_headline> headlines_of(const experiment_result& e) {
    std::vector<page_headline> out;
    const run_result* coupled = find_config(e, "coupled");
    const run_result* best = best_pipelined(e);
    if (coupled != nullptr && best != nullptr) {
        const double before = summarize_ttft(*coupled).mean;
        const double after = summarize_ttft(*best).mean;
        out.push_back(
            {fmt::format("{} \u2192 {}", format_seconds(before), format_seconds(after)),
             fmt::format("mean TTFT, coupled to {}{}", best->label(), change(before, after))});
    }
    std::optional<double> met;
    const run_result* keeper = nullptr;
    for (const run_result& run : e.rows) {
        const std::optional<double> share = attainment(run);
        if (!is_baseline(run) && share && (!met || *share > *met)) {
            met = share;
            keeper = &run;
        }
    }
    if (coupled != nullptr && keeper != nullptr) {
        out.push_back({fmt::format("{:.0f} % \u2192 {:.0f} %",
                                   attainment(*coupled).value_or(0) * 100, *met * 100),
                       fmt::format("deadlines met, coupled to {}", keeper->label())});
    }
    out.push_back(
        {fmt::format("{:.2f}", e.coupled_offered_load), "offered load of the coupled baseline"});
    std::uint64_t compared = 0;
    std::uint64_t bad = 0;
    for (const run_result& run : e.rows) {
        compared += run.logits_compared;
        bad += run.logits_mismatched;
    }
    if (compared > 0) {
        out.push_back({fmt::format("{} of {}", compared - bad, compared),
                       "logits equal to those of a recomputation"});
    }
    return out;
}

std::string note_of(const request_result& r) {
    std::string out =
        fmt::format("request {}: {}\n{} tokens, {} of {} blocks loaded", r.id,
                    format_seconds(r.ttft_s), r.prompt_tokens, r.loaded_blocks, r.total_blocks);
    if (r.deadline_multiple > 0) {
        out += fmt::format("\ndeadline {:g} x {}: {}", r.deadline_multiple, format_seconds(r.t0_s),
                           r.made_deadline() ? "met" : "missed");
    }
    return out;
}

page_plot bar_plot(const experiment_result& e, std::string title, std::string caption) {
    page_plot plot;
    plot.kind = plot_kind::bars;
    plot.title = std::move(title);
    plot.caption = std::move(caption);
    for (const run_result& run : e.rows) {
        plot.categories.push_back(run.label());
    }
    return plot;
}

page_plot ttft_bars(const experiment_result& e) {
    page_plot plot = bar_plot(e, "Time to first token", "Mean and 95th percentile, in seconds.");
    plot.series = {{"mean", {}, series_look::solid, true, strong},
                   {"p95", {}, series_look::solid, true, faint}};
    for (std::size_t i = 0; i < e.rows.size(); ++i) {
        const ttft_summary t = summarize_ttft(e.rows[i]);
        if (t.count > 0) {
            plot.series[0].points.push_back({static_cast<double>(i), t.mean, ""});
            plot.series[1].points.push_back({static_cast<double>(i), t.p95, ""});
        }
    }
    return plot;
}

page_plot attainment_bars(const experiment_result& e) {
    page_plot plot = bar_plot(e, "Deadlines met",
                              "A deadline is m times the request's TTFT alone on an idle system "
                              "under the coupled baseline.");
    plot.y.percent = true;
    const std::vector<std::pair<std::string, std::optional<double>>> kinds{
        {"all", std::nullopt}, {"2x", 2.0}, {"4x", 4.0}, {"8x", 8.0}};
    for (const auto& [name, multiple] : kinds) {
        plot_series series{name, {}};
        series.shown = !multiple;
        series.colour = multiple ? static_cast<int>(plot.series.size()) + strong : strong;
        for (std::size_t i = 0; i < e.rows.size(); ++i) {
            if (const std::optional<double> share = attainment(e.rows[i], multiple)) {
                series.points.push_back({static_cast<double>(i), *share, ""});
            }
        }
        plot.series.push_back(std::move(series));
    }
    return plot;
}

page_plot ttft_curves(const experiment_result& e) {
    page_plot plot;
    plot.kind = plot_kind::steps;
    plot.title = "Distribution of TTFT";
    plot.caption =
        "The share of requests that had their first token within a time. Further left "
        "is better; baselines are dashed.";
    plot.x = {"TTFT, s", true, false};
    plot.y = {"requests", false, true};
    for (const run_result& run : e.rows) {
        plot_series series{run.label(), {}, look_of(run), true};
        const std::vector<double> sorted = sorted_ttft(run);
        // Requests without a first token keep the curve below one.
        const double all = static_cast<double>(run.requests.size());
        for (std::size_t i = 0; i < sorted.size(); ++i) {
            series.points.push_back({sorted[i], static_cast<double>(i + 1) / all, ""});
        }
        plot.series.push_back(std::move(series));
    }
    return plot;
}

page_plot ttft_scatter(const experiment_result& e) {
    page_plot plot;
    plot.kind = plot_kind::scatter;
    plot.title = "TTFT of each request";
    plot.caption = "Over the time of its arrival. Choose what to compare.";
    plot.x = {"arrival, s", false, false};
    plot.y = {"TTFT, s", true, false};
    const run_result* best = best_pipelined(e);
    for (const run_result& run : e.rows) {
        plot_series series{run.label(), {}, look_of(run), false};
        series.shown = best == nullptr || &run == best || run.config == "coupled";
        for (const request_result& r : run.requests) {
            if (r.outcome == request_outcome::computed) {
                series.points.push_back({r.arrival_s, r.ttft_s, note_of(r)});
            }
        }
        plot.series.push_back(std::move(series));
    }
    return plot;
}

/// Joins the operations of a request that follow each other: blocks are too many and too short to
/// be drawn one by one. The first pass joins what touches; if that leaves too many, wider gaps are
/// closed.
std::vector<plot_bar> joined_bars(const run_result& run, gantt_series& chart) {
    constexpr std::size_t max_bars = 6000;
    std::map<std::string_view, std::uint32_t> lanes;
    std::vector<plot_bar> bars;
    for (const stage_span& s : run.spans) {
        const auto [it, fresh] =
            lanes.try_emplace(s.stage, static_cast<std::uint32_t>(chart.lanes.size()));
        if (fresh) {
            chart.lanes.push_back(s.stage);
        }
        bars.push_back({it->second, s.request, s.start_s, s.end_s, ""});
    }
    std::stable_sort(bars.begin(), bars.end(), [](const plot_bar& a, const plot_bar& b) {
        return a.lane != b.lane ? a.lane < b.lane : a.start < b.start;
    });
    double gap = std::max(1e-4, run.duration_s / 20'000);  // less than a pixel
    for (;;) {
        std::vector<plot_bar> joined;
        for (const plot_bar& b : bars) {
            if (!joined.empty() && joined.back().lane == b.lane && joined.back().owner == b.owner &&
                b.start <= joined.back().end + gap) {
                joined.back().end = std::max(joined.back().end, b.end);
            } else {
                joined.push_back(b);
            }
        }
        const bool stuck = gap > std::max(1.0, run.duration_s);
        bars = std::move(joined);
        if (bars.size() <= max_bars) {
            return bars;
        }
        if (stuck) {
            // Requests alternate: keep the beginning of each lane rather than nothing.
            std::stable_sort(bars.begin(), bars.end(), [](const plot_bar& a, const plot_bar& b) {
                return a.start < b.start;
            });
            bars.resize(max_bars);
            return bars;
        }
        gap *= 4;
    }
}

page_plot stage_chart(const experiment_result& e) {
    page_plot plot;
    plot.kind = plot_kind::gantt;
    plot.title = "Stages at work";
    plot.caption =
        "A bar is a request at a stage; a colour is one request, the same in every "
        "stage. Drag to move; point at a bar to follow its request.";
    plot.x = {"time, s", false, false};
    plot.window = 0.15;
    const run_result* best = best_pipelined(e);
    for (const run_result& run : e.rows) {
        if (run.spans.empty()) {
            continue;
        }
        gantt_series chart{run.label(), {}, {}};
        chart.bars = joined_bars(run, chart);
        if (&run == best) {
            plot.first_gantt = plot.gantts.size();
        }
        plot.gantts.push_back(std::move(chart));
    }
    return plot;
}

}  // namespace

report_page page_of(const experiment_result& experiment) {
    report_page page;
    page.title = experiment.title;
    page.headlines = headlines_of(experiment);
    page.facts = experiment.facts;
    page.notes = experiment.notes;
    page.tables.push_back(comparison_table(experiment));
    page.plots = {ttft_bars(experiment), attainment_bars(experiment), ttft_curves(experiment),
                  ttft_scatter(experiment)};
    page_plot stages = stage_chart(experiment);
    if (!stages.gantts.empty()) {
        page.plots.push_back(std::move(stages));
    }
    return page;
}

std::string html_report(const experiment_result& experiment) {
    return render_page(page_of(experiment));
}

}  // namespace sluice
