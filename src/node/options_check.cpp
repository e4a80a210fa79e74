// SPDX-License-Identifier: Apache-2.0
#include "options_check.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string>

#include <fmt/format.h>

#include <sluice/base/bytes.hpp>

#include "../wire/messages.hpp"

namespace sluice::node {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

absl::Status wrong(std::string what) {
    return absl::InvalidArgumentError("memory_node: " + std::move(what));
}

std::uint64_t number_in(const char* path) {
    std::ifstream file(path);
    std::uint64_t value = 0;
    return file >> value ? value : unlimited;  // "max" is no number
}

// What the system can give, and what the control group may take.
std::uint64_t available_memory() {
    std::uint64_t out = unlimited;
    std::ifstream info("/proc/meminfo");
    std::string name;
    std::uint64_t kibs = 0;
    std::string unit;
    while (info >> name >> kibs && std::getline(info, unit)) {
        if (name == "MemAvailable:") {
            out = kibs * kib;
        }
    }
    const std::uint64_t most = number_in("/sys/fs/cgroup/memory.max");
    const std::uint64_t used = number_in("/sys/fs/cgroup/memory.current");
    if (most != unlimited && used != unlimited) {
        out = std::min(out, most - std::min(most, used));
    }
    return out;
}

}  // namespace

absl::Status check(const memory_node_options& o) {
    if (o.memory < mib || o.memory > wire::max_pool_bytes) {
        return wrong(
            fmt::format("memory is {} bytes; at least {} (1 MiB) and at most {} are needed",
                        o.memory, mib, wire::max_pool_bytes));
    }
    if (o.lease < 100ms || o.lease > 1h) {
        return wrong(
            fmt::format("lease is {} ms; it must be from 100 ms to an hour",
                        std::chrono::duration_cast<std::chrono::milliseconds>(o.lease).count()));
    }
    if (o.staging < 4 * kib || o.staging > gib) {
        return wrong(fmt::format("staging is {} bytes; it must be from 4 KiB to 1 GiB", o.staging));
    }
    if (o.max_connections < 1 || o.max_connections > 65'536) {
        return wrong(
            fmt::format("max_connections is {}; it must be from 1 to 65536", o.max_connections));
    }
    if (o.drain_timeout < duration{0} || o.drain_timeout > 24h) {
        return wrong("drain_timeout must be from 0 to a day");
    }
    if (o.providers.empty()) {
        return wrong("no provider to be read by; \"tcp\" works on every machine");
    }
    for (auto p = o.providers.begin(); p != o.providers.end(); ++p) {
        if (p->empty() || p->size() > wire::max_provider_bytes ||
            !std::all_of(p->begin(), p->end(), [](char c) { return c >= ' ' && c <= '~'; })) {
            return wrong(fmt::format("'{}' is no name of a provider; `fi_info -l` lists them", *p));
        }
        if (std::find(o.providers.begin(), p, *p) != p) {
            return wrong(fmt::format("provider '{}' is named twice", *p));
        }
    }
    if (const std::uint64_t there = o.touch ? available_memory() : unlimited; o.memory > there) {
        return absl::ResourceExhaustedError(
            fmt::format("memory_node: {} bytes are asked for, but {} are available on this machine "
                        "or in this container; ask for less",
                        o.memory, there));
    }
    return absl::OkStatus();
}

}  // namespace sluice::node
