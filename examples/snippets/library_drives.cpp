// SPDX-License-Identifier: Apache-2.0
// The library drives: it calls the engine's function for each request whose blocks are in L1.
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <span>
#include <utility>
#include <vector>

#include <poll.h>

#include <sluice/device/host_device.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/stage/compute_thread.hpp>
#include <sluice/store/memory_store.hpp>

int main() {
    constexpr std::uint32_t page_bytes = 4096, page_count = 64, blocks = 8;
    std::vector<std::byte> kv(std::size_t{page_count} * page_bytes);
    sluice::group_layout group;
    group.regions = {{.base = reinterpret_cast<std::uintptr_t>(kv.data()),
                      .stride = page_bytes,
                      .bytes = page_bytes,
                      .slots = page_count}};
    const sluice::layout l1 = sluice::layout::create({group}).value();
    const auto device = sluice::host_device::create().value();
    const auto store = sluice::memory_store::create().value();

    std::uint64_t computed_tokens = 0;  // of the compute thread until the outcome is polled
    // [compute]
    sluice::compute_thread compute([&](sluice::compute_job& job) {
        // Runs on a thread of its own and may block. The KV of job.context_tokens tokens is in
        // job.pages; compute job.query_tokens more behind them, and the first token.
        computed_tokens += job.query_tokens;
        return absl::OkStatus();
    });
    sluice::pipeline_options options;
    options.compute = &compute;  // and the rest as before
    // [compute]
    options.l1 = &l1;
    options.device = device.get();
    options.store = store.get();
    const auto pipe = sluice::pipeline::create(std::move(options)).value();

    std::vector<sluice::block_key> keys;
    for (std::uint64_t i = 0; i < blocks; ++i) {
        keys.push_back(sluice::block_key::from_u64(i));
    }
    for (int turn = 0; turn < 2; ++turn) {
        sluice::request_spec spec;
        spec.keys = keys;
        spec.prompt_tokens = blocks * options.block_tokens + 1;
        // [deadline]
        // Threads of the pipeline's own keep the time of std::chrono::steady_clock.
        const sluice::time_point now(std::chrono::steady_clock::now().time_since_epoch());
        spec.deadline = now + std::chrono::milliseconds(200);  // an instant, not a span
        // [deadline]
        const sluice::request_handle request = pipe->submit(spec).value();
        pollfd waiting{pipe->event_fd(), POLLIN, 0};
        sluice::request_event event;
        while (event.request != request || !sluice::is_outcome(event.kind)) {
            poll(&waiting, 1, -1);
            (void)pipe->poll_events(std::span(&event, 1));
        }
        if (event.kind != sluice::event_kind::computed) {
            return 1;
        }
        (void)pipe->release(request);
    }
    std::printf("computed %llu tokens\n", static_cast<unsigned long long>(computed_tokens));
    return computed_tokens == blocks * 16 + 1 + 1 ? 0 : 1;
}
