// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/base/status.hpp>
#include <sluice/observe/table.hpp>

#include "commands.hpp"
#include "fetch_file.hpp"
#include "node_reports.hpp"
#include "output.hpp"

namespace sluice::command {
namespace {

using json = nlohmann::ordered_json;

struct fetch_flags {
    fabric_options fabric;
    std::string name;
    std::string out;
    std::string verify;
    std::string json;
    bool health = false;
};

double rate_of(const fetch_file_result& r) {
    return r.seconds > 0 ? static_cast<double>(r.fetched_bytes) / r.seconds / 1e6 : 0;
}

std::string_view word_for(absl::StatusCode why) {
    switch (why) {
    case absl::StatusCode::kNotFound: return "missing";
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kDataLoss: return "damaged";
    default: return "no answer";
    }
}

/// What is wrong with it; empty if nothing is.
std::string faults(const fetch_file_result& r) {
    std::string out;
    if (r.bad_blocks() > 0) {
        out += fmt::format("of {} blocks {} are missing, {} damaged, {} without an answer:",
                           r.file.blocks(), r.missing, r.damaged, r.failed);
        for (const bad_block& b : r.bad) {
            out += fmt::format(" {} ({})", b.number, word_for(b.why));
        }
        out += r.bad.size() < r.bad_blocks() ? " ...\n" : "\n";
    }
    if (!r.checksum_right.value_or(true)) {
        out += "the file's checksum is wrong\n";
    }
    if (r.differs_at.has_value()) {
        out += fmt::format("it differs from the file to compare with at byte {}\n", *r.differs_at);
    }
    return out;
}

std::string fetch_text(const fetch_flags& flags, const fetch_file_result& r) {
    std::string out =
        fmt::format("{}: {} blocks, {} in {}, {:.0f} MB/s; a block p50 {}, p99 {}\n", flags.name,
                    r.file.blocks(), format_bytes(r.fetched_bytes), format_seconds(r.seconds),
                    rate_of(r), format_seconds(r.p50_s), format_seconds(r.p99_s));
    if (r.checksum_right.value_or(false)) {
        out += "the file's checksum is right\n";
    }
    if (!flags.verify.empty() && r.right()) {
        out += fmt::format("the same as {}\n", flags.verify);
    }
    return out;
}

std::string fetch_json(const fetch_flags& flags, const fetch_file_result& r,
                       std::span<const node_report> nodes) {
    json bad = json::array();
    for (const bad_block& b : r.bad) {
        bad.push_back({{"block", b.number}, {"why", word_for(b.why)}});
    }
    json out{{"name", flags.name},
             {"right", r.right()},
             {"bytes", r.file.bytes},
             {"blocks", r.file.blocks()},
             {"block_bytes", r.file.block_bytes},
             {"fetched_bytes", r.fetched_bytes},
             {"seconds", r.seconds},
             {"mb_s", rate_of(r)},
             {"p50_s", r.p50_s},
             {"p99_s", r.p99_s},
             {"missing", r.missing},
             {"damaged", r.damaged},
             {"failed", r.failed},
             {"bad", std::move(bad)}};
    out["checksum_right"] = r.checksum_right ? json(*r.checksum_right) : json(nullptr);
    out["differs_at"] = r.differs_at ? json(*r.differs_at) : json(nullptr);
    out["nodes"] = node_json(nodes);
    return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

absl::Status with_nodes(const absl::Status& status, const std::string& name,
                        std::span<const node_report> nodes) {
    // A file that is not there is no mistake in the command line.
    const auto code = status.code() == absl::StatusCode::kNotFound ? absl::StatusCode::kUnavailable
                                                                   : status.code();
    return absl::Status(code,
                        fmt::format("{}: {}{}", name, message_of(status), node_complaints(nodes)));
}

absl::Status fetch(const fetch_flags& flags) {
    if (flags.out == "-" && flags.json == "-") {
        return absl::InvalidArgumentError("one of --out and --json can be standard output");
    }
    SLUICE_RETURN_IF_ERROR(check_writable(flags.json));
    SLUICE_RETURN_IF_ERROR(check_writable(flags.out));
    fetch_file_options options;
    options.name = flags.name;
    options.checksums = flags.fabric.checksums;
    std::optional<byte_source> other;
    if (!flags.verify.empty()) {
        absl::StatusOr<byte_source> opened = byte_source::open(flags.verify);
        SLUICE_RETURN_IF_ERROR(opened.status());
        other.emplace(*std::move(opened));
        options.verify = &*other;
    }
    const auto client = fabric_client::open(flags.fabric);
    SLUICE_RETURN_IF_ERROR(client.status());
    SLUICE_RETURN_IF_ERROR((*client)->connect());
    absl::StatusOr<byte_sink> sink = byte_sink::open(flags.out);
    SLUICE_RETURN_IF_ERROR(sink.status());
    options.into = &*sink;
    const auto result = fetch_file(**client, options);
    const std::vector<node_report> nodes = (*client)->inspect();
    if (!result.ok()) {
        return with_nodes(result.status(), flags.name, nodes);
    }
    if (result->right()) {
        SLUICE_RETURN_IF_ERROR(sink->commit());
    }
    if (!flags.json.empty()) {
        SLUICE_RETURN_IF_ERROR(write_text(flags.json, fetch_json(flags, *result, nodes)));
    }
    if (flags.out == "-") {
        fmt::print(stderr, "{}", fetch_text(flags, *result));
    } else if (flags.json != "-") {
        SLUICE_RETURN_IF_ERROR(write_text("-", fetch_text(flags, *result)));
    }
    if (!result->right()) {
        std::string what = faults(*result);
        what.pop_back();
        return with_nodes(absl::DataLossError(what), flags.name, nodes);
    }
    return absl::OkStatus();
}

absl::Status health(const fetch_flags& flags) {
    SLUICE_RETURN_IF_ERROR(check_writable(flags.json));
    const auto client = fabric_client::open(flags.fabric);
    SLUICE_RETURN_IF_ERROR(client.status());
    const std::vector<node_report> nodes = (*client)->inspect();
    if (!flags.json.empty()) {
        const json out{{"nodes", node_json(nodes)}};
        SLUICE_RETURN_IF_ERROR(write_text(
            flags.json, out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n'));
    }
    if (flags.json != "-") {
        SLUICE_RETURN_IF_ERROR(write_text("-", node_text(nodes)));
    }
    const auto ready = std::count_if(nodes.begin(), nodes.end(), is_ready);
    if (ready < static_cast<std::ptrdiff_t>(nodes.size())) {
        return absl::UnavailableError(fmt::format("{} of {} nodes are ready", ready, nodes.size()));
    }
    return absl::OkStatus();
}

}  // namespace

void add_fetch(CLI::App& app, int& exit_code) {
    CLI::App* sub = app.add_subcommand(
        "fetch", "Fetch what 'sluice put' put, or list memory nodes and their health");
    auto flags = std::make_shared<fetch_flags>();
    CLI::Option* name = sub->add_option("name", flags->name, "Name under which the file was put");
    add_fabric_options(*sub, flags->fabric);
    CLI::Option* list = sub->add_flag("--health", flags->health, "List the nodes in place of that");
    sub->add_option("--out", flags->out,
                    "Write the bytes here; '-': to standard output; without it they are dropped")
        ->excludes(list);
    sub->add_option("--verify", flags->verify, "Compare with this file, byte for byte")
        ->excludes(list);
    sub->add_flag("!--no-checksums", flags->fabric.checksums,
                  "Verify neither the blocks' checksums nor the file's");
    sub->add_option("--json", flags->json, "Write the result as JSON; '-': to standard output");
    name->excludes(list);
    sub->callback([flags, &exit_code] {
        absl::Status status;
        if (flags->health) {
            status = health(*flags);
        } else if (flags->name.empty()) {
            status = absl::InvalidArgumentError("give the name of a file, or --health");
        } else {
            status = fetch(*flags);
        }
        exit_code = status.ok() ? exit_ok : complain("fetch", status);
    });
}

}  // namespace sluice::command
