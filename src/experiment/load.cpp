// SPDX-License-Identifier: Apache-2.0
#include "load.hpp"

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "lengths.hpp"
#include "load_parts.hpp"
#include "named_input.hpp"

namespace sluice::experiment {
namespace {

absl::Status check(const load_options& options) {
    const auto bad = [](const std::string& what) { return absl::InvalidArgumentError(what); };
    if (!(options.hit_ratio >= 0 && options.hit_ratio <= 1)) {
        return bad(fmt::format("hit_ratio is {}, not between 0 and 1", options.hit_ratio));
    }
    if (!(options.qps >= 0 && options.qps <= 1e6)) {
        return bad(fmt::format("qps is {}, not between 0 and a million", options.qps));
    }
    if (options.requests > 4'000'000) {
        return bad(fmt::format("requests is {}, above 4 million", options.requests));
    }
    if (options.block_tokens == 0 || options.block_tokens > 1'000'000) {
        return bad(
            fmt::format("block_tokens is {}, not between 1 and a million", options.block_tokens));
    }
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<load> make_load(const load_options& options) {
    if (absl::Status fault = check(options); !fault.ok()) {
        return fault;
    }
    if (options.workload == "mooncake") {
        return trace_load(options);
    }
    const absl::StatusOr<json::value> file =
        read_named("workload", options.workload, embedded_workloads(), "mooncake");
    if (!file.ok()) {
        return file.status();
    }
    for (const json::member& m : file->members()) {
        if (m.key == "requests") {
            return listed_load(*file, options);
        }
    }
    return drawn_load(*file, options);
}

std::vector<std::string> builtin_workloads() { return names_of(embedded_workloads()); }

std::uint32_t cached_share(std::uint64_t blocks, double hit_ratio) noexcept {
    return static_cast<std::uint32_t>(std::lround(static_cast<double>(blocks) * hit_ratio));
}

std::optional<std::string> prefix_check::add(std::span<const std::uint64_t> ids,
                                             std::uint64_t line) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const seen now{i == 0 ? 0 : ids[i - 1], i == 0, line, requests_};
        const auto [it, fresh] = seen_.try_emplace(ids[i], now);
        if (fresh) {
            continue;
        }
        const seen& then = it->second;
        if (then.request == requests_) {
            return fmt::format("id {} stands twice", ids[i]);
        }
        if (then.first != now.first || then.before != now.before) {
            return fmt::format("id {} has another prefix than in line {}: {} before it, not {}",
                               ids[i], then.line,
                               now.first ? "nothing" : fmt::to_string(now.before),
                               then.first ? "nothing" : fmt::to_string(then.before));
        }
        shared_ = true;
    }
    ++requests_;
    return std::nullopt;
}

absl::Status own_ids::complete(load_request& r, std::uint32_t block_tokens) {
    constexpr std::uint64_t most = std::uint64_t{1} << 25;
    const std::uint64_t blocks = r.prompt_tokens / block_tokens;
    if (blocks > most || blocks + (next_ - first_own_id) > most) {
        return absl::InvalidArgumentError(
            fmt::format("the requests have more than {} blocks of {} tokens", most, block_tokens));
    }
    r.block_ids.reserve(blocks);
    while (r.block_ids.size() < blocks) {
        r.block_ids.push_back(next_++);
    }
    return absl::OkStatus();
}

}  // namespace sluice::experiment
