// SPDX-License-Identifier: Apache-2.0
#include <sluice/observe/table.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace sluice {
namespace {

std::string percent(std::optional<double> share) {
    return share ? fmt::format("{:.0f}", *share * 100) : "-";
}

std::string logits_cell(const run_result& run) {
    if (run.logits_mismatched == 0) {
        return format_count(run.logits_compared);
    }
    return fmt::format("{} of {} bad", run.logits_mismatched, run.logits_compared);
}

/// One column of figures of which the smallest or the largest is the best.
struct figures {
    std::size_t column;
    bool smaller_is_better;
    std::vector<std::optional<double>> values;  // by row
};

void mark_best(const figures& f, const std::vector<bool>& comparable,
               std::vector<std::vector<page_cell>>& rows) {
    if (std::count(comparable.begin(), comparable.end(), true) < 2) {
        return;
    }
    std::optional<double> best;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (comparable[i] && f.values[i] &&
            (!best || (f.smaller_is_better ? *f.values[i] < *best : *f.values[i] > *best))) {
            best = f.values[i];
        }
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
        rows[i][f.column].best = comparable[i] && best && f.values[i] == best;
    }
}

std::size_t width_of(std::string_view text) {
    // Continuation bytes of UTF-8 take no column.
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u;
    }));
}

/// Names come from files and plugins: nothing of them may steer the terminal.
std::string printable(std::string_view text) {
    std::string out(text);
    std::replace_if(
        out.begin(), out.end(),
        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '\x7f'; }, ' ');
    return out;
}

std::string padded(std::string_view text, std::size_t width, bool left) {
    const std::size_t used = width_of(text);
    const std::string fill(width > used ? width - used : 0, ' ');
    return left ? std::string(text) + fill : fill + std::string(text);
}

void trim_end(std::string& line) {
    line.erase(line.find_last_not_of(' ') + 1);
    line += '\n';
}

}  // namespace

page_table comparison_table(const experiment_result& experiment) {
    // One unit for the whole column group, so that rows compare at a glance.
    double smallest = std::numeric_limits<double>::infinity();
    std::size_t fullest = 0;
    std::vector<ttft_summary> ttfts;
    for (const run_result& run : experiment.rows) {
        ttfts.push_back(summarize_ttft(run));
        if (ttfts.back().count > 0) {
            smallest = std::min(smallest, ttfts.back().mean);
        }
        fullest = std::max(fullest, run.requests.size());
    }
    const bool in_ms = smallest < 10;
    const auto time_cell = [in_ms](const ttft_summary& t, double seconds) {
        return t.count == 0 ? std::string("-")
                            : fmt::format("{:.{}f}", in_ms ? seconds * 1e3 : seconds,
                                          !in_ms || seconds < 0.01 ? 1 : 0);
    };

    page_table table;
    table.groups = {{"", {"configuration", "n"}},
                    {in_ms ? "TTFT, ms" : "TTFT, s", {"mean", "p50", "p95", "p99"}},
                    {"deadlines met, %", {"2x", "4x", "8x", "all"}},
                    {"busy, %", {"fetch", "copy", "comp."}},
                    {"", {"loaded", "tokens", "shared", "checked", "logits"}}};
    constexpr std::size_t first_ttft = 2;
    constexpr std::size_t first_slo = 6;
    std::vector<figures> compared;
    for (std::size_t i = 0; i < 4; ++i) {
        compared.push_back({first_ttft + i, true, {}});
    }
    for (std::size_t i = 0; i < 4; ++i) {
        compared.push_back({first_slo + i, false, {}});
    }
    std::vector<bool> comparable;
    for (std::size_t r = 0; r < experiment.rows.size(); ++r) {
        const run_result& run = experiment.rows[r];
        const ttft_summary& t = ttfts[r];
        const std::vector<double> times{t.mean, t.p50, t.p95, t.p99};
        const std::vector<std::optional<double>> slos{attainment(run, 2), attainment(run, 4),
                                                      attainment(run, 8), attainment(run)};
        std::vector<page_cell> row{{run.label()}, {std::to_string(run.requests.size())}};
        for (std::size_t i = 0; i < 4; ++i) {
            row.push_back({time_cell(t, times[i])});
            // A mean over the survivors is not comparable.
            const bool whole = t.count == run.requests.size() && t.count > 0;
            compared[i].values.push_back(whole ? std::optional(times[i]) : std::nullopt);
        }
        for (std::size_t i = 0; i < 4; ++i) {
            row.push_back({percent(slos[i])});
            compared[4 + i].values.push_back(slos[i]);
        }
        for (const std::string_view stage : {"fetch", "copy", "compute"}) {
            row.push_back({percent(run.busy(stage))});
        }
        row.push_back({format_bytes(run.bytes_loaded)});
        row.push_back({format_count(run.tokens_computed)});
        row.push_back({format_bytes(run.bytes_deduplicated)});
        row.push_back({format_count(run.blocks_verified)});
        row.push_back({logits_cell(run)});
        table.rows.push_back(std::move(row));
        comparable.push_back(run.requests.size() == fullest);
    }
    for (const figures& f : compared) {
        mark_best(f, comparable, table.rows);
    }
    table.caption =
        "n: requests. loaded: bytes from L3. tokens: computed. shared: bytes that one transfer "
        "moved for several requests. checked: blocks whose checksum was verified. logits: compared "
        "with those of a recomputation.";
    return table;
}

