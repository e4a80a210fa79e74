// SPDX-License-Identifier: Apache-2.0
// sluice::sluice, by its umbrella header: loads four blocks that a store has into L1.
#include <array>
#include <cstdint>
#include <cstdio>
#include <vector>

#include <poll.h>

#include <sluice/sluice.hpp>

namespace {

constexpr std::uint32_t page_bytes = 4096, blocks = 4;

/// The number of blocks that were in L1 when the prompt's outcome came.
absl::StatusOr<std::uint32_t> serve(sluice::pipeline& pipe,
                                    std::span<const sluice::block_key> keys) {
    sluice::request_spec spec;
    spec.keys = keys;
    spec.prompt_tokens = keys.size() * 16 + 1;
    if (const auto submitted = pipe.submit(spec); !submitted.ok()) {
        return submitted.status();
    }
    pollfd waiting{pipe.event_fd(), POLLIN, 0};
    for (;;) {
        poll(&waiting, 1, -1);
        sluice::request_event event;
        while (pipe.poll_events(std::span(&event, 1)) == 1) {
            if (event.kind == sluice::event_kind::ready) {
                static_cast<void>(pipe.compute_done(event.request));
            }
            if (sluice::is_outcome(event.kind)) {
                static_cast<void>(pipe.release(event.request));
                return event.blocks;
            }
        }
    }
}

absl::StatusOr<std::uint32_t> run() {
    std::vector<std::byte> memory(std::size_t{2} * blocks * page_bytes);
    sluice::group_layout group;
    group.regions = {{.base = reinterpret_cast<std::uintptr_t>(memory.data()),
                      .stride = page_bytes,
                      .bytes = page_bytes,
                      .slots = 2 * blocks}};
    const auto l1 = sluice::layout::create({group});
    const auto device = sluice::host_device::create();
    const auto store = sluice::memory_store::create();
    if (!l1.ok() || !device.ok() || !store.ok()) {
        return absl::InternalError("set-up");
    }
    sluice::pipeline_options options;
    options.l1 = &*l1;
    options.device = device->get();
    options.store = store->get();
    auto pipe = sluice::pipeline::create(std::move(options));
    if (!pipe.ok()) {
        return pipe.status();
    }
    std::array<sluice::block_key, blocks> prompt;
    for (std::uint32_t i = 0; i < blocks; ++i) {
        prompt[i] = sluice::block_key::from_u64(i);
    }
    if (const auto first = serve(**pipe, prompt); !first.ok() || *first != 0) {
        return absl::InternalError("nothing was cached");
    }
    return serve(**pipe, prompt);
}

}  // namespace

int main() {
    const absl::StatusOr<std::uint32_t> loaded = run();
    if (!loaded.ok()) {
        std::fprintf(stderr, "%s\n", loaded.status().ToString().c_str());
        return 1;
    }
    const std::string_view version = sluice::version();
    std::printf("sluice %.*s: %u blocks\n", static_cast<int>(version.size()), version.data(),
                *loaded);
    return *loaded == blocks ? 0 : 1;
}
