// SPDX-License-Identifier: Apache-2.0
#include "profile.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "../json/object_reader.hpp"
#include "named_input.hpp"

namespace sluice::experiment {
namespace {

constexpr double day_s = 86'400;
constexpr std::uint64_t most_bytes = std::uint64_t{1} << 50;
constexpr double most_rate = 1e15;
constexpr double least_factor = 1e-6;
constexpr double most_factor = 1000;
constexpr std::size_t most_events = 10'000;

/// Reads one object of a profile; its times are multiplied by the scale.
class part_reader : public json::object_reader {
 public:
    part_reader(const json::value& part, double scale) : object_reader(part), scale_(scale) {}

    double time_s(std::string_view key, double fallback = 0) {
        return scale_ * number_or(key, fallback, 0, day_s / scale_);
    }
    double needed_time_s(std::string_view key) { return scale_ * number(key, 0, day_s / scale_); }
    duration time(std::string_view key) { return nanoseconds(time_s(key)); }
    /// Of a run, not of the hardware: without the scale.
    duration unscaled_time(std::string_view key, double fallback) {
        return nanoseconds(number_or(key, fallback, 1e-6, day_s));
    }
    /// 0: no limit.
    double rate(std::string_view key) {
        const double nominal = number_or(key, 0, 0, most_rate);
        if (nominal > 0 && nominal / scale_ < 1) {
            keep(find(key)->error(
                fmt::format("key '{}' is {}, below a byte per second", key, nominal / scale_)));
        }
        return nominal / scale_;
    }
    std::uint32_t count(std::string_view key, std::uint32_t fallback, std::uint32_t highest) {
        return static_cast<std::uint32_t>(whole_or(key, fallback, 1, highest));
    }
    time_point instant(std::string_view key, time_point no_earlier) {
        const time_point at{nanoseconds(number(key, 0, 1e9))};
        if (ok() && at < no_earlier) {
            keep(find(key)->error(fmt::format("key '{}' is before that of the one above", key)));
        }
        return at;
    }

 private:
    static duration nanoseconds(double seconds) {
        return duration{static_cast<duration::rep>(std::llround(seconds * 1e9))};
    }