std::string render_table(const page_table& table, table_options options) {
    std::vector<std::string> names;
    std::vector<std::size_t> gap_before;  // groups stand apart
    for (const page_column_group& group : table.groups) {
        for (std::size_t i = 0; i < group.columns.size(); ++i) {
            gap_before.push_back(i == 0 ? 2 : 1);
        }
        names.insert(names.end(), group.columns.begin(), group.columns.end());
    }
    std::vector<std::size_t> widths;
    for (std::size_t c = 0; c < names.size(); ++c) {
        std::size_t width = width_of(names[c]);
        for (const auto& row : table.rows) {
            width = std::max(width, c < row.size() ? width_of(printable(row[c].text)) : 0);
        }
        widths.push_back(width);
    }
    std::string heads;
    std::string columns;
    std::size_t c = 0;
    for (const page_column_group& group : table.groups) {
        std::size_t span = group.columns.empty() ? 0 : group.columns.size() - 1;
        const std::size_t first = c;
        for (; c < first + group.columns.size(); ++c) {
            span += widths[c];
            columns += std::string(c == 0 ? 0 : gap_before[c], ' ');
            columns += padded(names[c], widths[c], c == 0);
        }
        if (first != 0 && !group.columns.empty()) {
            heads += std::string(gap_before[first], ' ');
        }
        // Centred over its columns; one that is too long may lean on free space to its right.
        const std::size_t used = width_of(group.name);
        const std::size_t before = span > used ? (span - used + 1) / 2 : 0;
        heads += padded(std::string(before, ' ') + group.name, span, true);
    }
    std::string out;
    if (heads.find_first_not_of(' ') != std::string::npos) {
        trim_end(heads);
        out += heads;
    }
    trim_end(columns);
    out += columns;
    for (const auto& row : table.rows) {
        std::string line;
        for (std::size_t i = 0; i < names.size() && i < row.size(); ++i) {
            const std::string cell = padded(printable(row[i].text), widths[i], i == 0);
            line += std::string(i == 0 ? 0 : gap_before[i], ' ');
            line += row[i].best && options.bold ? "\x1b[1m" + cell + "\x1b[0m" : cell;
        }
        trim_end(line);
        out += line;
    }
    return out;
}

std::string render_table(const experiment_result& experiment, table_options options) {
    std::string out = printable(experiment.title) + '\n';
    std::size_t widest = 0;
    for (const result_fact& fact : experiment.facts) {
        widest = std::max(widest, width_of(fact.name));
    }
    for (const result_fact& fact : experiment.facts) {
        out += fmt::format("  {}  {}\n", padded(printable(fact.name), widest, true),
                           printable(fact.value));
    }
    out += '\n' + render_table(comparison_table(experiment), options);
    for (const std::string& note : experiment.notes) {
        out += fmt::format("{}note: {}", &note == &experiment.notes.front() ? "\n" : "",
                           printable(note)) +
               '\n';
    }
    return out;
}

}  // namespace sluice
