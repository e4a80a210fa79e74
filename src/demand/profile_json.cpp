// SPDX-License-Identifier: Apache-2.0
// The file of a model; docs/demand.md describes it.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/base/status.hpp>

#include "../json/located.hpp"
#include "../json/object_reader.hpp"
#include "profile.hpp"

namespace sluice::demand::detail {
namespace {

constexpr std::uint64_t format_version = 1;
constexpr std::size_t max_units = 1024;
constexpr std::size_t max_way_units = std::size_t{1} << 20;  // in all ways

std::string in_quotes(const std::string& text) {
    using json = nlohmann::json;
    return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string number(double x) { return fmt::format("{:.5g}", x); }

std::string list_of(const quantile_table& table) {
    std::string out = "[";
    for (std::size_t i = 0; i < table.values.size(); ++i) {
        out += i == 0 ? "" : ", ";
        out += number(table.values[i]);
    }
    return out + "]";
}

/// The keys of a visit: its tables, and what of the last repeats.
std::string visit_json(const visit_profile& v) {
    std::string tables;
    std::string repeat;
    for (std::size_t q = 0; q < quantity_count; ++q) {
        if (!v.tables[q].values.empty()) {
            tables += fmt::format("{}\n        \"{}\": {}", tables.empty() ? "" : ",",
                                  quantity_names[q], list_of(v.tables[q]));
        }
        if (v.repeat[q] > 0) {
            repeat += fmt::format("{}\"{}\": {:.2f}", repeat.empty() ? "" : ", ", quantity_names[q],
                                  v.repeat[q]);
        }
    }
    if (!repeat.empty()) {
        tables += fmt::format("{}\n        \"repeat\": {{{}}}", tables.empty() ? "" : ",", repeat);
    }
    return "{" + tables + "}";
}

std::string way_json(const profile& p, const way_profile& w) {
    std::string units;
    for (std::size_t i = 0; i < w.units.size();) {
        std::size_t end = i + 1;
        while (end < w.units.size() && w.units[end] == w.units[i]) {
            ++end;
        }
        units += (i == 0 ? "" : ", ") + in_quotes(p.units[w.units[i]].facts.name);
        units += end - i > 1 ? fmt::format(", {}", end - i) : "";
        i = end;
    }
    return fmt::format("{{\"share\": {}, \"units\": [{}]}}", number(w.share), units);
}

template <class Range, class Text>
std::string lines_of(const Range& range, std::string_view indent, Text text) {
    std::string out;
    for (const auto& item : range) {
        out += fmt::format("{}\n{}{}", out.empty() ? "" : ",", indent, text(item));
    }
    return out;
}

/// Reads one model.
class profile_reader {
 public:
    explicit profile_reader(const json::value& file) : file_(file) {}

    absl::StatusOr<profile> read() {
        json::object_reader top(file_);
        (void)top.whole("sluice_demand_model", format_version, format_version);
        out_.application = top.text("application");
        out_.runs = top.whole_or("runs", 0, 0, std::uint64_t{1} << 53);
        const json::value* units = top.array("units");
        const json::value* ways = top.array("ways");
        const json::value* correlations = top.find("correlations");
        SLUICE_RETURN_IF_ERROR(top.finish());
        if (out_.application.size() > max_name_bytes) {
            return file_.error(
                fmt::format("key 'application' is longer than {} bytes", max_name_bytes));
        }
        SLUICE_RETURN_IF_ERROR(read_units(*units));
        SLUICE_RETURN_IF_ERROR(read_ways(*ways));
        SLUICE_RETURN_IF_ERROR(read_correlations(correlations));
        return std::move(out_);
    }

 private:
    absl::Status read_units(const json::value& units) {
        if (units.items().empty() || units.items().size() > max_units) {
            return units.error(
                fmt::format("{} units, not 1 to {}", units.items().size(), max_units));
        }
        for (const json::value& unit : units.items()) {
            json::object_reader reader(unit);
            unit_profile made;
            made.facts.name = reader.text("unit");
            made.facts.backend = reader.text("backend");
            const json::value* visits = reader.array("visits");
            SLUICE_RETURN_IF_ERROR(reader.finish());
            if (made.facts.name.size() > max_name_bytes ||
                made.facts.backend.size() > max_name_bytes) {
                return unit.error(fmt::format("a name of a unit or backend is longer than {} bytes",
                                              max_name_bytes));
            }
            if (find(made.facts.name) < out_.units.size()) {
                return unit.error(
                    fmt::format("unit {} stands twice", json::quote(made.facts.name)));
            }
            if (made.facts.backend == "env") {
                return unit.error(
                    fmt::format("unit {} is a local wait (backend 'env'), which is "
                                "no part of a model",
                                json::quote(made.facts.name)));
            }
            const std::size_t count = visits->items().size();
            if (count < 1 || count > profile::max_visits) {
                return visits->error(fmt::format("key 'visits' has {} visits, not 1 to {}", count,
                                                 profile::max_visits));
            }
            for (const json::value& visit : visits->items()) {
                absl::StatusOr<visit_profile> read = read_visit(visit);
                if (!read.ok()) {
                    return read.status();
                }
                made.visits.push_back(*std::move(read));
            }
            out_.units.push_back(std::move(made));
        }
        return absl::OkStatus();
    }

    static absl::StatusOr<visit_profile> read_visit(const json::value& visit) {
        json::object_reader reader(visit);
        visit_profile out;
        for (std::size_t q = 0; q < quantity_count; ++q) {
            if (reader.find(quantity_names[q]) != nullptr) {
                if (const json::value* table = reader.array(quantity_names[q])) {
                    reader.keep(read_table(*table, q, out.tables[q]));
                }
            }
        }
        if (reader.find("repeat") != nullptr) {
            if (const json::value* repeat = reader.object("repeat")) {
                json::object_reader parts(*repeat);
                for (std::size_t q = 0; q < quantity_count; ++q) {
                    out.repeat[q] = parts.number_or(quantity_names[q], 0, 0, 1);
                }
                reader.keep(parts.finish());
            }
        }
        SLUICE_RETURN_IF_ERROR(reader.finish());
        return out;
    }

    static absl::Status read_table(const json::value& table, std::size_t q, quantile_table& out) {
        const std::string name(quantity_names[q]);
        const std::size_t count = table.items().size();
        if (count < 1 || count > profile::max_values) {
            return table.error(fmt::format("key '{}' has {} values, not 1 to {}", name, count,
                                           profile::max_values));
        }
        for (std::size_t i = 0; i < count; ++i) {
            const json::value& item = table.items()[i];
            const auto what = static_cast<quantity>(q);
            SLUICE_RETURN_IF_ERROR(json::check_number(item, fmt::format("'{}'[{}]", name, i),
                                                      least_of(what), most_of(what)));
            out.values.push_back(*item.number());
            if (i > 0 && out.values[i] < out.values[i - 1]) {
                return item.error(
                    fmt::format("'{}'[{}] is {}, below the value before it; a "
                                "quantile table ascends",
                                name, i, out.values[i]));
            }
        }
        return absl::OkStatus();
    }

    absl::Status read_ways(const json::value& ways) {
        if (ways.items().empty() || ways.items().size() > profile::max_ways) {
            return ways.error(fmt::format("key 'ways' has {} ways, not 1 to {}",
                                          ways.items().size(), profile::max_ways));
        }
        for (const json::value& way : ways.items()) {
            json::object_reader reader(way);
            way_profile made;
            made.share = reader.number("share", json::above_zero, 1e6);
            const json::value* units = reader.array("units");
            SLUICE_RETURN_IF_ERROR(reader.finish());
            for (std::size_t i = 0; i < units->items().size(); ++i) {
                SLUICE_RETURN_IF_ERROR(read_step(units->items()[i], i, made.units));
            }
            if (made.units.empty() || made.units.size() > max_units_per_run) {
                return units->error(fmt::format("a way of {} units, not 1 to {}", made.units.size(),
                                                max_units_per_run));
            }
            way_units_ += made.units.size();
            if (way_units_ > max_way_units) {
                return units->error(fmt::format("more than {} units in all ways", max_way_units));
            }
            out_.ways.push_back(std::move(made));
        }
        return absl::OkStatus();
    }

    /// A name, or how often the unit before it comes in a row.
    absl::Status read_step(const json::value& step, std::size_t i, std::vector<unit_id>& units) {
        if (const std::optional<std::string_view> name = step.text()) {
            const std::size_t unit = find(*name);
            if (unit == out_.units.size()) {
                return step.error(fmt::format("'units'[{}] is {}, which is no unit of this file", i,
                                              json::quote(*name)));
            }
            units.push_back(static_cast<unit_id>(unit));
            return absl::OkStatus();
        }
        SLUICE_RETURN_IF_ERROR(
            json::check_whole(step, fmt::format("'units'[{}]", i), 1, max_units_per_run));
        if (units.empty() || units.size() > max_units_per_run) {
            return step.error(
                fmt::format("'units'[{}] repeats a unit, but none stands before it, "
                            "or the way is longer than {}",
                            i, max_units_per_run));
        }
        const unit_id last = units.back();
        units.insert(units.end(), static_cast<std::size_t>(*step.whole()) - 1, last);
        return absl::OkStatus();
    }

    absl::Status read_correlations(const json::value* correlations) {
        const json::value* ranks = nullptr;
        if (correlations != nullptr) {
            json::object_reader reader(*correlations);
            const json::value* columns = reader.array("columns");
            ranks = reader.array("ranks");
            SLUICE_RETURN_IF_ERROR(reader.finish());
            SLUICE_RETURN_IF_ERROR(read_columns(*columns));
        }
        const std::size_t n = out_.variables();
        out_.correlation.assign(n * n, 0);
        for (std::size_t i = 0; i < n; ++i) {
            out_.correlation[i * n + i] = 1;
        }
        if (ranks == nullptr) {
            return absl::OkStatus();
        }
        for (const json::value& entry : ranks->items()) {
            if (entry.items().size() != 3) {
                return entry.error("an entry of 'ranks' is two columns and a number, [1, 2, 0.5]");
            }
            const std::span<const json::value> e = entry.items();
            SLUICE_RETURN_IF_ERROR(json::check_whole(e[0], "the first column", 0, n - 1));
            SLUICE_RETURN_IF_ERROR(json::check_whole(e[1], "the second column", 0, n - 1));
            SLUICE_RETURN_IF_ERROR(json::check_number(e[2], "the correlation", -1, 1));
            const auto i = static_cast<std::size_t>(*e[0].whole());
            const auto j = static_cast<std::size_t>(*e[1].whole());
            if (i == j) {
                return entry.error("an entry of 'ranks' has a column with itself");
            }
            out_.correlation[i * n + j] = *e[2].number();
            out_.correlation[j * n + i] = *e[2].number();
        }
        return absl::OkStatus();
    }

    absl::Status read_columns(const json::value& columns) {
        if (columns.items().size() > profile::max_columns) {
            return columns.error(fmt::format("{} columns; {} are possible", columns.items().size(),
                                             profile::max_columns));
        }
        for (const json::value& column : columns.items()) {
            const std::span<const json::value> c = column.items();
            if (c.size() != 3 || !c[0].text() || !c[2].text()) {
                return column.error(
                    "a column is a unit, a visit from 1 on, and a key of that visit: "
                    "[\"unit\", 1, \"calls\"]");
            }
            const std::size_t unit = find(*c[0].text());
            if (unit == out_.units.size()) {
                return c[0].error(
                    fmt::format("{} is no unit of this file", json::quote(*c[0].text())));
            }
            const std::vector<visit_profile>& visits = out_.units[unit].visits;
            SLUICE_RETURN_IF_ERROR(json::check_whole(c[1], "the visit", 1, visits.size()));
            const auto visit = static_cast<std::uint32_t>(*c[1].whole() - 1);
            const auto* q = std::find(quantity_names.begin(), quantity_names.end(), *c[2].text());
            const auto number = static_cast<std::size_t>(q - quantity_names.begin());
            if (q == quantity_names.end() || visits[visit].tables[number].values.empty()) {
                return c[2].error(
                    fmt::format("{} is no table of that visit", json::quote(*c[2].text())));
            }
            out_.columns.push_back(
                {static_cast<unit_id>(unit), visit, static_cast<quantity>(number)});
        }
        return absl::OkStatus();
    }

    [[nodiscard]] std::size_t find(std::string_view unit) const {
        const auto it =
            std::find_if(out_.units.begin(), out_.units.end(),
                         [unit](const unit_profile& u) { return u.facts.name == unit; });
        return static_cast<std::size_t>(it - out_.units.begin());
    }

    const json::value& file_;
    profile out_;
    std::size_t way_units_ = 0;
};

}  // namespace

std::string profile_json(const profile& p) {
    std::vector<unit_profile> visited;  // others have left the window
    std::copy_if(p.units.begin(), p.units.end(), std::back_inserter(visited),
                 [](const unit_profile& u) { return !u.visits.empty(); });
    const std::string units = lines_of(visited, "    ", [](const unit_profile& u) {
        return fmt::format("{{\"unit\": {}, \"backend\": {}, \"visits\": [{}]}}",
                           in_quotes(u.facts.name), in_quotes(u.facts.backend),
                           lines_of(u.visits, "      ", visit_json));
    });
    const std::string ways =
        lines_of(p.ways, "    ", [&p](const way_profile& w) { return way_json(p, w); });
    const std::string columns = lines_of(p.columns, "      ", [&p](const profile_column& c) {
        return fmt::format("[{}, {}, \"{}\"]", in_quotes(p.units[c.unit].facts.name), c.visit + 1,
                           quantity_names[static_cast<std::size_t>(c.what)]);
    });
    const std::size_t n = p.variables();
    std::string ranks;
    for (std::size_t i = 0; i < n; ++i) {
        std::string line;
        for (std::size_t j = i + 1; j < n; ++j) {
            if (const double r = p.correlation[i * n + j]; std::abs(r) >= 0.005) {
                line += fmt::format("{}[{}, {}, {:.2f}]", line.empty() ? "" : ", ", i, j, r);
            }
        }
        if (!line.empty()) {
            ranks += fmt::format("{}\n      {}", ranks.empty() ? "" : ",", line);
        }
    }
    return fmt::format(
        "{{\n  \"sluice_demand_model\": {},\n  \"application\": {},\n  \"runs\": {},\n"
        "  \"units\": [{}],\n  \"ways\": [{}],\n  \"correlations\": {{\n"
        "    \"columns\": [{}],\n    \"ranks\": [{}]}}\n}}\n",
        format_version, in_quotes(p.application), p.runs, units, ways, columns, ranks);
}

absl::StatusOr<profile> parse_profile(std::string_view text, std::string_view source) {
    absl::StatusOr<json::value> parsed = json::parse(text, source);
    if (!parsed.ok()) {
        return parsed.status();
    }
    return profile_reader(*parsed).read();
}

}  // namespace sluice::demand::detail
