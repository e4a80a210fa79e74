// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/run_record.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/demand/unit_visit.hpp>

#include "../json/located.hpp"
#include "../json/object_reader.hpp"
#include "../json/read_text.hpp"

namespace sluice::demand {
namespace {

/// The keys of an object of which some may be passed over.
class loose_reader {
 public:
    explicit loose_reader(const json::value& object) : reader_(object), object_(object) {}

    json::object_reader& known() noexcept { return reader_; }
    /// The first fault of the keys that were asked for.
    [[nodiscard]] absl::Status finish() {
        for (const json::member& m : object_.members()) {
            (void)reader_.find(m.key);
        }
        return reader_.finish();
    }

 private:
    json::object_reader reader_;
    const json::value& object_;
};

std::string name_of(json::object_reader& object, std::string_view key) {
    std::string name = object.text(key);
    if (name.size() > max_name_bytes) {
        const json::value* held = object.find(key);
        object.keep(
            held->error(fmt::format("key '{}' is longer than {} bytes", key, max_name_bytes)));
    }
    return name;
}

absl::StatusOr<call_record> read_call(const json::value& text, bool llm) {
    loose_reader reader(text);
    json::object_reader& call = reader.known();
    call_record out;
    if (llm) {
        out.prompt_tokens =
            static_cast<std::uint32_t>(call.whole("prompt_tokens", 0, max_call_tokens));
        out.completion_tokens =
            static_cast<std::uint32_t>(call.whole("completion_tokens", 0, max_call_tokens));
        out.cached_tokens =
            static_cast<std::uint32_t>(call.whole_or("cached_tokens", 0, 0, out.prompt_tokens));
    } else {
        constexpr double ms = 1e-3;
        out.seconds = call.number("duration_ms", 0, max_call_seconds / ms) * ms;
    }
    SLUICE_RETURN_IF_ERROR(reader.finish());
    return out;
}

struct placed_unit {
    std::uint64_t place = 0;
    std::uint32_t line = 0;
    unit_record what;
};

absl::StatusOr<placed_unit> read_unit(const json::value& text, std::size_t number) {
    loose_reader reader(text);
    json::object_reader& unit = reader.known();
    placed_unit out;
    out.what.unit = name_of(unit, "unit");
    out.what.backend = name_of(unit, "backend");
    out.place = unit.whole_or("start_order", number, 0, max_units_per_run - 1);
    out.line = text.line();
    const json::value* calls = unit.array("calls");
    SLUICE_RETURN_IF_ERROR(reader.finish());
    if (calls->items().empty() || calls->items().size() > max_calls_per_unit) {
        return calls->error(fmt::format("key 'calls' of unit {} has {} calls, not 1 to {}",
                                        json::quote(out.what.unit), calls->items().size(),
                                        max_calls_per_unit));
    }
    for (const json::value& call : calls->items()) {
        absl::StatusOr<call_record> read = read_call(call, out.what.llm());
        if (!read.ok()) {
            return read.status();
        }
        out.what.calls.push_back(*read);
    }
    if (out.what.backend == "dnn") {
        // The models of a chain run one after another.
        call_record chain;
        for (const call_record& c : out.what.calls) {
            chain.seconds = std::min(chain.seconds + c.seconds, max_call_seconds);
        }
        out.what.calls.assign(1, chain);
    }
    return out;
}

absl::StatusOr<run_record> read_run(const json::value& text) {
    loose_reader reader(text);
    json::object_reader& run = reader.known();
    run_record out;
    out.application = name_of(run, "app");
    out.run = run.whole_or("run", 0, 0, std::uint64_t{1} << 53);
    const json::value* units = run.array("units");
    SLUICE_RETURN_IF_ERROR(reader.finish());
    if (units->items().empty() || units->items().size() > max_units_per_run) {
        return units->error(fmt::format("key 'units' has {} units, not 1 to {}",
                                        units->items().size(), max_units_per_run));
    }
    std::vector<placed_unit> placed;
    for (const json::value& unit : units->items()) {
        absl::StatusOr<placed_unit> read = read_unit(unit, placed.size());
        if (!read.ok()) {
            return read.status();
        }
        placed.push_back(*std::move(read));
    }
    std::stable_sort(placed.begin(), placed.end(),
                     [](const placed_unit& a, const placed_unit& b) { return a.place < b.place; });
    for (std::size_t i = 0; i < placed.size(); ++i) {
        if (i > 0 && placed[i].place == placed[i - 1].place) {
            return text.error(fmt::format("units {} and {} have the same 'start_order', {}",
                                          json::quote(out.units.back().unit),
                                          json::quote(placed[i].what.unit), placed[i].place));
        }
        out.units.push_back(std::move(placed[i].what));
    }
    return out;
}

absl::Status wrong(const run_record& run, std::string_view what) {
    return absl::InvalidArgumentError(
        fmt::format("run {} of {}: {}", run.run, json::quote(run.application), what));
}

}  // namespace

absl::StatusOr<std::vector<run_record>> parse_runs(std::string_view jsonl,
                                                   std::string_view source) {
    std::vector<run_record> out;
    json::parse_limits limits;
    for (std::uint32_t line = 1; !jsonl.empty(); ++line) {
        const std::size_t end = jsonl.find('\n');
        std::string_view text = jsonl.substr(0, end);
        jsonl.remove_prefix(end == std::string_view::npos ? jsonl.size() : end + 1);
        if (text.find_first_not_of(" \t\r") == std::string_view::npos) {
            continue;
        }
        limits.first_line = line;
        absl::StatusOr<json::value> parsed = json::parse(text, source, limits);
        if (!parsed.ok()) {
            return parsed.status();
        }
        absl::StatusOr<run_record> run = read_run(*parsed);
        if (!run.ok()) {
            return run.status();
        }
        out.push_back(*std::move(run));
    }
    if (out.empty()) {
        return absl::InvalidArgumentError(fmt::format("{}: no run", source));
    }
    return out;
}

absl::StatusOr<std::vector<run_record>> read_runs(const std::string& file) {
    constexpr std::size_t longest = std::size_t{256} << 20;
    const absl::StatusOr<std::string> text = json::read_text(file, longest);
    if (!text.ok()) {
        return text.status();
    }
    if (text->size() > longest) {
        return absl::InvalidArgumentError(fmt::format("{}: longer than {} bytes", file, longest));
    }
    return parse_runs(*text, file);
}

absl::Status check_run(const run_record& run) {
    if (run.units.empty() || run.units.size() > max_units_per_run) {
        return wrong(
            run, fmt::format("it has {} units, not 1 to {}", run.units.size(), max_units_per_run));
    }
    for (const unit_record& unit : run.units) {
        if (unit.unit.empty() || unit.unit.size() > max_name_bytes || unit.backend.empty() ||
            unit.backend.size() > max_name_bytes) {
            return wrong(
                run, fmt::format("names of units and backends have 1 to {} bytes", max_name_bytes));
        }
        if (unit.calls.empty() || unit.calls.size() > max_calls_per_unit) {
            return wrong(run,
                         fmt::format("unit {} has {} calls, not 1 to {}", json::quote(unit.unit),
                                     unit.calls.size(), max_calls_per_unit));
        }
        for (const call_record& call : unit.calls) {
            if (call.prompt_tokens > max_call_tokens || call.completion_tokens > max_call_tokens ||
                call.cached_tokens > call.prompt_tokens) {
                return wrong(run, fmt::format("a call of unit {} has more tokens than {}, or more "
                                              "cached ones than its prompt",
                                              json::quote(unit.unit), max_call_tokens));
            }
            if (!(call.seconds >= 0 && call.seconds <= max_call_seconds)) {
                return wrong(run,
                             fmt::format("a call of unit {} took {} s, not 0 to {}",
                                         json::quote(unit.unit), call.seconds, max_call_seconds));
            }
        }
    }
    return absl::OkStatus();
}

}  // namespace sluice::demand
