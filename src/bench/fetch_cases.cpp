// SPDX-License-Identifier: Apache-2.0
#include "fetch_cases.hpp"

#include <sluice/base/bytes.hpp>

namespace sluice::bench {
namespace {

using placement = fetch_placement;
using checksum = fetch_checksum;
using caller = fetch_caller;

std::vector<fetch_case> table() {
    std::vector<fetch_case> out;
    const auto add_throughput = [&out](placement p, std::uint64_t bytes) {
        out.push_back({p, bytes, 16, checksum::off, caller::waiting, 1});
        out.push_back({p, bytes, 16, checksum::on, caller::waiting, 1});
    };
    const auto add_latency = [&out](std::uint64_t bytes) {
        out.push_back({placement::scattered, bytes, 1, checksum::off, caller::waiting, 1});
        out.push_back({placement::scattered, bytes, 1, checksum::off, caller::async, 1});
    };
    add_throughput(placement::scattered, 64 * kib);
    add_latency(64 * kib);
    add_throughput(placement::scattered, 256 * kib);
    add_throughput(placement::scattered, 1 * mib);
    add_latency(1 * mib);
    add_throughput(placement::scattered, 2 * mib);
    add_throughput(placement::adjacent, 64 * kib);
    add_throughput(placement::adjacent, 256 * kib);
    return out;
}

template <class T>
std::vector<T> or_else(const std::vector<T>& wish, std::vector<T> otherwise) {
    return wish.empty() ? otherwise : wish;
}

}  // namespace

std::string_view name_of(fetch_placement p) noexcept {
    return p == placement::scattered ? "scattered" : "adjacent";
}

std::string_view name_of(fetch_checksum c) noexcept { return c == checksum::off ? "off" : "on"; }

std::string_view name_of(fetch_caller c) noexcept {
    return c == caller::waiting ? "waiting" : "async";
}

std::vector<fetch_case> fetch_cases(const fetch_selection& s) {
    if (s.placements.empty() && s.block_bytes.empty() && s.windows.empty() && s.checksums.empty() &&
        s.callers.empty() && s.connections.empty()) {
        return table();
    }
    std::vector<fetch_case> out;
    for (const placement p : or_else(s.placements, {placement::scattered})) {
        for (const std::uint64_t bytes :
             or_else(s.block_bytes, {64 * kib, 256 * kib, 1 * mib, 2 * mib})) {
            for (const std::uint32_t window : or_else(s.windows, {16u})) {
                for (const checksum c : or_else(s.checksums, {checksum::off})) {
                    for (const caller who : or_else(s.callers, {caller::waiting})) {
                        for (const std::uint32_t connections : or_else(s.connections, {1u})) {
                            out.push_back({p, bytes, window, c, who, connections});
                        }
                    }
                }
            }
        }
    }
    return out;
}

}  // namespace sluice::bench
