// SPDX-License-Identifier: Apache-2.0
// The smallest whole engine, twice: a prompt is served two times, and the second time it is not
// computed. First the engine drives compute, then the library.
#include <cstdio>

#include <sluice/device/host_device.hpp>
#include <sluice/store/memory_store.hpp>

#include "embed.hpp"

int main() {
    kv_memory memory;
    const sluice::layout l1 = memory.layout();
    const auto device = sluice::host_device::create().value();
    const auto store = sluice::memory_store::create().value();

    const auto options = [&] {
        sluice::pipeline_options o;
        o.l1 = &l1;
        o.block_tokens = block_tokens;
        o.device = device.get();
        o.store = store.get();
        return o;
    };
    const bool first = engine_drives(options());
    const bool second = library_drives(options(), memory);
    std::printf("%s\n", first && second ? "served from the cache" : "not served from the cache");
    return first && second ? 0 : 1;
}
