// SPDX-License-Identifier: Apache-2.0
#include "fetch_explain.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/bytes.hpp>
#include <sluice/base/status.hpp>

#include "../fabric/domain.hpp"
#include "../fabric/tuning.hpp"
#include "fetch_plan.hpp"
#include "quantile.hpp"
#include "raw_target.hpp"

namespace sluice::bench {
namespace {

constexpr std::uint64_t block = 64 * kib;

/// How blocks are put into reads.
struct packing {
    std::string name;
    std::uint64_t read_bytes;  // of one piece
    std::uint32_t pieces;
};

std::vector<std::string> describe(const fabric::provider_limits& limits) {
    const auto yes = [](bool b) { return b ? "yes" : "no"; };
    return {fmt::format("provider: {}", limits.provider),
            fmt::format("connections: {}", limits.connected ? "yes (msg)" : "no (rdm)"),
            fmt::format("descriptors to wait on: {}", yes(limits.waits)),
            fmt::format("remote pieces in one read: {}", limits.segments),
            fmt::format("local pieces in one read: {}", limits.buffers),
            fmt::format("longest message: {} bytes", limits.max_message)};
}

/// What the transport may choose from here.
std::vector<packing> packings(const fabric::tuning& tuned) {
    std::vector<packing> out{{"single", block, 1}};
    for (const std::uint32_t pieces : {2u, 4u}) {
        if (pieces <= std::min(tuned.segments, tuned.buffers)) {
            out.push_back({fmt::format("vectored of {}", pieces), block, pieces});
        }
    }
    out.push_back({"merged of 16", 16 * block, 1});
    return out;
}

class bench_run {
 public:
    bench_run(const explain_options& options, raw_fabric& raw, std::span<std::byte> pool)
        : options_(options),
          raw_(raw),
          blocks_(make_fetch_plan(fetch_placement::scattered, block, pool, 1)),
          merged_(make_fetch_plan(fetch_placement::scattered, 16 * block, pool, 1)) {}

    absl::Status run(const std::vector<packing>& ways, explanation& out) {
        std::vector<std::vector<double>> mb_s(ways.size() * out.in_flight.size());
        for (std::uint32_t i = 0; i < options_.repeats; ++i) {
            auto to = mb_s.begin();
            for (const packing& p : ways) {
                for (const std::uint64_t in_flight : out.in_flight) {
                    const auto rate = measure(p, in_flight);
                    SLUICE_RETURN_IF_ERROR(rate.status());
                    (to++)->push_back(*rate);
                }
            }
        }
        auto from = mb_s.begin();
        const double least = quantile(mb_s.front(), 0.5);
        for (const packing& p : ways) {
            explain_row row;
            row.packing = p.name;
            for (std::size_t i = 0; i < out.in_flight.size(); ++i) {
                row.mb_s.push_back(quantile(*from++, 0.5));
                row.ratio.push_back(row.mb_s.back() / least);
            }
            out.rows.push_back(std::move(row));
        }
        return absl::OkStatus();
    }

 private:
    /// MB/s of one measurement.
    absl::StatusOr<double> measure(const packing& p, std::uint64_t in_flight) {
        fetch_walk& walk = p.read_bytes == block ? walk_blocks_ : walk_merged_;
        const fetch_plan& plan = p.read_bytes == block ? blocks_ : merged_;
        const double rate = rate_ > 0 ? rate_ : 1e9;
        const double fill = rate * options_.seconds / static_cast<double>(p.read_bytes);
        const auto count =
            static_cast<std::size_t>(std::clamp(fill, 1.0, static_cast<double>(plan.blocks())));
        raw_reads reads = walk.next(count);
        reads.pieces = p.pieces;
        reads.window = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
            in_flight / (p.read_bytes * p.pieces), 1, raw_fabric::max_window));
        const auto figures = raw_.read_blocks(reads);
        SLUICE_RETURN_IF_ERROR(figures.status());
        rate_ = static_cast<double>(count * p.read_bytes) / figures->seconds;
        return rate_ * 1e-6;
    }

    const explain_options& options_;
    raw_fabric& raw_;
    const fetch_plan blocks_;
    const fetch_plan merged_;
    fetch_walk walk_blocks_{blocks_};
    fetch_walk walk_merged_{merged_};
    double rate_ = 0;  // bytes per second, of the last measurement
};

}  // namespace

absl::StatusOr<explanation> explain_fetch(const explain_options& options) {
    const auto opened =
        fabric::domain::open(options.provider, "127.0.0.1", fabric::domain::role::client);
    SLUICE_RETURN_IF_ERROR(opened.status());
    const fabric::tuning tuned = fabric::tune((*opened)->limits(), 0);
    explanation out;
    out.limits = describe((*opened)->limits());
    out.reasons = tuned.reasons;
    out.block_bytes = block;
    out.in_flight = {1 * mib, 2 * mib, 4 * mib, 8 * mib};
    const raw_pool pool(options.pool_bytes);
    if (pool.pages().empty()) {
        return absl::ResourceExhaustedError(
            fmt::format("no memory for a pool of {} bytes", options.pool_bytes));
    }
    raw_fabric_options raw;
    raw.provider = options.provider;
    raw.remote_bytes = options.pool_bytes;
    raw.target_command = options.target_command;
    const auto fabric = raw_fabric::connect(raw, pool.pages());
    SLUICE_RETURN_IF_ERROR(fabric.status());
    SLUICE_RETURN_IF_ERROR(bench_run(options, **fabric, pool.pages().first(options.pool_bytes))
                               .run(packings(tuned), out));
    return out;
}

}  // namespace sluice::bench
