// SPDX-License-Identifier: Apache-2.0
#include "warm.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <span>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/device/host_device.hpp>

namespace sluice::replay {
namespace {

/// The blocks of a request that full mode puts into L3.
std::span<const block_key> warm_keys(const workload::workload_request& r) {
    return std::span(r.keys).first(std::min<std::size_t>(r.keys.size(), r.total_blocks - 1));
}

/// Waits for `computed` of one request, and takes the others' events by the way.
absl::Status wait_computed(pipeline& pipe, request_handle which) {
    std::array<request_event, 16> events;
    for (;;) {
        while (const std::size_t n = pipe.poll_events(events)) {
            for (const request_event& e : std::span(events).first(n)) {
                if (e.request != which || !is_outcome(e.kind)) {
                    continue;
                }
                if (e.kind != event_kind::computed) {
                    return annotate(e.status, "the producer failed");
                }
                return pipe.release(which);
            }
        }
        pollfd fd{pipe.event_fd(), POLLIN, 0};
        poll(&fd, 1, 1000);
    }
}

/// Waits until nothing is on its way to the store.
void wait_stored(pipeline& pipe) {
    std::array<request_event, 16> events;
    while (pipe.stats().live_requests > 0) {
        while (pipe.poll_events(events) > 0) {
        }
        pollfd fd{pipe.event_fd(), POLLIN, 0};
        poll(&fd, 1, 1);
    }
}

absl::Status check_stored(const setting& s) {
    std::unordered_set<block_key> wanted;
    for (const workload::workload_request& r : s.load.requests) {
        const auto keys = warm_keys(r);
        wanted.insert(keys.begin(), keys.end());
    }
    const absl::StatusOr<std::uint64_t> there = s.l3->block_count();
    SLUICE_RETURN_IF_ERROR(there.status());
    if (*there != wanted.size()) {
        return absl::InternalError(
            fmt::format("L3 holds {} blocks after the producer, not {}", *there, wanted.size()));
    }
    return absl::OkStatus();
}

}  // namespace

absl::Status produce(setting& s, command::progress_bar& progress) {
    const bool fill = s.warm == workload::warm_mode::full;
    auto eng = engine::create(*s.model, s.load.block_tokens, s.l1_blocks);
    SLUICE_RETURN_IF_ERROR(eng.status());
    auto gpu = host_device::create();
    SLUICE_RETURN_IF_ERROR(gpu.status());
    if (fill) {
        auto l3 = open_l3(s.where, s.l3_bytes, 0);
        SLUICE_RETURN_IF_ERROR(l3.status());
        s.l3 = std::move(*l3);
    }
    pipeline_options o;
    o.l1 = &(*eng)->pages();
    o.block_tokens = s.load.block_tokens;
    o.compute = &(*eng)->model_thread();
    o.device = gpu->get();
    o.store = fill ? &s.l3->blocks() : nullptr;
    o.l2_bytes = s.l2_blocks * s.block_bytes();
    o.write_back_share = 1;  // nothing else needs L2 here
    auto pipe = pipeline::create(std::move(o));
    SLUICE_RETURN_IF_ERROR(pipe.status());
    progress.begin("prefilling", s.load.requests.size());
    for (std::size_t i = 0; i < s.load.requests.size(); ++i) {
        request_spec spec;
        if (fill) {
            spec.keys = warm_keys(s.load.requests[i]);
        }
        spec.prompt_tokens = s.load.requests[i].tokens.size();
        spec.max_load_blocks = 0;  // a reference owes nothing to what was cached
        spec.user = &s.prompts[i];
        const auto request = (*pipe)->submit(spec);
        SLUICE_RETURN_IF_ERROR(request.status());
        SLUICE_RETURN_IF_ERROR(wait_computed(**pipe, *request));
        progress.advance();
    }
    if (!fill) {
        return absl::OkStatus();
    }
    wait_stored(**pipe);
    SLUICE_RETURN_IF_ERROR(check_stored(s));
    return s.l3->set_link_rate(s.link_rate);
}

}  // namespace sluice::replay
