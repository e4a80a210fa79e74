// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <sluice/coro/virtual_loop.hpp>
#include <sluice/device/host_device.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/stage/compute.hpp>
#include <sluice/store/memory_store.hpp>

namespace sluice::test {

/// Computes on virtual time: so many seconds per token, and fills the pages of what it computes.
class timed_compute final : public compute {
 public:
    explicit timed_compute(loop& home, double seconds_per_token = 1e-6)
        : home_(home), seconds_per_token_(seconds_per_token) {}

    void start(compute_job& job) noexcept override {
        pending_.push_back(std::make_unique<running>(*this, job));
        home_.arm(
            *pending_.back(),
            home_.now() + from_seconds(seconds_per_token_ * static_cast<double>(job.query_tokens)));
        order.push_back(job.request);
    }

    std::vector<request_handle> order;  ///< of starts
    absl::Status result;                ///< of jobs that end from now on

 private:
    struct running : timer {
        running(timed_compute& o, compute_job& j)
            : timer([](timer& t) noexcept {
                  auto& self = static_cast<running&>(t);
                  self.job.complete(self.owner.result);
              }),
              owner(o),
              job(j) {}
        timed_compute& owner;
        compute_job& job;
    };

    loop& home_;
    double seconds_per_token_;
    std::vector<std::unique_ptr<running>> pending_;  // kept: timers must not move
};

/// A pipeline on virtual time with a store and a host device of real bytes.
struct rig {
    struct shape {
        std::uint32_t slots = 64;          ///< pages of L1
        std::uint32_t block_bytes = 4096;  ///< two pieces
        std::uint32_t l2_blocks = 64;
        double link_rate = 100e6;
        duration link_latency{0};
        bool library_owned = true;
        bool library_computes = true;
    };

    explicit rig(const shape& s) : s_(s), l1_memory(std::size_t{s.slots} * s.block_bytes) {
        group_layout group;
        const auto base = reinterpret_cast<std::uintptr_t>(l1_memory.data());
        const std::uint64_t half = s.block_bytes / 2;
        group.regions.push_back({base, half, half, s.slots, 0});
        group.regions.push_back({base + half * s.slots, half, half, s.slots, 1});
        l1.emplace(*layout::create({group}));
        memory_store_options so;
        so.link_rate = s.link_rate;
        so.latency = s.link_latency;
        l3 = *memory_store::create(so, &loop);
        gpu = *host_device::create({}, &loop);
        model.emplace(loop);
    }

    /// Options that fit the rig; change them before `open`.
    pipeline_options options() {
        pipeline_options o;
        o.l1 = &*l1;
        o.block_tokens = 16;
        o.owner = s_.library_owned ? l1_owner::library : l1_owner::engine;
        o.compute = s_.library_computes ? &*model : nullptr;
        o.device = gpu.get();
        o.store = l3.get();
        o.l2_bytes = std::uint64_t{s_.l2_blocks} * s_.block_bytes;
        o.control = &loop;
        o.io = &loop;
        return o;
    }
    void open(pipeline_options o) { pipe = *pipeline::create(std::move(o)); }

    /// What block `id` holds, byte by byte.
    static std::byte content(std::uint64_t id, std::size_t at) {
        return static_cast<std::byte>((id * 131 + at * 7 + (at >> 8)) & 0xff);
    }

    /// Puts blocks `first` to `first + n - 1` into L3, at once.
    void fill(std::uint64_t first, std::uint32_t n) {
        std::vector<std::byte> bytes(s_.block_bytes);
        for (std::uint64_t id = first; id < first + n; ++id) {
            for (std::size_t i = 0; i < bytes.size(); ++i) {
                bytes[i] = content(id, i);
            }
            store_put put;
            put.key = block_key::from_u64(id);
            put.from = bytes;
            put.on_completion(loop, [](operation&) noexcept {});
            store_put* ops[] = {&put};
            l3->put(ops);
            loop.run_until_idle();
        }
    }

    /// Whether the page holds block `id`.
    bool page_holds(slot_id slot, std::uint64_t id) const {
        const std::size_t half = s_.block_bytes / 2;
        for (std::size_t i = 0; i < s_.block_bytes; ++i) {
            const std::size_t piece = i / half;
            const std::size_t at = piece * half * s_.slots + std::size_t{slot} * half + i % half;
            if (l1_memory[at] != content(id, i)) {
                return false;
            }
        }
        return true;
    }

    static std::vector<block_key> keys(std::uint64_t first, std::uint32_t n) {
        std::vector<block_key> out;
        for (std::uint64_t id = first; id < first + n; ++id) {
            out.push_back(block_key::from_u64(id));
        }
        return out;
    }

    /// Submits a request for blocks first .. first + n - 1 and `extra` more tokens.
    request_handle submit(std::uint64_t first, std::uint32_t n, std::uint64_t extra = 16,
                          void (*change)(request_spec&) = nullptr) {
        const std::vector<block_key> k = keys(first, n);
        request_spec spec;
        spec.keys = k;
        spec.prompt_tokens = std::uint64_t{n} * 16 + extra;
        if (change != nullptr) {
            change(spec);
        }
        return *pipe->submit(spec);
    }

    /// Runs until nothing is left to do, and takes all events.
    std::vector<request_event> run() {
        loop.run_until_idle();
        return poll();
    }
    std::vector<request_event> poll() {
        std::vector<request_event> all;
        request_event batch[16];
        while (const std::size_t n = pipe->poll_events(batch)) {
            all.insert(all.end(), batch, batch + n);
        }
        return all;
    }
    void close() {
        pipe->begin_close();
        loop.run_until_idle();
    }

    shape s_;
    virtual_loop loop;
    std::vector<std::byte> l1_memory;
    std::optional<layout> l1;
    std::unique_ptr<memory_store> l3;
    std::unique_ptr<host_device> gpu;
    std::optional<timed_compute> model;
    std::unique_ptr<pipeline> pipe;
};

}  // namespace sluice::test
