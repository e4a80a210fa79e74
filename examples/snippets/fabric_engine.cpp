// SPDX-License-Identifier: Apache-2.0
// L3 on a memory node: what one engine computed, another loads.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <span>
#include <utility>
#include <vector>

#include <poll.h>
#include <stdlib.h>

#include <sluice/device/host_device.hpp>
#include <sluice/fabric/fabric_store.hpp>
#include <sluice/fabric/memory_node.hpp>
#include <sluice/pipeline.hpp>

namespace {

constexpr std::uint32_t page_bytes = 4096, page_count = 64, blocks = 8;
// The defaults are for production; machines that run tests may be busy.
constexpr sluice::duration patience = std::chrono::seconds(9);

// An engine that serves one prompt. Returns how many blocks were loaded; -1 if there is no store.
int serve(const sluice::fabric_store_options& l3) {
    std::vector<std::byte> kv(std::size_t{page_count} * page_bytes);
    sluice::group_layout group;
    group.regions = {{.base = reinterpret_cast<std::uintptr_t>(kv.data()),
                      .stride = page_bytes,
                      .bytes = page_bytes,
                      .slots = page_count}};
    const sluice::layout l1 = sluice::layout::create({group}).value();
    const auto device = sluice::host_device::create().value();
    // [store]
    const auto store = sluice::fabric_store::create(l3);
    if (!store.ok()) {
        std::fprintf(stderr, "%s\n", store.status().ToString().c_str());
        return -1;
    }
    sluice::pipeline_options options;
    options.store = store->get();  // and the rest as before
    // [store]
    options.fetch_soft_timeout = patience;
    options.l1 = &l1;
    options.device = device.get();
    const auto pipe = sluice::pipeline::create(std::move(options)).value();

    std::vector<sluice::block_key> keys;
    for (std::uint64_t i = 0; i < blocks; ++i) {
        keys.push_back(sluice::block_key::from_u64(i));
    }
    sluice::request_spec spec;
    spec.keys = keys;
    spec.prompt_tokens = blocks * 16 + 1;
    const sluice::request_handle request = pipe->submit(spec).value();
    pollfd waiting{pipe->event_fd(), POLLIN, 0};
    std::uint32_t loaded = 0;
    bool over = false;
    while (!over) {
        poll(&waiting, 1, -1);
        sluice::request_event event;
        while (pipe->poll_events(std::span(&event, 1)) == 1) {
            if (event.kind == sluice::event_kind::ready) {
                loaded = event.blocks;
                (void)pipe->compute_done(request);
            } else {
                over = event.kind == sluice::event_kind::stored;
            }
        }
    }
    (void)pipe->release(request);
    return static_cast<int>(loaded);
}

}  // namespace

int main() {
    // Some builds of libfabric would print a backtrace for every signal.
    setenv("IPATH_NO_BACKTRACE", "1", 0);
    setenv("HFI_NO_BACKTRACE", "1", 0);
    sluice::memory_node_options options;  // in production `sluice node` on other machines
    options.memory = 64 * sluice::mib;
    options.secret = "known to clients and nodes";
    const auto node = sluice::memory_node::create(options);
    if (!node.ok()) {
        std::fprintf(stderr, "%s\n", node.status().ToString().c_str());
        return 1;
    }
    // [options]
    sluice::fabric_store_options l3;
    l3.nodes = {(*node)->address()};  // "tcp://10.0.0.5:7400", ...: all clients spell them alike
    l3.secret = options.secret;       // or the file: l3.secret_file
    // [options]
    l3.soft_timeout = l3.connect_timeout = patience;
    const int first = serve(l3);
    const int second = serve(l3);
    std::printf("loaded %d blocks, then %d from the node\n", first, second);
    return first == 0 && second == blocks ? 0 : 1;
}
