// SPDX-License-Identifier: Apache-2.0
#include "fetch_bench.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <thread>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/bytes.hpp>
#include <sluice/base/status.hpp>

#include "fetch_client.hpp"
#include "fetch_plan.hpp"
#include "process_usage.hpp"
#include "quantile.hpp"
#include "raw_target.hpp"

namespace sluice::bench {
namespace {

constexpr std::uint64_t fewest_blocks = 128;

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

/// Whether the right bytes came. Places to which several blocks came are left out: which was last
/// is not known.
bool came(const raw_reads& reads) {
    const std::uint64_t last = reads.block_bytes - sizeof(std::uint64_t);
    std::unordered_map<const std::byte*, std::uint32_t> blocks_at(reads.local.size());
    for (const std::byte* at : reads.local) {
        ++blocks_at[at];
    }
    for (std::size_t i = 0; i < reads.remote.size(); ++i) {
        if (blocks_at[reads.local[i]] > 1) {
            continue;
        }
        if (word_at(reads.local[i]) != raw_pattern(reads.remote[i]) ||
            word_at(reads.local[i] + last) != raw_pattern(reads.remote[i] + last)) {
            return false;
        }
    }
    return true;
}

/// What the repeats of one way to read gave.
struct samples {
    std::vector<double> mb_s, p50, p99, cpu, remote_cpu;

    void add(const raw_figures& f, double bytes) {
        mb_s.push_back(bytes * 1e-6 / f.seconds);
        p50.push_back(f.p50_us);
        p99.push_back(f.p99_us);
        cpu.push_back((f.cpu_s + f.target_cpu_s) / (bytes * 1e-9));
        remote_cpu.push_back(f.target_cpu_s / (bytes * 1e-9));
    }
    /// Leaves the order of the pairs as it is.
    [[nodiscard]] fetch_figures medians() const {
        const auto median = [](std::vector<double> values) { return quantile(values, 0.5); };
        return {median(mb_s), median(p50), median(p99), median(cpu), median(remote_cpu)};
    }
};

std::string mode_of(const fabric_store_stats& before, const fabric_store_stats& after) {
    const auto often = [](std::uint64_t some, std::uint64_t all) { return some * 10 > all; };
    const bool merged = often(after.merged_blocks - before.merged_blocks, after.gets - before.gets);
    const bool vectored = often(after.vectored_transfers - before.vectored_transfers,
                                after.transfers - before.transfers);
    return merged ? (vectored ? "merged+vectored" : "merged") : vectored ? "vectored" : "single";
}

/// The ways to read the blocks of one case, in turn.
class contest {
 public:
    contest(const fetch_bench_options& options, const fetch_plan& plan, const fetch_case& what,
            fetch_client& client, raw_fabric& raw)
        : options_(options), plan_(plan), what_(what), client_(client), raw_(raw), walk_(plan) {}

    absl::StatusOr<fetch_row> run() {
        const std::size_t ways = raw_.can_wait() ? all_ways : all_ways - 1;
        for (std::size_t w = 0; w < ways; ++w) {
            SLUICE_RETURN_IF_ERROR(calibrate(w));
        }
        const fabric_store_stats before = client_.stats();
        for (std::uint32_t pair = 0; pair < options_.pairs; ++pair) {
            for (std::size_t i = 0; i < ways; ++i) {
                const std::size_t w = pair % 2 == 0 ? i : ways - 1 - i;
                const auto figures = sample(w, count_[w]);
                SLUICE_RETURN_IF_ERROR(figures.status());
                got_[w].add(*figures, static_cast<double>(count_[w] * plan_.block_bytes));
            }
        }
        fetch_row row = judge();
        const fabric_store_stats after = client_.stats();
        row.mode = mode_of(before, after);
        row.transfers_per_block = static_cast<double>(after.transfers - before.transfers) /
                                  static_cast<double>(after.gets - before.gets);
        return row;
    }

 private:
    static constexpr std::size_t ours = 0, spin = 1, sleeping = 2, all_ways = 3;

