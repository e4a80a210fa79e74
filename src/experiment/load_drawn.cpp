// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <fmt/format.h>

#include "../json/object_reader.hpp"
#include "../workload/arrivals.hpp"
#include "../workload/random.hpp"
#include "lengths.hpp"
#include "load_parts.hpp"
#include "named_input.hpp"

namespace sluice::experiment {
namespace {

// Names of what is drawn; those of workload/ have others.
constexpr std::uint64_t gap_stream = 16;
constexpr std::uint64_t size_stream = 17;

/// From what requests are drawn.
struct sizes {
    std::string name;
    std::string description;
    lengths context;
    lengths query;
    lengths output;

    [[nodiscard]] std::string text() const {
        return fmt::format("context tokens: {}; query tokens: {}; output tokens: {}",
                           context.text(), query.text(), output.text());
    }
};

absl::StatusOr<sizes> read_sizes(const json::value& file, std::uint32_t block_tokens) {
    json::object_reader from(file);
    sizes out;
    out.name = from.text("name");
    out.description = from.text_or("description", "");
    const auto read = [&from](const json::value* what, double lowest, double usual_min,
                              lengths& into) {
        if (what == nullptr) {
            return;
        }
        absl::StatusOr<lengths> read = lengths::read(*what, lowest, usual_min);
        if (read.ok()) {
            into = std::move(*read);
        } else {
            from.keep(read.status());
        }
    };
    read(from.object("context_tokens"), 0, block_tokens, out.context);
    read(from.object("query_tokens"), 1, 1, out.query);
    out.output = lengths::constant(1);
    read(from.find("output_tokens"), 1, 1, out.output);
    if (absl::Status fault = from.finish(); !fault.ok()) {
        return fault;
    }
    return out;
}

}  // namespace

absl::StatusOr<load> drawn_load(const json::value& file, const load_options& options) {
    const absl::StatusOr<sizes> drawn = read_sizes(file, options.block_tokens);
    if (!drawn.ok()) {
        return drawn.status();
    }
    if (options.requests == 0) {
        return absl::InvalidArgumentError(
            fmt::format("requests is 0, but workload {} is drawn and has no end", drawn->name));
    }
    if (options.qps == 0) {
        return absl::InvalidArgumentError(
            fmt::format("qps is 0, but workload {} has no pace of its own", drawn->name));
    }
    load out;
    out.name = drawn->name;
    out.description = fmt::format("{}{}{}", drawn->description,
                                  drawn->description.empty() ? "" : " ", drawn->text());
    out.block_tokens = options.block_tokens;
    out.requests.reserve(options.requests);
    own_ids own;
    double at_s = 0;
    for (std::uint32_t i = 0; i < options.requests; ++i) {
        workload::random_source random(workload::draw(options.seed, size_stream, i));
        const std::uint64_t context_blocks =
            round_by_chance(drawn->context.draw(random) / options.block_tokens, random);
        const std::uint64_t query = round_by_chance(drawn->query.draw(random), random);
        load_request r;
        r.output_tokens =
            static_cast<std::uint32_t>(round_by_chance(drawn->output.draw(random), random));
        r.prompt_tokens = context_blocks * options.block_tokens + query;
        r.cached_blocks = cached_share(context_blocks, options.hit_ratio);
        r.deadline_multiple = workload::draw_deadline_multiple(options.seed, i);
        if (i != 0) {
            workload::random_source gap(workload::draw(options.seed, gap_stream, i));
            at_s += gap.exponential(1) / options.qps;
        }
        r.arrival_s = at_s;
        if (absl::Status fault = own.complete(r, out.block_tokens); !fault.ok()) {
            return fault;
        }
        out.requests.push_back(std::move(r));
    }
    return out;
}

std::string describe_builtin_workloads() {
    std::string out;
    for (const embedded_file& f : embedded_workloads()) {
        const absl::StatusOr<json::value> file = json::parse(f.text, f.name);
        const absl::StatusOr<sizes> drawn =
            file.ok() ? read_sizes(*file, load_options().block_tokens) : file.status();
        out += drawn.ok() ? fmt::format("{}: {} {}\n", f.name, drawn->description, drawn->text())
                          : fmt::format("{}: {}\n", f.name, drawn.status().ToString());
    }
    return out;
}

}  // namespace sluice::experiment
