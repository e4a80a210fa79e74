// SPDX-License-Identifier: Apache-2.0
#include "memory_bench.hpp"

#include <malloc.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <sluice/coro/virtual_loop.hpp>
#include <sluice/device/host_device.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/store/store.hpp>

namespace sluice::bench {

namespace {

/// Has every block, and never delivers one before it is told to give up.
class stalled_store final : public store {
 public:
    absl::Status register_memory(std::span<std::byte>) override { return absl::OkStatus(); }
    void unregister_memory(std::span<std::byte>) noexcept override {}
    void lookup(store_lookup& op) noexcept override {
        for (std::uint8_t& p : op.present) {
            p = 1;
        }
        op.complete(absl::OkStatus());
    }
    void get(std::span<store_get* const> ops) noexcept override {
        for (store_get* op : ops) {
            gets_.push_back(op);
        }
    }
    void put(std::span<store_put* const> ops) noexcept override {
        for (store_put* op : ops) {
            op->complete(absl::UnavailableError(""));
        }
    }
    void remove(store_remove& op) noexcept override { op.complete(absl::OkStatus()); }
    void abort(operation& op) noexcept override {
        if (std::erase(gets_, &op) > 0) {
            op.complete(absl::UnavailableError(""));
        }
    }

 private:
    std::vector<operation*> gets_;
};

double heap_bytes() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
    return 0;
#else
    const struct mallinfo2 m = ::mallinfo2();
    return static_cast<double>(m.uordblks + m.hblkhd);
#endif
}

/// Heap that `requests` queued requests of `blocks` blocks each take.
double queued_bytes(std::uint32_t requests, std::uint32_t blocks) {
    constexpr std::uint64_t block_bytes = 4096;
    constexpr std::uint32_t slots = 256;
    virtual_loop loop;
    std::vector<std::byte> kv(slots * block_bytes);
    group_layout group;
    group.regions.push_back(
        {reinterpret_cast<std::uintptr_t>(kv.data()), block_bytes, block_bytes, slots, -1});
    const auto l1 = layout::create({group});
    const auto gpu = host_device::create({}, &loop);
    stalled_store l3;
    pipeline_options o;
    o.l1 = &*l1;
    o.device = gpu->get();
    o.store = &l3;
    o.l2_bytes = 16 * block_bytes;
    o.owner = l1_owner::engine;
    o.max_requests = requests;
    o.fetch_hard_timeout = std::chrono::hours(1);
    o.fetch_soft_timeout = std::chrono::hours(1);
    o.control = &loop;
    o.io = &loop;
    auto made = pipeline::create(std::move(o));
    if (!made.ok()) {
        return 0;
    }
    pipeline& p = **made;
    const double before = heap_bytes();
    std::vector<block_key> keys(blocks);
    for (std::uint32_t r = 0; r < requests; ++r) {
        for (std::uint32_t b = 0; b < blocks; ++b) {
            keys[b] = block_key::from_u64(std::uint64_t{r} * blocks + b);
        }
        request_spec spec;
        spec.keys = keys;
        spec.prompt_tokens = std::uint64_t{blocks} * 16 + 1;
        if (!p.submit(spec).ok()) {
            return 0;
        }
        if (r % 64 == 63) {
            loop.run_until(loop.now());
        }
    }
    loop.run_until(loop.now());
    const double bytes = heap_bytes() - before;
    p.begin_close();
    loop.run_until_idle();
    return bytes;
}

}  // namespace

memory_figures run_memory_bench() {
    constexpr std::uint32_t many = 100'000;
    constexpr std::uint32_t few = 2'000;
    constexpr std::uint32_t blocks = 128;
    const double key = sizeof(block_key);
    memory_figures out;
    out.bytes_per_request = queued_bytes(many, 1) / many - key;
    const double one = queued_bytes(few, 1);
    const double all = queued_bytes(few, 1 + blocks);
    out.bytes_per_block = (all - one) / few / blocks - key;
    return out;
}

}  // namespace sluice::bench
