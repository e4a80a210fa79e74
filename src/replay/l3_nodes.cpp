// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <sluice/base/bytes.hpp>
#include <sluice/base/status.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/fabric/fabric_store.hpp>

#include "../command/node_reports.hpp"
#include "l3_store.hpp"
#include "node_process.hpp"
#include "secret_file.hpp"

namespace sluice::replay {
namespace {

constexpr std::chrono::seconds patience{5};
// They share cores with what computes here: an answer may be late for that reason alone.
constexpr std::chrono::seconds soft_timeout{2};

class l3_nodes final : public l3_store {
 public:
    l3_nodes(std::vector<node_process> processes, std::unique_ptr<fabric_store> blocks,
             l3_faults* faults) noexcept
        : processes_(std::move(processes)), blocks_(std::move(blocks)), faults_(faults) {}
    ~l3_nodes() override {
        if (faults_ != nullptr) {
            const fabric_store_stats s = blocks_->stats();
            faults_->missed += s.misses;
            faults_->damaged += s.corrupt;
            faults_->failed += s.failed - std::min(s.failed, s.corrupt);
            const std::vector<node_health> health = blocks_->health();
            faults_->nodes_lost += static_cast<std::uint64_t>(
                std::count_if(health.begin(), health.end(),
                              [](const node_health& h) { return h.state != node_state::ready; }));
        }
    }

    store& blocks() noexcept override { return *blocks_; }
    absl::Status set_link_rate(double bytes_per_second) noexcept override {
        return blocks_->set_link_rate(bytes_per_second);
    }
    absl::StatusOr<std::uint64_t> block_count() override {
        thread_loop home;
        std::uint64_t count = 0;
        for (const node_report& r : drive(home, command::ask_nodes(home, *blocks_, patience))) {
            if (!r.answered) {
                return absl::UnavailableError(fmt::format(
                    "node {} does not answer: {}", r.health.node, message_of(r.health.error)));
            }
            count += r.blocks;
        }
        return count;
    }

 private:
    std::vector<node_process> processes_;
    std::unique_ptr<fabric_store> blocks_;  // ends before the nodes
    l3_faults* faults_;
};

/// Of one node. Blocks spread by their keys' hashes: a few more than its share may come to it.
std::uint64_t node_memory(std::uint64_t bytes, unsigned nodes) {
    const std::uint64_t share = bytes / nodes;
    return round_up(share + share / 4, mib) + 32 * mib;
}

}  // namespace

absl::StatusOr<std::unique_ptr<l3_store>> open_l3_nodes(const l3_spec& spec, std::uint64_t bytes,
                                                        double link_rate) {
    const absl::StatusOr<secret_file> secret = secret_file::create();
    SLUICE_RETURN_IF_ERROR(secret.status());
    std::vector<node_process> processes;
    for (unsigned i = 0; i < spec.nodes; ++i) {
        absl::StatusOr<node_process> started = node_process::start(
            {spec.program, secret->path(), spec.provider, node_memory(bytes, spec.nodes)});
        SLUICE_RETURN_IF_ERROR(started.status());
        processes.push_back(std::move(*started));
    }
    fabric_store_options options;
    options.secret = secret->text();
    options.provider = spec.provider;
    options.link_rate = link_rate;
    options.soft_timeout = soft_timeout;
    options.connect_timeout = patience;
    for (node_process& process : processes) {
        absl::StatusOr<std::string> address = process.address();
        SLUICE_RETURN_IF_ERROR(address.status());
        options.nodes.push_back(std::move(*address));
    }
    absl::StatusOr<std::unique_ptr<fabric_store>> blocks = fabric_store::create(options);
    SLUICE_RETURN_IF_ERROR(blocks.status());
    auto out = std::make_unique<l3_nodes>(std::move(processes), std::move(*blocks), spec.faults);
    // Not before all are connected to: no row is to pay for that.
    SLUICE_RETURN_IF_ERROR(out->block_count().status());
    return out;
}

bool has_nodes() noexcept { return true; }

}  // namespace sluice::replay
