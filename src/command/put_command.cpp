// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/base/status.hpp>
#include <sluice/observe/table.hpp>

#include "commands.hpp"
#include "node_reports.hpp"
#include "output.hpp"
#include "put_file.hpp"
#include "validators.hpp"

namespace sluice::command {
namespace {

struct put_flags {
    fabric_options fabric;
    put_file_options file;
    std::string path;
    std::string json;
};

std::string put_text(const put_flags& flags, const put_file_result& result,
                     std::span<const node_report> nodes) {
    const auto bytes = static_cast<double>(result.file.bytes);
    std::string out =
        fmt::format("{}: {} blocks, {} in {}, {:.0f} MB/s", flags.file.name, result.file.blocks(),
                    format_bytes(result.file.bytes), format_seconds(result.seconds),
                    result.seconds > 0 ? bytes / result.seconds / 1e6 : 0);
    if (result.already_there > 0) {
        out += fmt::format("; {} blocks were there already", result.already_there);
    }
    return out + '\n' + node_text(nodes);
}

std::string put_json(const put_flags& flags, const put_file_result& result,
                     std::span<const node_report> nodes) {
    const auto bytes = static_cast<double>(result.file.bytes);
    const nlohmann::ordered_json out{
        {"name", flags.file.name},
        {"bytes", result.file.bytes},
        {"blocks", result.file.blocks()},
        {"block_bytes", result.file.block_bytes},
        {"checksum", fmt::format("{:016x}", result.file.checksum)},
        {"already_there", result.already_there},
        {"seconds", result.seconds},
        {"mb_s", result.seconds > 0 ? bytes / result.seconds / 1e6 : 0},
        {"nodes", node_json(nodes)}};
    return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

absl::Status put(put_flags& flags) {
    if (flags.file.name.empty()) {
        if (flags.path == "-") {
            return absl::InvalidArgumentError("standard input has no name: give one with --name");
        }
        flags.file.name = std::filesystem::path(flags.path).filename().string();
    }
    SLUICE_RETURN_IF_ERROR(check_writable(flags.json));
    absl::StatusOr<byte_source> source = byte_source::open(flags.path);
    SLUICE_RETURN_IF_ERROR(source.status());
    const auto client = fabric_client::open(flags.fabric);
    SLUICE_RETURN_IF_ERROR(client.status());
    SLUICE_RETURN_IF_ERROR((*client)->connect());
    const auto result = put_file(**client, *source, flags.file);
    const std::vector<node_report> nodes = (*client)->inspect();
    if (!result.ok()) {
        const std::string what = fmt::format("{}: {}{}", flags.file.name,
                                             message_of(result.status()), node_complaints(nodes));
        return absl::Status(result.status().code(), what);
    }
    if (!flags.json.empty()) {
        SLUICE_RETURN_IF_ERROR(write_text(flags.json, put_json(flags, *result, nodes)));
    }
    return flags.json == "-" ? absl::OkStatus() : write_text("-", put_text(flags, *result, nodes));
}

}  // namespace

void add_put(CLI::App& app, int& exit_code) {
    CLI::App* sub = app.add_subcommand("put", "Put a file's bytes into memory nodes");
    auto flags = std::make_shared<put_flags>();
    sub->add_option("file", flags->path, "File to put; '-': standard input")->required();
    add_fabric_options(*sub, flags->fabric);
    sub->add_option("--name", flags->file.name, "Name to fetch it by; else the file's");
    sub->add_option("--block-size", flags->file.block_bytes,
                    "Bytes of a block, 4KiB to 32MiB; at most the nodes' staging")
        ->transform(byte_size(least_file_block, most_file_block))
        ->default_str("1MiB");
    sub->add_flag("--replace", flags->file.replace, "Remove another file of that name first");
    sub->add_option("--json", flags->json, "Write the result as JSON; '-': to standard output");
    sub->callback([flags, &exit_code] {
        const absl::Status status = put(*flags);
        exit_code = status.ok() ? exit_ok : complain("put", status);
    });
}

}  // namespace sluice::command