    /// A first, short sample says how many blocks fill the time.
    absl::Status calibrate(std::size_t way) {
        const std::size_t few = std::min<std::size_t>(plan_.blocks() / 2, 4 * what_.window + 16);
        const auto first = sample(way, few);
        SLUICE_RETURN_IF_ERROR(first.status());
        const double fill = static_cast<double>(few) / first->seconds * options_.seconds;
        count_[way] = static_cast<std::size_t>(
            std::clamp(fill, static_cast<double>(few), static_cast<double>(plan_.blocks())));
        return absl::OkStatus();
    }

    absl::StatusOr<raw_figures> sample(std::size_t way, std::size_t count) {
        raw_reads reads = walk_.next(count);
        reads.window = what_.window;
        reads.completion = way == spin ? raw_completion::spin : raw_completion::wait;
        wipe(reads);
        if (way == ours) {
            SLUICE_RETURN_IF_ERROR(client_.look_up(reads));
        }
        auto figures = way == ours ? client_.read_blocks(reads) : raw_.read_blocks(reads);
        if (figures.ok() && !came(reads)) {
            return absl::DataLossError(
                fmt::format("blocks of {} bytes came with wrong bytes", reads.block_bytes));
        }
        return figures;
    }

    [[nodiscard]] fetch_row judge() const {
        const std::array<fetch_figures, all_ways> figures{
            got_[ours].medians(), got_[spin].medians(), got_[sleeping].medians()};
        const bool sleeps =
            raw_.can_wait() && (what_.window == 1 || figures[sleeping].mb_s > figures[spin].mb_s);
        const std::size_t base = sleeps ? sleeping : spin;
        std::vector<double> ratios;
        for (std::size_t i = 0; i < got_[ours].mb_s.size(); ++i) {
            ratios.push_back(got_[ours].mb_s[i] / got_[base].mb_s[i]);
        }
        fetch_row row;
        row.what = what_;
        row.ours = figures[ours];
        row.raw = figures[base];
        row.raw_spin = figures[spin];
        row.completion = sleeps ? raw_completion::wait : raw_completion::spin;
        row.ratio = quantile(ratios, 0.5);
        row.ratio_p25 = quantile(ratios, 0.25);
        row.ratio_p75 = quantile(ratios, 0.75);
        row.local_run = plan_.local_run;
        return row;
    }

    const fetch_bench_options& options_;
    const fetch_plan& plan_;
    const fetch_case what_;
    fetch_client& client_;
    raw_fabric& raw_;
    fetch_walk walk_;
    std::array<std::size_t, all_ways> count_{};
    std::array<samples, all_ways> got_;
};

class bench_run {
 public:
    explicit bench_run(const fetch_bench_options& options)
        : options_(options), pool_(options.pool_bytes) {}

    absl::StatusOr<fetch_result> run() {
        if (pool_.pages().empty()) {
            return absl::ResourceExhaustedError(
                fmt::format("no memory for a pool of {} bytes", options_.pool_bytes));
        }
        SLUICE_RETURN_IF_ERROR(start_raw());
        fetch_result result;
        for (const fetch_case& c : options_.cases) {
            SLUICE_RETURN_IF_ERROR(prepare(c));
            const auto client = connect(c);
            SLUICE_RETURN_IF_ERROR(client.status());
            auto row = contest(options_, plan_, c, **client, *raw_).run();
            SLUICE_RETURN_IF_ERROR(row.status());
            row->huge_pages = huge_pages();
            result.rows.push_back(*std::move(row));
        }
        raw_.reset();
        if (options_.idle_seconds > 0) {
            auto idle = measure_idle();
            SLUICE_RETURN_IF_ERROR(idle.status());
            result.idle = *idle;
        }
        return result;
    }

 private:
    absl::Status start_node() {
        node_.reset();
        auto started = bench_node::start(options_.provider,
                                         options_.pool_bytes + options_.pool_bytes / 8 + 64 * mib);
        SLUICE_RETURN_IF_ERROR(started.status());
        node_ = *std::move(started);
        return absl::OkStatus();
    }

    absl::Status start_raw() {
        raw_fabric_options raw;
        raw.provider = options_.provider;
        raw.remote_bytes = options_.pool_bytes;
        raw.target_command = options_.target_command;
        auto connected = raw_fabric::connect(raw, pool_.pages());
        SLUICE_RETURN_IF_ERROR(connected.status());
        raw_ = *std::move(connected);
        return absl::OkStatus();
    }

