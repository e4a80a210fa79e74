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
#include <nlohmann/json.hpp>

namespace sluice::workload {
namespace {

using json = nlohmann::json;

struct close_file {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

/// What is wrong with a value that should be a whole number of at least `least`; empty if nothing.
std::string number_fault(const json& value, std::uint64_t least, std::uint64_t most) {
    if (!value.is_number()) {
        return fmt::format("is {}, not a number", value.type_name());
    }
    if (!value.is_number_integer()) {
        return "is not a whole number";
    }
    if (!value.is_number_unsigned() && value.get<std::int64_t>() < 0) {
        return "is negative";
    }
    const auto number = value.get<std::uint64_t>();
    if (number < least) {
        return fmt::format("is {}, below {}", number, least);
    }
    return number > most ? fmt::format("is {}, above {}", number, most) : std::string();
}

/// Reads `key` into `out`; what is wrong, or nothing.
template <class Number>
std::string read_number(const json& line, const char* key, std::uint64_t least, std::uint64_t most,
                        Number& out) {
    const auto it = line.find(key);
    if (it == line.end()) {
        return fmt::format("key '{}' is missing", key);
    }
    if (const std::string fault = number_fault(*it, least, most); !fault.empty()) {
        return fmt::format("'{}' {}", key, fault);
    }
    out = it->template get<Number>();
    return {};
}

std::string read_ids(const json& line, std::vector<std::uint64_t>& out) {
    const auto it = line.find("hash_ids");
    if (it == line.end()) {
        return "key 'hash_ids' is missing";
    }
    if (!it->is_array()) {
        return fmt::format("'hash_ids' is {}, not an array", it->type_name());
    }
    for (const json& id : *it) {
        if (const std::string fault = number_fault(id, 0, UINT64_MAX); !fault.empty()) {
            return fmt::format("'hash_ids'[{}] {}", out.size(), fault);
        }
        out.push_back(id.get<std::uint64_t>());
    }
    return {};
}

/// What is wrong with the line, or nothing and the request in `out`.
std::string parse_line(std::string_view text, const trace_limits& limits, trace_request& out) {
    const json line = json::parse(text, nullptr, false);
    if (line.is_discarded()) {
        return "not a JSON object";
    }
    if (!line.is_object()) {
        return fmt::format("{} in place of a JSON object", line.type_name());
    }
    constexpr std::uint64_t max_ms = std::uint64_t{1} << 53;
    std::string fault = read_number(line, "timestamp", 0, max_ms, out.timestamp_ms);
    if (fault.empty()) {
        fault = read_number(line, "input_length", 1, limits.max_input_tokens, out.input_length);
    }
    if (fault.empty()) {
        fault = read_number(line, "output_length", 0, UINT32_MAX, out.output_length);
    }
    if (fault.empty()) {
        fault = read_ids(line, out.hash_ids);
    }
    const std::uint32_t blocks =
        out.input_length / trace_block_tokens + (out.input_length % trace_block_tokens != 0);
    if (fault.empty() && out.hash_ids.size() != blocks) {
        fault = fmt::format("{} 'hash_ids' for an 'input_length' of {}, which has {} blocks of {}",
                            out.hash_ids.size(), out.input_length, blocks, trace_block_tokens);
    }
    return fault;
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
        trace_request request;
        if (const std::string what = parse_line(s.line, s.limits, request); !what.empty()) {
            return s.fault(what);
        }
        if (request.timestamp_ms < s.last_timestamp) {
            return s.fault(fmt::format("'timestamp' {} is before {}, that of the line above",
                                       request.timestamp_ms, s.last_timestamp));
        }
        s.last_timestamp = request.timestamp_ms;
        ++s.requests;
        return std::optional<trace_request>(std::move(request));
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
