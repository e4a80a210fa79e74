// SPDX-License-Identifier: Apache-2.0
#include "fetch_bench.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "../workload/random.hpp"
#include "raw_target.hpp"

namespace sluice::bench {
namespace {

/// Deals out the blocks of both pools in random order, each once before any comes again.
class block_walk {
 public:
    block_walk(std::span<std::byte> local, std::uint64_t pool_bytes, std::uint64_t block_bytes) {
        workload::random_source random(block_bytes);
        for (std::uint64_t at = 0; at + block_bytes <= pool_bytes; at += block_bytes) {
            remote_.push_back(at);
            local_.push_back(local.data() + at);
        }
        for (std::size_t i = remote_.size(); i > 1; --i) {
            std::swap(remote_[i - 1], remote_[random.below(i)]);
            std::swap(local_[i - 1], local_[random.below(i)]);
        }
    }

    [[nodiscard]] std::size_t blocks() const noexcept { return remote_.size(); }

    /// The next `count` of them; begins anew where not so many are left.
    void next(std::size_t count, raw_reads& reads) noexcept {
        if (at_ + count > blocks()) {
            at_ = 0;
        }
        reads.remote = std::span(remote_).subspan(at_, count);
        reads.local = std::span(local_).subspan(at_, count);
        at_ += count;
    }

 private:
    std::vector<std::uint64_t> remote_;
    std::vector<std::byte*> local_;
    std::size_t at_ = 0;
};

std::uint64_t word_at(const std::byte* at) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    return word;
}

/// Wipes the ends of blocks that are about to be read, so that `came` means something.
void wipe(const raw_reads& reads) noexcept {
    for (std::byte* block : reads.local) {
        std::memset(block, 0, sizeof(std::uint64_t));
        std::memset(block + reads.block_bytes - sizeof(std::uint64_t), 0, sizeof(std::uint64_t));
    }
}

bool came(const raw_reads& reads) noexcept {
    const std::uint64_t last = reads.block_bytes - sizeof(std::uint64_t);
    for (std::size_t i = 0; i < reads.remote.size(); ++i) {
        if (word_at(reads.local[i]) != raw_pattern(reads.remote[i]) ||
            word_at(reads.local[i] + last) != raw_pattern(reads.remote[i] + last)) {
            return false;
        }
    }
    return true;
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

/// What the repeats of one way to complete gave.
struct samples {
    std::vector<double> mb_s, p50, p99, cpu, target_cpu;

    void add(const raw_figures& f, double bytes) {
        mb_s.push_back(bytes * 1e-6 / f.seconds);
        p50.push_back(f.p50_us);
        p99.push_back(f.p99_us);
        cpu.push_back(f.cpu_s / (bytes * 1e-9));
        target_cpu.push_back(f.target_cpu_s / (bytes * 1e-9));
    }
};

class raw_case {
 public:
    raw_case(const fetch_bench_options& options, raw_fabric& fabric, std::span<std::byte> pool)
        : options_(options), fabric_(fabric), pool_(pool) {}

    /// Adds one row per way to complete.
    absl::Status run(const std::string& provider, std::uint64_t block_bytes, std::uint32_t window,
                     std::vector<raw_fetch_row>& rows) {
        block_walk walk(pool_, options_.pool_bytes, block_bytes);
        raw_reads reads;
        reads.block_bytes = block_bytes;
        reads.window = window;
        const std::size_t ways = fabric_.can_wait() ? 2 : 1;
        constexpr std::array way{raw_completion::spin, raw_completion::wait};
        std::array<std::size_t, 2> count{};
        std::array<samples, 2> got;
        for (std::size_t w = 0; w < ways; ++w) {
            // A first, short sample says how many blocks fill the time.
            const std::size_t few = std::min<std::size_t>(walk.blocks() / 2, 4 * window);
            reads.completion = way[w];
            const auto first = sample(walk, few, reads);
            SLUICE_RETURN_IF_ERROR(first.status());
            const double fill = static_cast<double>(few) / first->seconds * options_.seconds;
            count[w] = static_cast<std::size_t>(
                std::clamp(fill, static_cast<double>(few), static_cast<double>(walk.blocks())));
        }
        for (std::uint32_t i = 0; i < options_.repeats; ++i) {
            for (std::size_t w = 0; w < ways; ++w) {
                reads.completion = way[w];
                const auto figures = sample(walk, count[w], reads);
                SLUICE_RETURN_IF_ERROR(figures.status());
                got[w].add(*figures, static_cast<double>(count[w] * block_bytes));
            }
        }
        const std::size_t begin = rows.size();
        for (std::size_t w = 0; w < ways; ++w) {
            rows.push_back({provider, fabric_.kind(), block_bytes, window, way[w], false,
                            median(got[w].mb_s), median(got[w].p50), median(got[w].p99),
                            median(got[w].cpu), median(got[w].target_cpu)});
        }
        std::max_element(
            rows.begin() + static_cast<std::ptrdiff_t>(begin), rows.end(),
            [](const raw_fetch_row& a, const raw_fetch_row& b) { return a.mb_s < b.mb_s; })
            ->best = true;
        return absl::OkStatus();
    }

 private:
    absl::StatusOr<raw_figures> sample(block_walk& walk, std::size_t count, raw_reads& reads) {
        walk.next(count, reads);
        wipe(reads);
        auto figures = fabric_.read_blocks(reads);
        if (figures.ok() && !came(reads)) {
            return absl::DataLossError(
                fmt::format("blocks of {} bytes came with wrong bytes", reads.block_bytes));
        }
        return figures;
    }

    const fetch_bench_options& options_;
    raw_fabric& fabric_;
    std::span<std::byte> pool_;
};

absl::Status check(const fetch_bench_options& options) {
    if (options.repeats == 0) {
        return absl::InvalidArgumentError("0 repeats have no median: give at least 1");
    }
    for (const std::uint64_t bytes : options.block_bytes) {
        if (bytes == 0 || bytes % 8 != 0 || bytes > options.pool_bytes / 2) {
            return absl::InvalidArgumentError(
                fmt::format("block size {}: give a multiple of 8, at most half of the pool's {}",
                            bytes, options.pool_bytes));
        }
    }
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<raw_fetch_row>> run_raw_fetch_bench(const fetch_bench_options& options) {
    SLUICE_RETURN_IF_ERROR(check(options));
    const raw_pool pool(options.pool_bytes);
    if (pool.pages().empty()) {
        return absl::ResourceExhaustedError(
            fmt::format("no memory for a pool of {} bytes", options.pool_bytes));
    }
    std::vector<raw_fetch_row> rows;
    for (const std::string& provider : options.providers) {
        raw_fabric_options fabric_options;
        fabric_options.provider = provider;
        fabric_options.kind = options.kind;
        fabric_options.remote_bytes = options.pool_bytes;
        const auto fabric = raw_fabric::connect(fabric_options, pool.pages());
        SLUICE_RETURN_IF_ERROR(annotate(fabric.status(), provider));
        raw_case one(options, **fabric, pool.pages());
        for (const std::uint64_t bytes : options.block_bytes) {
            for (const std::uint32_t window : options.windows) {
                SLUICE_RETURN_IF_ERROR(annotate(one.run(provider, bytes, window, rows), provider));
            }
        }
    }
    return rows;
}

}  // namespace sluice::bench
