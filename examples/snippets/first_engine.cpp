// SPDX-License-Identifier: Apache-2.0
// A whole engine, but for the model: loads what is cached of a prompt, computes the rest, stores
// it.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <poll.h>

#include <sluice/device/host_device.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/store/memory_store.hpp>

constexpr std::uint32_t block_tokens = 16, page_bytes = 4096, page_count = 64;

// One name per full block. Prompts that begin alike have names that begin alike.
std::vector<sluice::block_key> names_of(std::span<const std::uint32_t> tokens) {
    std::vector<sluice::block_key> names;
    sluice::block_key before;
    for (; tokens.size() >= block_tokens; tokens = tokens.subspan(block_tokens)) {
        before = sluice::chain_key(before, tokens.first(block_tokens));
        names.push_back(before);
    }
    return names;
}

// Serves one prompt. Returns how many of its blocks were loaded, -1 if it could not be served.
int serve(sluice::pipeline& pipe, std::span<const std::uint32_t> tokens) {
    const std::vector<sluice::block_key> names = names_of(tokens);
    sluice::request_spec spec;
    spec.keys = names;
    spec.prompt_tokens = tokens.size();
    const auto request = pipe.submit(spec);  // loading begins
    if (!request.ok()) {
        std::fprintf(stderr, "%s\n", request.status().ToString().c_str());
        return -1;
    }
    pollfd waiting{pipe.event_fd(), POLLIN, 0};
    for (;;) {
        poll(&waiting, 1, -1);  // with your engine's other descriptors
        std::array<sluice::request_event, 16> events;
        for (std::size_t i = 0, n = pipe.poll_events(events); i < n; ++i) {
            const sluice::request_event& event = events[i];
            if (!sluice::is_outcome(event.kind) || event.request != *request) {
                continue;
            }
            if (event.kind == sluice::event_kind::ready) {
                const auto pages = pipe.pages(*request);  // block i is in page (*pages)[i]
                // Run the model on tokens event.blocks * block_tokens and on, into those pages.
                (void)pipe.compute_done(*request);  // the first token is there; blocks are stored
            }
            (void)pipe.release(*request);  // a real engine first decodes
            return event.kind == sluice::event_kind::ready ? static_cast<int>(event.blocks) : -1;
        }
    }
}

int main() {
    // L1: your KV memory, as pages of one block each.
    std::vector<std::byte> kv(std::size_t{page_count} * page_bytes);
    sluice::group_layout group;
    group.regions = {{.base = reinterpret_cast<std::uintptr_t>(kv.data()),
                      .stride = page_bytes,
                      .bytes = page_bytes,
                      .slots = page_count}};
    const auto l1 = sluice::layout::create({group});
    // The way from L2 to L1, and L3. They outlive the pipeline.
    const auto device = sluice::host_device::create();
    const auto store = sluice::memory_store::create();
    if (!l1.ok() || !device.ok() || !store.ok()) {
        return 1;
    }
    sluice::pipeline_options options;
    options.l1 = &*l1;
    options.block_tokens = block_tokens;
    options.device = device->get();
    options.store = store->get();
    const auto pipe = sluice::pipeline::create(std::move(options));
    if (!pipe.ok()) {
        std::fprintf(stderr, "%s\n", pipe.status().ToString().c_str());
        return 1;
    }
    std::vector<std::uint32_t> prompt(85);
    std::iota(prompt.begin(), prompt.end(), 1000);
    const int first = serve(**pipe, prompt);
    prompt.resize(100, 7);  // the same beginning, another end
    const int second = serve(**pipe, prompt);
    std::printf("loaded %d blocks, then %d\n", first, second);
    return first == 0 && second == 5 ? 0 : 1;
}
