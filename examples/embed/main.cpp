// SPDX-License-Identifier: Apache-2.0
// The smallest whole engine loop: a prompt is served twice, and the second time it is not computed.
#include <cstdint>
#include <cstdio>
#include <span>
#include <vector>

#include <poll.h>

#include <sluice/device/host_device.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/store/memory_store.hpp>

namespace {

constexpr std::uint32_t page_bytes = 4096, pages = 64, block_tokens = 16;

// [README]
/// Submits a prompt, waits until what is cached of it is in L1, and computes the rest.
std::uint32_t serve(sluice::pipeline& pipe, std::span<const sluice::block_key> keys) {
    sluice::request_spec spec;
    spec.keys = keys;  // one per full block of the prompt
    spec.prompt_tokens = keys.size() * block_tokens + 5;
    if (!pipe.submit(spec).ok()) {
        return 0;
    }
    pollfd waiting{pipe.event_fd(), POLLIN, 0};
    for (;;) {
        poll(&waiting, 1, -1);
        sluice::request_event event;
        while (pipe.poll_events(std::span(&event, 1)) == 1) {
            if (event.kind == sluice::event_kind::ready) {
                // compute tokens event.blocks * block_tokens and on, into pipe.pages(event.request)
                (void)pipe.compute_done(event.request);  // the computed blocks go to the store
            }
            if (sluice::is_outcome(event.kind)) {
                (void)pipe.release(event.request);
                return event.blocks;
            }
        }
    }
}
// [README]

}  // namespace

int main() {
    std::vector<std::byte> memory(std::size_t{pages} * page_bytes);
    const auto base = reinterpret_cast<std::uintptr_t>(memory.data());
    sluice::group_layout group;
    group.regions = {{.base = base, .stride = page_bytes, .bytes = page_bytes, .slots = pages}};
    const sluice::layout l1 = sluice::layout::create({group}).value();
    const auto device = sluice::host_device::create().value();
    const auto store = sluice::memory_store::create().value();

    sluice::pipeline_options options;
    options.l1 = &l1;
    options.block_tokens = block_tokens;
    options.device = device.get();
    options.store = store.get();
    const auto pipe = sluice::pipeline::create(std::move(options)).value();

    std::vector<sluice::block_key> prompt;
    for (std::uint64_t i = 0; i < 8; ++i) {
        prompt.push_back(sluice::block_key::from_u64(i));
    }
    const std::uint32_t first = serve(*pipe, prompt);
    const std::uint32_t second = serve(*pipe, prompt);
    std::printf("loaded %u blocks, then %u of %zu\n", first, second, prompt.size());
    return first == 0 && second == prompt.size() ? 0 : 1;
}
