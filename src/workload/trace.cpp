// SPDX-License-Identifier: Apache-2.0
#include "trace.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "../json/object_reader.hpp"

namespace sluice::workload {
namespace {

struct close_file {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

absl::Status read_ids(const json::value& ids, std::vector<std::uint64_t>& out) {
    constexpr std::uint64_t most = (std::uint64_t{1} << 63) - 1;
    out.reserve(ids.items().size());
    for (const json::value& id : ids.items()) {
        if (!id.whole() || *id.whole() > most) {
            return json::check_whole(id, fmt::format("key 'hash_ids'[{}]", out.size()), 0, most);
        }
        out.push_back(*id.whole());
    }
    return absl::OkStatus();
}

absl::StatusOr<trace_request> parse_line(const json::value& line, const trace_limits& limits) {
    constexpr std::uint64_t max_ms = std::uint64_t{1} << 53;
    json::object_reader from(line);
    trace_request out;
    out.line = line.line();
    out.timestamp_ms = from.whole("timestamp", 0, max_ms);
    out.input_length =
        static_cast<std::uint32_t>(from.whole("input_length", 1, limits.max_input_tokens));
    out.output_length = static_cast<std::uint32_t>(from.whole("output_length", 0, UINT32_MAX));
    if (const json::value* ids = from.array("hash_ids")) {
        from.keep(read_ids(*ids, out.hash_ids));
    }
    const std::uint32_t blocks =
        out.input_length / trace_block_tokens + (out.input_length % trace_block_tokens != 0);
    if (from.ok() && out.hash_ids.size() != blocks) {
        from.keep(line.error(fmt::format(
            "key 'hash_ids' has {} ids, but an 'input_length' of {} has {} blocks of {} tokens",
            out.hash_ids.size(), out.input_length, blocks, trace_block_tokens)));
    }
    if (absl::Status fault = from.finish(); !fault.ok()) {
        return fault;
    }
    return out;
}

bool is_blank(std::string_view text) {
    return text.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

struct trace_reader::state {
    std::string path;
    trace_limits limits;
    std::unique_ptr<std::FILE, close_file> file;
    std::array<char, 64 * 1024> buffer{};
    std::size_t begin = 0;  // of what is left in the buffer
    std::size_t end = 0;
    std::string line;
    std::uint64_t number = 0;  // of that line, from 1
    std::uint64_t requests = 0;
    std::uint64_t last_timestamp = 0;
    bool over = false;

    absl::Status fault(std::string_view what) {
        over = true;
        return absl::InvalidArgumentError(fmt::format("{}:{}: {}", path, number, what));
    }

    /// Reads a line into `line`. False at the end of the file.
    absl::StatusOr<bool> read_line() {
        line.clear();
        ++number;
        for (;;) {
            if (begin == end) {
                begin = 0;
                end = std::fread(buffer.data(), 1, buffer.size(), file.get());
                if (end == 0 && std::ferror(file.get()) != 0) {
                    over = true;
                    return absl::UnavailableError(
                        fmt::format("{}: {}", path, std::strerror(errno)));
                }
                if (end == 0) {
                    return !line.empty();
                }
            }
            const std::string_view rest(buffer.data() + begin, end - begin);
            const std::size_t stop = rest.find('\n');
            const std::string_view part = rest.substr(0, stop);
            if (line.size() + part.size() > limits.max_line_bytes) {
                return fault(fmt::format("longer than {} bytes", limits.max_line_bytes));
            }
            line += part;
            begin += part.size();
            if (stop != std::string_view::npos) {
                ++begin;
                return true;
            }
        }
    }
};

trace_reader::trace_reader(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}
trace_reader::trace_reader(trace_reader&&) noexcept = default;
trace_reader& trace_reader::operator=(trace_reader&&) noexcept = default;
trace_reader::~trace_reader() = default;

absl::StatusOr<trace_reader> trace_reader::open(const std::string& path, trace_limits limits) {
    std::error_code error;
    // Opening a directory for reading succeeds; only reading it fails.
    if (std::filesystem::is_directory(path, error)) {
        return absl::InvalidArgumentError(fmt::format("{} is a directory", path));
    }
    auto s = std::make_unique<state>();
    s->path = path;
    s->limits = limits;
    s->file.reset(std::fopen(path.c_str(), "rb"));
    if (!s->file) {
        const int reason = errno;
        const std::string message = fmt::format("{}: {}", path, std::strerror(reason));
        if (reason == ENOENT || reason == ENOTDIR) {
            return absl::NotFoundError(message);
        }
        return reason == EACCES ? absl::PermissionDeniedError(message)
                                : absl::UnavailableError(message);
    }
    return trace_reader(std::move(s));
}

absl::StatusOr<std::optional<trace_request>> trace_reader::next() {
    state& s = *state_;
    std::optional<trace_request> none;
    while (!s.over) {
        const absl::StatusOr<bool> more = s.read_line();
        if (!more.ok()) {
            return more.status();
        }
        if (!*more) {
            s.over = true;
            if (s.requests == 0) {
                return absl::InvalidArgumentError(fmt::format("{} holds no requests", s.path));
            }
            break;
        }
        if (is_blank(s.line)) {
            continue;
        }
        const absl::StatusOr<json::value> line =
            json::parse(s.line, s.path, {.first_line = static_cast<std::uint32_t>(s.number)});
        absl::StatusOr<trace_request> request =
            line.ok() ? parse_line(*line, s.limits) : line.status();
        if (!request.ok()) {
            s.over = true;
            return request.status();
        }
        if (request->timestamp_ms < s.last_timestamp) {
            return s.fault(fmt::format("key 'timestamp' is {}, before {}, that of the line above",
                                       request->timestamp_ms, s.last_timestamp));
        }
        s.last_timestamp = request->timestamp_ms;
        ++s.requests;
        return std::optional<trace_request>(*std::move(request));
    }
    return none;
}

absl::StatusOr<std::vector<trace_request>> read_trace(const std::string& path, std::size_t limit,
                                                      trace_limits limits) {
    absl::StatusOr<trace_reader> reader = trace_reader::open(path, limits);
    if (!reader.ok()) {
        return reader.status();
    }
    std::vector<trace_request> out;
    while (limit == 0 || out.size() < limit) {
        absl::StatusOr<std::optional<trace_request>> request = reader->next();
        if (!request.ok()) {
            return request.status();
        }
        if (!request->has_value()) {
            break;
        }
        out.push_back(std::move(**request));
    }
    return out;
}

std::string to_json_line(const trace_request& request) {
    return fmt::format(
        R"({{"timestamp": {}, "input_length": {}, "output_length": {}, "hash_ids": [{}]}})",
        request.timestamp_ms, request.input_length, request.output_length,
        fmt::join(request.hash_ids, ", "));
}

}  // namespace sluice::workload
