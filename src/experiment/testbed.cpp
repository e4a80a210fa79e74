// SPDX-License-Identifier: Apache-2.0
#include "testbed.hpp"

#include <limits>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

namespace sluice::experiment {

absl::StatusOr<std::unique_ptr<testbed>> testbed::create(
    cluster& in, const hardware_profile& hardware, const kv_model& model, const load& requests,
    std::span<const sim::rate_change> drift, std::function<void(std::size_t)> decoded) {
    std::unique_ptr<testbed> out(new testbed(in, requests));
    testbed& bed = *out;
    bed.block_bytes_ = model.kv_bytes_per_token() * requests.block_tokens;
    const std::uint64_t slots = hardware.l1_bytes / bed.block_bytes_;
    if (slots == 0 || slots > std::numeric_limits<std::int32_t>::max() ||
        hardware.l2_bytes < bed.block_bytes_) {
        return absl::InvalidArgumentError(fmt::format(
            "profile {}: l1_bytes and l2_bytes have to hold at least a block of {} tokens of {}, "
            "which is {} bytes, and L1 at most 2^31 of them",
            hardware.name, requests.block_tokens, model.name, bed.block_bytes_));
    }
    auto l1 = sim::simulated_layout(static_cast<std::uint32_t>(slots), bed.block_bytes_,
                                    hardware.pieces_per_block);
    SLUICE_RETURN_IF_ERROR(l1.status());
    bed.l1_.emplace(*std::move(l1));

    in.hold(requests, bed.block_bytes_);
    sim::link_options way = hardware.link;
    way.drift.assign(drift.begin(), drift.end());
    auto l3 = sim::link::create(in.nodes(), way);
    SLUICE_RETURN_IF_ERROR(annotate(l3.status(), hardware.name));
    bed.l3_ = *std::move(l3);
    auto gpu = sim::copy_engine::create(hardware.copy, in.home());
    SLUICE_RETURN_IF_ERROR(annotate(gpu.status(), hardware.name));
    bed.gpu_ = *std::move(gpu);

    if (hardware.compute == compute_kind::prefill) {
        auto made = sim::prefill::create(hardware.prefill, in.home());
        SLUICE_RETURN_IF_ERROR(annotate(made.status(), hardware.name));
        bed.prefill_ = *std::move(made);
        return out;
    }
    const testbed* const here = out.get();
    auto made = sim::iteration_engine::create(
        hardware.iteration,
        [here](const compute_job& job) {
            return here->requests_.requests[here->request_of(job.user)].output_tokens;
        },
        [here, decoded = std::move(decoded)](void* user) { decoded(here->request_of(user)); },
        in.home());
    SLUICE_RETURN_IF_ERROR(annotate(made.status(), hardware.name));
    bed.iteration_ = *std::move(made);
    return out;
}

compute& testbed::model() noexcept {
    if (prefill_ != nullptr) {
        return *prefill_;
    }
    return *iteration_;
}

double testbed::compute_busy_seconds() const noexcept {
    return prefill_ != nullptr ? prefill_->busy_seconds() : iteration_->busy_seconds();
}

std::uint32_t testbed::pages_of(std::size_t request) const noexcept {
    const load_request& r = requests_.requests[request];
    const std::uint64_t tokens = r.prompt_tokens + (decodes() ? r.output_tokens : 0);
    return static_cast<std::uint32_t>((tokens + requests_.block_tokens - 1) /
                                      requests_.block_tokens);
}

void append_keys(const load_request& request, std::vector<block_key>& out) {
    out.reserve(out.size() + request.block_ids.size());
    for (const std::uint64_t id : request.block_ids) {
        out.push_back(key_of(id));
    }
}

}  // namespace sluice::experiment