    absl::StatusOr<std::unique_ptr<fetch_client>> connect(const fetch_case& c) {
        return fetch_client::connect(
            {options_.provider, c.checksum, c.caller, c.connections, options_.bytes_in_flight},
            *node_, pool_.pages());
    }

    /// Puts the blocks that a case reads, unless they are there. Others go to a new node, so that
    /// what is left of earlier ones does not matter.
    absl::Status prepare(const fetch_case& c) {
        if (plan_.blocks() > 0 && plan_.block_bytes == c.block_bytes && placed_ == c.placement) {
            return absl::OkStatus();
        }
        SLUICE_RETURN_IF_ERROR(start_node());
        const auto client = connect({});
        SLUICE_RETURN_IF_ERROR(client.status());
        const std::span<std::byte> pool = pool_.pages().first(options_.pool_bytes);
        plan_ = make_fetch_plan(c.placement, c.block_bytes, pool, options_.seed);
        placed_ = c.placement;
        pool_.fill();
        return (*client)->put(plan_, pool);
    }

    [[nodiscard]] bool huge_pages() const {
        return 2 * huge_page_bytes_of(getpid()) > options_.pool_bytes &&
               2 * huge_page_bytes_of(node_->id()) > options_.pool_bytes;
    }

    absl::StatusOr<fetch_idle> measure_idle() {
        // A loop that nobody drives would be idle for want of a thread.
        fetch_case c;
        c.caller = fetch_caller::async;
        const auto client = connect(c);
        SLUICE_RETURN_IF_ERROR(client.status());
        raw_reads reads = fetch_walk(plan_).next(fewest_blocks);
        SLUICE_RETURN_IF_ERROR((*client)->look_up(reads));
        SLUICE_RETURN_IF_ERROR((*client)->read_blocks(reads).status());
        std::this_thread::sleep_for(std::chrono::seconds(1));  // what it did before has ended
        const pid_t self = getpid();
        const auto begin = std::chrono::steady_clock::now();
        const double node_cpu = cpu_seconds_of(node_->id());
        const double cpu = cpu_seconds_of(self);
        const std::uint64_t node_wakeups = wakeups_of(node_->id());
        const std::uint64_t wakeups = wakeups_of(self, gettid());
        std::this_thread::sleep_for(std::chrono::duration<double>(options_.idle_seconds));
        const double seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        fetch_idle idle;
        idle.node_cpu_percent = (cpu_seconds_of(node_->id()) - node_cpu) / seconds * 100;
        idle.client_cpu_percent = (cpu_seconds_of(self) - cpu) / seconds * 100;
        idle.node_wakeups_per_s =
            static_cast<double>(wakeups_of(node_->id()) - node_wakeups) / seconds;
        idle.client_wakeups_per_s =
            static_cast<double>(wakeups_of(self, gettid()) - wakeups) / seconds;
        return idle;
    }

    const fetch_bench_options& options_;
    raw_pool pool_;
    std::unique_ptr<bench_node> node_;
    std::unique_ptr<raw_fabric> raw_;
    fetch_plan plan_;
    fetch_placement placed_ = fetch_placement::scattered;
};

absl::Status check(const fetch_bench_options& options) {
    if (options.pairs == 0) {
        return absl::InvalidArgumentError("0 pairs have no median: give at least 1");
    }
    for (const fetch_case& c : options.cases) {
        if (c.block_bytes == 0 || c.block_bytes % 8 != 0 ||
            c.block_bytes > options.pool_bytes / fewest_blocks) {
            return absl::InvalidArgumentError(fmt::format(
                "block size {}: give a multiple of 8 of which {} fit into the pool of {} bytes",
                c.block_bytes, fewest_blocks, options.pool_bytes));
        }
        if (c.window == 0 || c.window > fewest_blocks / 2) {
            return absl::InvalidArgumentError(
                fmt::format("window {}: give 1 to {}", c.window, fewest_blocks / 2));
        }
    }
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<fetch_result> run_fetch_bench(const fetch_bench_options& options) {
    SLUICE_RETURN_IF_ERROR(check(options));
    return bench_run(options).run();
}

}  // namespace sluice::bench
