// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include <sluice/sluice.h>

namespace sluice::test {

/// Everything by the C API, on a loop with a clock that only moves when the test says so.
struct capi_rig {
    static constexpr std::uint32_t block_bytes = 256;
    static constexpr std::uint32_t block_tokens = 16;

    /// \param rate  of the store's link and the device, in bytes per second; 0: no time passes
    explicit capi_rig(std::uint32_t slots = 64, double rate = 0)
        : memory(std::size_t{slots} * block_bytes) {
        sluice_clock clock = SLUICE_CLOCK_INIT;
        clock.user = &now_ns;
        clock.now = [](void* user) { return *static_cast<std::uint64_t*>(user); };
        codes.push_back(sluice_loop_create(&clock, &loop));
        sluice_memory_store_options so = SLUICE_MEMORY_STORE_OPTIONS_INIT;
        so.loop = loop;
        so.bytes_per_second = rate;
        codes.push_back(sluice_store_open_memory(&so, &store));
        sluice_host_device_options dev = SLUICE_HOST_DEVICE_OPTIONS_INIT;
        dev.loop = loop;
        dev.bytes_per_second = rate;
        codes.push_back(sluice_device_open_host(&dev, &device));
        region.base = reinterpret_cast<std::uintptr_t>(memory.data());
        region.stride = region.bytes = block_bytes;
        region.slots = slots;
        region.layer = -1;
        group.regions = &region;
        group.n_regions = 1;
    }
    ~capi_rig() {
        sluice_pipeline_close(pipe);
        sluice_store_close(store);
        sluice_device_close(device);
        sluice_loop_close(loop);
    }
    capi_rig(const capi_rig&) = delete;
    capi_rig& operator=(const capi_rig&) = delete;

    [[nodiscard]] sluice_pipeline_options options() const {
        sluice_pipeline_options o = SLUICE_PIPELINE_OPTIONS_INIT;
        o.groups = &group;
        o.n_groups = 1;
        o.block_tokens = block_tokens;
        o.device = device;
        o.store = store;
        o.loop = loop;
        o.l2_bytes = 64 * block_bytes;
        return o;
    }
    sluice_status open(const sluice_pipeline_options& o) { return sluice_pipeline_open(&o, &pipe); }
    sluice_status open() { return open(options()); }

    static std::vector<std::uint64_t> keys(std::uint64_t first, std::uint32_t n) {
        std::vector<std::uint64_t> out;
        for (std::uint64_t id = first; id < first + n; ++id) {
            out.push_back(id);
        }
        return out;
    }
    static std::byte content(std::uint64_t id, std::size_t at) {
        return static_cast<std::byte>((id * 131 + at * 7) & 0xff);
    }

    /// Puts blocks into the store, at once.
    void fill(std::uint64_t first, std::uint32_t n) {
        const std::vector<std::uint64_t> names = keys(first, n);
        std::vector<std::byte> bytes(std::size_t{n} * block_bytes);
        std::vector<void*> at;
        const std::vector<std::uint64_t> sizes(n, block_bytes);
        for (std::uint32_t i = 0; i < n; ++i) {
            at.push_back(bytes.data() + std::size_t{i} * block_bytes);
            for (std::size_t j = 0; j < block_bytes; ++j) {
                bytes[std::size_t{i} * block_bytes + j] = content(first + i, j);
            }
        }
        sluice_batch b = SLUICE_BATCH_INIT;
        b.kind = SLUICE_BATCH_PUT;
        b.keys = names.data();
        b.key_size = sizeof(std::uint64_t);
        b.n = n;
        b.memory = at.data();
        b.bytes = sizes.data();
        std::uint64_t ticket = 0;
        codes.push_back(sluice_store_submit(store, &b, &ticket));
        run();
        sluice_batch_result result{};
        std::uint32_t ended = 0;
        codes.push_back(sluice_store_poll(store, &result, 1, &ended));
        codes.push_back(result.status);
    }

    sluice_status submit(std::uint64_t first, std::uint32_t n, sluice_request_id* out,
                         void (*change)(sluice_request&) = nullptr) {
        const std::vector<std::uint64_t> names = keys(first, n);
        sluice_request r = SLUICE_REQUEST_INIT;
        r.keys = names.data();
        r.key_size = sizeof(std::uint64_t);
        r.n_keys = n;
        r.prompt_tokens = std::uint64_t{n} * block_tokens + 1;
        if (change != nullptr) {
            change(r);
        }
        return sluice_submit(pipe, &r, out);
    }

    /// Runs the loop, letting time jump to each timer, until nothing is left to do.
    void run() {
        for (std::uint64_t next = 0;
             sluice_loop_run(loop, &next) == SLUICE_OK && next != UINT64_MAX;) {
            now_ns = std::max(now_ns, next);
        }
    }
    std::vector<sluice_event> poll() const {
        std::vector<sluice_event> out(64);
        std::uint32_t n = 0;
        sluice_poll(pipe, out.data(), 64, &n);
        out.resize(n);
        return out;
    }
    std::vector<sluice_event> run_and_poll() {
        run();
        return poll();
    }

    [[nodiscard]] bool page_holds(std::uint32_t slot, std::uint64_t id) const {
        for (std::size_t i = 0; i < block_bytes; ++i) {
            if (memory[std::size_t{slot} * block_bytes + i] != content(id, i)) {
                return false;
            }
        }
        return true;
    }
    /// Whether all that the rig did itself went well.
    [[nodiscard]] bool good() const {
        return std::ranges::all_of(codes, [](sluice_status s) { return s == SLUICE_OK; });
    }

    std::uint64_t now_ns = 1'000'000'000;
    std::vector<std::byte> memory;
    std::vector<sluice_status> codes;
    sluice_region region{};
    sluice_group group{};
    sluice_loop* loop = nullptr;
    sluice_store* store = nullptr;
    sluice_device* device = nullptr;
    sluice_pipeline* pipe = nullptr;
};

/// Whether the last error of this thread says so.
inline bool says(std::string_view text) {
    return std::string_view(sluice_last_error()).find(text) != std::string_view::npos;
}

}  // namespace sluice::test
