// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <deque>
#include <span>
#include <vector>

#include <sluice/base/status.hpp>
#include <sluice/coro/virtual_loop.hpp>

#include "profile.hpp"

namespace sluice::experiment {
namespace {

/// Blocks that are transferred together, as far as the window lets them.
constexpr std::array<std::uint32_t, 6> batch_sizes{1, 2, 4, 16, 64, 128};
constexpr std::uint32_t most = batch_sizes.back();
// Blocks of two sizes, or bytes could not be told from descriptors.
constexpr std::uint64_t smaller = 4;

/// Operations of which a window is in flight until all have ended.
template <class Op, class Start>
class transfers {
 public:
    transfers(virtual_loop& home, Start start) : home_(home), start_(start), ops_(most) {
        for (item& op : ops_) {
            op.of = this;
            op.on_completion(home, [](operation& o) noexcept {
                auto& ended = static_cast<item&>(o);
                ended.of->on_end(ended);
            });
        }
    }

    [[nodiscard]] Op& operator[](std::size_t i) { return ops_[i]; }

    /// Seconds until the first `n` have ended.
    absl::StatusOr<double> time(std::uint32_t n, std::uint32_t window) {
        n_ = n;
        started_ = 0;
        const time_point begun = home_.now();
        while (started_ < std::min(n, window)) {
            start_(ops_[started_++]);
        }
        home_.run_until_idle();
        SLUICE_RETURN_IF_ERROR(fault_);
        return to_seconds(last_ - begun);
    }

 private:
    struct item final : Op {
        transfers* of = nullptr;
    };

    void on_end(const item& op) noexcept {
        last_ = home_.now();
        if (!op.status().ok()) {
            fault_ = op.status();
        } else if (started_ < n_) {
            start_(ops_[started_++]);
        }
    }

    virtual_loop& home_;
    Start start_;
    std::deque<item> ops_;
    std::uint32_t n_ = 0;
    std::uint32_t started_ = 0;
    time_point last_{};
    absl::Status fault_;
};

template <class Transfers>
absl::Status sample(Transfers& blocks, std::uint64_t block_bytes, std::uint32_t pieces,
                    const stage_limits& limits, std::vector<cost_sample>& out) {
    const auto window = static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(limits.bytes / block_bytes, 1, limits.operations));
    for (const std::uint32_t n : batch_sizes) {
        const absl::StatusOr<double> took = blocks.time(n, window);
        SLUICE_RETURN_IF_ERROR(took.status());
        out.push_back({{n * block_bytes, std::uint64_t{n} * pieces, 0, 0}, *took});
    }
    return absl::OkStatus();
}

absl::Status sample_fetches(const hardware_profile& profile, std::uint64_t block_bytes,
                            std::vector<cost_sample>& out) {
    virtual_loop home;
    sim::network_options nodes{profile.nodes, profile.replicas, 1};
    for (sim::node_options& n : nodes.nodes) {
        n.loss = 0;
        n.events.clear();
    }
    sim::link_options of_link = profile.link;
    of_link.drift.clear();
    of_link.soft_timeout = std::chrono::hours(24);
    const auto network = sim::network::create(std::move(nodes), home);
    SLUICE_RETURN_IF_ERROR(network.status());
    const auto link = sim::link::create(**network, of_link);
    SLUICE_RETURN_IF_ERROR(link.status());
    // An address: a simulated link touches no memory.
    const std::span<std::byte> into(reinterpret_cast<std::byte*>(4096), block_bytes);
    SLUICE_RETURN_IF_ERROR((*link)->register_memory(into));
    const auto start = [&](store_get& op) {
        store_get* const one = &op;
        (*link)->get({&one, 1});
    };
    transfers<store_get, decltype(start)> gets(home, start);
    for (std::uint32_t i = 0; i < most; ++i) {
        gets[i].key = block_key::from_u64(i);
        gets[i].into = into;
        (*network)->hold(gets[i].key, block_bytes);
    }
    absl::Status status = sample(gets, block_bytes, 1, profile.fetch_window, out);
    (*link)->unregister_memory(into);
    return status;
}

absl::Status sample_copies(const hardware_profile& profile, std::uint64_t block_bytes,
                           std::vector<cost_sample>& out) {
    virtual_loop home;
    const auto gpu = sim::copy_engine::create(profile.copy, home);
    SLUICE_RETURN_IF_ERROR(gpu.status());
    const auto layout = sim::simulated_layout(most, block_bytes, profile.pieces_per_block);
    SLUICE_RETURN_IF_ERROR(layout.status());
    SLUICE_RETURN_IF_ERROR((*gpu)->register_layout(*layout));
    const auto host = (*gpu)->allocate_pinned(block_bytes);
    SLUICE_RETURN_IF_ERROR(host.status());
    const auto start = [&](device_copy& op) {
        device_copy* const one = &op;
        (*gpu)->copy_in({&one, 1});
    };
    transfers<device_copy, decltype(start)> copies(home, start);
    for (std::uint32_t i = 0; i < most; ++i) {
        copies[i].host = host->data();
        copies[i].group = &layout->groups()[0];
        copies[i].slot = i;
    }
    absl::Status status =
        sample(copies, block_bytes, profile.pieces_per_block, profile.copy_window, out);
    (*gpu)->free_pinned(*host);
    return status;
}

template <class Sample>
absl::StatusOr<load_coefficients> profile_stage(const hardware_profile& profile,
                                                std::uint64_t block_bytes, cost_form form,
                                                Sample sample_stage) {
    std::vector<cost_sample> samples;
    const std::uint64_t least = profile.pieces_per_block;
    for (const std::uint64_t bytes : {block_bytes, std::max(block_bytes / smaller, least)}) {
        SLUICE_RETURN_IF_ERROR(sample_stage(profile, bytes, samples));
    }
    // Hardware without limits takes no time, which is no sample of a line.
    const auto takes_time = [](const cost_sample& one) { return one.seconds > 0; };
    if (std::none_of(samples.begin(), samples.end(), takes_time)) {
        return load_coefficients{};
    }
    return fit_load(samples, form);
}

}  // namespace

absl::StatusOr<std::unique_ptr<linear_cost_model>> profiled_cost_model(
    const hardware_profile& profile, std::uint64_t block_bytes,
    const linear_cost_options& options) {
    const auto fetch = profile_stage(profile, block_bytes, options.form, sample_fetches);
    SLUICE_RETURN_IF_ERROR(fetch.status());
    const auto copy = profile_stage(profile, block_bytes, options.form, sample_copies);
    SLUICE_RETURN_IF_ERROR(copy.status());
    auto out = std::make_unique<linear_cost_model>(options);
    out->set_load(stage_id::fetch, *fetch);
    out->set_load(stage_id::put, *fetch);
    out->set_load(stage_id::copy, *copy);
    out->set_load(stage_id::copy_out, *copy);
    out->set_compute(profile.prefill);
    return out;
}

}  // namespace sluice::experiment