    double scale_;
};

/// Reads an array of changes over time.
template <class Change, class Read>
absl::Status read_changes(const json::value& list, std::string_view key, const Read& read,
                          std::vector<Change>& out) {
    if (!list.is_array()) {
        return list.error(fmt::format("key '{}' is {}, not an array", key, list.type_name()));
    }
    if (list.items().size() > most_events) {
        return list.error(fmt::format("key '{}' has more than {} elements", key, most_events));
    }
    for (const json::value& c : list.items()) {
        part_reader from(c, 1);
        Change change;
        change.at = from.instant("at_s", out.empty() ? time_point{} : out.back().at);
        read(from, change);
        if (absl::Status fault = from.finish(); !fault.ok()) {
            return fault;
        }
        out.push_back(change);
    }
    return absl::OkStatus();
}

absl::Status read_link(const json::value& part, double scale, sim::link_options& out) {
    part_reader from(part, scale);
    out.rate = from.rate("rate_bytes_per_s");
    out.per_operation = from.time("per_operation_s");
    out.soft_timeout = from.unscaled_time("soft_timeout_s", 0.25);
    if (const json::value* drift = from.find("drift")) {
        const auto read = [](part_reader& change, sim::rate_change& to) {
            to.factor = change.number("factor", least_factor, most_factor);
        };
        from.keep(read_changes(*drift, "drift", read, out.drift));
        if (out.rate == 0 && !out.drift.empty()) {
            from.keep(drift->error("key 'drift' needs a 'rate_bytes_per_s' above 0"));
        }
    }
    return from.finish();
}

absl::Status read_events(const json::value& list, sim::node_options& node) {
    constexpr std::array<std::string_view, 4> changes{"rate", "hang", "die", "recover"};
    bool down = false;
    const auto read = [&](part_reader& event, sim::node_event& to) {
        to.what = static_cast<sim::node_change>(event.choice("what", changes));
        const bool recovers = to.what == sim::node_change::recover;
        if (event.ok() && down != recovers) {
            event.keep(event.find("what")->error(
                down ? "key 'what': a node that hangs or is dead can only recover"
                     : "key 'what': a node recovers after it hung or died"));
        }
        down = to.what == sim::node_change::hang || to.what == sim::node_change::die;
        if (to.what == sim::node_change::rate) {
            to.factor = event.number("factor", least_factor, most_factor);
            if (event.ok() && node.rate == 0) {
                event.keep(event.find("what")->error(
                    "key 'what': the rate of a node that has no 'rate_bytes_per_s' cannot change"));
            }
        }
    };
    return read_changes(list, "events", read, node.events);
}

absl::Status read_nodes(const json::value& list, double scale,
                        std::vector<sim::node_options>& out) {
    constexpr std::size_t most = 1024;
    for (const json::value& n : list.items()) {
        part_reader from(n, scale);
        const std::uint32_t count = from.count("count", 1, most);
        sim::node_options node;
        node.rate = from.rate("rate_bytes_per_s");
        node.per_operation = from.time("per_operation_s");
        node.latency = from.time("latency_s");
        node.jitter = from.time("jitter_s");
        node.loss = from.number_or("loss", 0, 0, 1);
        if (const json::value* events = from.find("events")) {
            from.keep(read_events(*events, node));
        }
        if (from.ok() && out.size() + count > most) {
            from.keep(n.error(fmt::format("more than {} nodes", most)));
        }
        if (absl::Status fault = from.finish(); !fault.ok()) {
            return fault;
        }
        out.insert(out.end(), count, node);
    }
    return out.empty() ? list.error("key 'nodes' is empty") : absl::OkStatus();
}

absl::Status read_copy(const json::value& part, double scale, hardware_profile& out) {
    part_reader from(part, scale);
    out.copy.rate = from.rate("rate_bytes_per_s");
    out.copy.per_operation = from.time("per_operation_s");
    out.copy.per_descriptor = from.time("per_descriptor_s");
    out.copy.streams = from.count("streams", 1, 1024);
    out.pieces_per_block = from.count("pieces_per_block", 1, 65'536);
    return from.finish();
}

absl::Status read_window(const json::value& part, stage_limits& out) {
    json::object_reader from(part);
    out.operations = static_cast<std::uint32_t>(from.whole("operations", 1, 1'000'000));
    out.bytes = from.whole("bytes", 1, most_bytes);
    return from.finish();
}

absl::Status read_decode(const json::value& list, double scale,
                         std::vector<sim::decode_point>& out) {
    if (list.items().empty() || list.items().size() > most_events) {
        return list.error(fmt::format("key 'decode' has no points, or more than {}", most_events));
    }
    std::vector<sim::decode_point> points;
    for (const json::value& p : list.items()) {
        part_reader from(p, scale);
        const std::uint64_t least = points.empty() ? 1 : std::uint64_t{points.back().batch} + 1;
        sim::decode_point point;
        point.batch = static_cast<std::uint32_t>(from.whole("batch", least, 1'000'000));
        point.seconds = from.needed_time_s("step_s");
        if (absl::Status fault = from.finish(); !fault.ok()) {
            return fault;
        }
        points.push_back(point);
    }
    out = std::move(points);
    return absl::OkStatus();
}

absl::Status read_compute(const json::value& part, double scale, hardware_profile& out) {
    constexpr std::array<std::string_view, 2> kinds{"prefill", "iteration"};
    part_reader from(part, scale);
    out.compute = static_cast<compute_kind>(from.choice("kind", kinds));
    out.parameters = from.number("parameters", 1, 1e14);
    out.prefill.c0_s = from.needed_time_s("c0_s");
    out.prefill.c1_s = from.needed_time_s("c1_s");
    out.prefill.c2_s = from.time_s("c2_s");
    if (out.compute == compute_kind::iteration) {
        sim::iteration_options& to = out.iteration;
        to.prefill_fixed_s = out.prefill.c0_s;
        to.prefill_per_token_s = out.prefill.c1_s;
        to.prefill_pair_s = out.prefill.c2_s;
        if (const json::value* points = from.array("decode")) {
            from.keep(read_decode(*points, scale, to.decode));
        }
        to.max_batch = from.count("max_batch", to.decode.back().batch, to.decode.back().batch);
        to.chunk_tokens =
            static_cast<std::uint32_t>(from.whole_or("chunk_tokens", 0, 0, 100'000'000));
    }
    return from.finish();
}

absl::StatusOr<hardware_profile> read_profile(const json::value& file) {
    json::object_reader from(file);
    hardware_profile out;
    out.name = from.text("name");
    out.description = from.text_or("description", "");
    if (const json::value* reasons = from.find("reasons")) {
        for (const json::value& r : reasons->items()) {
            out.reasons.emplace_back(r.text().value_or(""));
        }
        if (!reasons->is_array() || std::count(out.reasons.begin(), out.reasons.end(), "") != 0) {
            from.keep(reasons->error("key 'reasons' is no array of texts"));
        }
    }
    out.model = from.text_or("model", "");
    const double scale = from.number_or("scale", 1, 1e-6, 1e6);
    out.block_tokens = static_cast<std::uint32_t>(from.whole("block_tokens", 1, 1'000'000));
    out.l1_bytes = from.whole("l1_bytes", 1, most_bytes);
    out.l2_bytes = from.whole("l2_bytes", 1, most_bytes);
    if (const json::value* part = from.object("link")) {
        from.keep(read_link(*part, scale, out.link));
    }
    if (const json::value* list = from.array("nodes")) {
        from.keep(read_nodes(*list, scale, out.nodes));
    }
    out.replicas = static_cast<std::uint32_t>(
        from.whole_or("replicas", 1, 1, std::clamp<std::uint64_t>(out.nodes.size(), 1, 8)));
    if (const json::value* part = from.object("copy")) {
        from.keep(read_copy(*part, scale, out));
    }
    if (const json::value* part = from.object("fetch_window")) {
        from.keep(read_window(*part, out.fetch_window));
    }
    if (const json::value* part = from.object("copy_window")) {
        from.keep(read_window(*part, out.copy_window));
    }
    if (const json::value* part = from.object("compute")) {
        from.keep(read_compute(*part, scale, out));
    }
    if (absl::Status fault = from.finish(); !fault.ok()) {
        return fault;
    }
    return out;
}

}  // namespace

absl::StatusOr<hardware_profile> hardware_profile::for_model(const kv_model& model) const {
    hardware_profile out = *this;
    const double more = model.parameters / parameters;
    out.parameters = model.parameters;
    out.prefill.c0_s *= more;
    out.prefill.c1_s *= more;
    out.prefill.c2_s *= more;
    out.iteration.prefill_fixed_s *= more;
    out.iteration.prefill_per_token_s *= more;
    out.iteration.prefill_pair_s *= more;
    for (sim::decode_point& p : out.iteration.decode) {
        p.seconds *= more;
    }
    const double room = static_cast<double>(l1_bytes) - 2 * (model.parameters - parameters);
    const std::uint64_t block = model.kv_bytes_per_token() * block_tokens;
    const auto fits = [&](std::string_view where, double bytes) {
        return bytes >= static_cast<double>(block)
                   ? absl::OkStatus()
                   : absl::InvalidArgumentError(fmt::format(
                         "profile {}: key '{}' leaves {} bytes for the KV of model {}, "
                         "whose blocks of {} tokens have {}",
                         name, where, std::max(bytes, 0.0), model.name, block_tokens, block));
    };
    if (absl::Status fault = fits("l1_bytes", room); !fault.ok()) {
        return fault;
    }
    if (absl::Status fault = fits("l2_bytes", static_cast<double>(l2_bytes)); !fault.ok()) {
        return fault;
    }
    out.l1_bytes = static_cast<std::uint64_t>(room);
    return out;
}

absl::StatusOr<hardware_profile> load_profile(std::string_view name_or_file) {
    const absl::StatusOr<json::value> file =
        read_named("profile", name_or_file, embedded_profiles());
    if (!file.ok()) {
        return file.status();
    }
    return read_profile(*file);
}

std::vector<std::string> builtin_profiles() { return names_of(embedded_profiles()); }

}  // namespace sluice::experiment
