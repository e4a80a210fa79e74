// SPDX-License-Identifier: Apache-2.0
#include <sluice/device/host_device.hpp>

#include <algorithm>
#include <cstring>
#include <latch>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/base/status.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/coro/virtual_loop.hpp>

#include "support/tracked.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using test::pattern;
using test::tracked;
using code = absl::StatusCode;

namespace {

constexpr std::byte untouched{0xee};

std::unique_ptr<host_device> open(const host_device_options& o, loop* on) {
    auto device = host_device::create(o, on);
    REQUIRE(device.ok());
    return *std::move(device);
}

std::uintptr_t address(const std::byte* p) { return reinterpret_cast<std::uintptr_t>(p); }

layout layout_of(std::vector<group_layout> groups) {
    auto l = layout::create(std::move(groups));
    REQUIRE(l.ok());
    return *std::move(l);
}

// The forms of KV memory that engines use, each over `memory`.
std::vector<group_layout> form(int which, std::vector<std::byte>& memory) {
    const auto at = [&](std::size_t offset) { return address(memory.data()) + offset; };
    switch (which) {
    case 0:  // K and V of two layers in tensors of their own
        memory.assign(4 * 512, untouched);
        return {{.regions = {{at(0), 64, 64, 8, 0},
                             {at(512), 64, 64, 8, 0},
                             {at(1024), 64, 64, 8, 1},
                             {at(1536), 64, 64, 8, 1}}}};
    case 1:  // K and V interleaved, with a hole behind each
        memory.assign(8 * 160, untouched);
        return {{.regions = {{at(0), 160, 64, 8, 0}, {at(80), 160, 64, 8, 0}}}};
    case 2:  // one piece for all layers, unaligned and odd
        memory.assign(9 * 101 + 1, untouched);
        return {{.regions = {{at(1), 101, 77, 9, -1}}}};
    default:  // two groups: a latent with a side buffer, and a recurrent state
        memory.assign(4096, untouched);
        return {{.regions = {{at(0), 100, 96, 8, 0}, {at(1000), 3, 2, 8, 0}}},
                {.regions = {{at(2000), 500, 333, 4, -1}}, .rule = hit_rule::last_n, .last_n = 1}};
    }
}

// Whether every byte outside the given slot of the group is untouched, and the slot holds `block`.
bool holds(const std::vector<std::byte>& memory, const group_layout& group, slot_id slot,
           const std::vector<std::byte>& block) {
    std::vector<std::byte> expected(memory.size(), untouched);
    std::size_t from = 0;
    for (const region& r : group.regions) {
        const std::size_t to = r.base + r.stride * slot - address(memory.data());
        std::memcpy(expected.data() + to, block.data() + from, r.bytes);
        from += r.bytes;
    }
    return from == block.size() && expected == memory;
}

}  // namespace

TEST_CASE("host_device: scatters and gathers every form of layout", "[device]") {
    virtual_loop time;
    for (int which = 0; which < 4; ++which) {
        std::vector<std::byte> memory;
        const layout l = layout_of(form(which, memory));
        const auto device = open({}, &time);
        REQUIRE(device->register_layout(l).ok());
        REQUIRE(device->register_layout(l).ok());
        for (std::size_t g = 0; g < l.groups().size(); ++g) {
            for (slot_id slot = 0; slot < l.slots(g); ++slot) {
                CAPTURE(which, g, slot);
                std::fill(memory.begin(), memory.end(), untouched);
                auto block = pattern(l.block_bytes(g), slot);
                tracked<device_copy> op(time);
                op.host = block.data();
                op.group = &l.groups()[g];
                op.slot = slot;
                device_copy* const ops[] = {&op};
                device->copy_in(ops);
                CHECK_FALSE(op.done());
                time.run_until_idle();
                CHECK(op.status().ok());
                CHECK(holds(memory, l.groups()[g], slot, block));

                std::vector<std::byte> back(block.size() + 1, untouched);
                op.host = back.data();
                device->copy_out(ops);
                time.run_until_idle();
                CHECK(op.status().ok());
                CHECK(op.times == 2);
                CHECK(std::equal(block.begin(), block.end(), back.begin()));
                CHECK(back.back() == untouched);
                CHECK(holds(memory, l.groups()[g], slot, block));
            }
        }
        CHECK(device->stats().copies_in == device->stats().copies_out);
        CHECK(device->stats().copies_in > 0);
        CHECK(device->stats().bytes > 0);
        CHECK(device->stats().refused == 0);
    }
}

TEST_CASE("host_device: refuses bad copies and copies nothing", "[device]") {
    virtual_loop time;
    std::vector<std::byte> memory;
    const layout l = layout_of(form(3, memory));
    const layout stranger = l;
    const auto device = open({}, &time);
    auto block = pattern(l.max_block_bytes(), 1);

    const auto refused = [&](std::byte* host, const group_layout* group, slot_id slot) {
        tracked<device_copy> op(time);
        op.host = host;
        op.group = group;
        op.slot = slot;
        device_copy* const ops[] = {&op};
        const auto before = block;
        device->copy_in(ops);
        time.run_until_idle();
        const bool in = op.code() == code::kInvalidArgument;
        device->copy_out(ops);
        time.run_until_idle();
        return in && op.code() == code::kInvalidArgument && op.times == 2 && before == block;
    };
    CHECK(refused(block.data(), &l.groups()[0], 0));  // not registered
    REQUIRE(device->register_layout(l).ok());
    CHECK(refused(nullptr, &l.groups()[0], 0));
    CHECK(refused(block.data(), nullptr, 0));
    CHECK(refused(block.data(), &stranger.groups()[0], 0));
    CHECK(refused(block.data(), l.groups().data() + 2, 0));
    CHECK(refused(block.data(), &l.groups()[0], 8));
    CHECK(refused(block.data(), &l.groups()[1], 4));
    CHECK(refused(block.data(), &l.groups()[1], no_slot));
    CHECK(std::count(memory.begin(), memory.end(), untouched) == std::ssize(memory));
    CHECK(device->stats().refused == 16);
    CHECK(device->stats().bytes == 0);
    device->copy_in({});
    device->copy_out({});
}

TEST_CASE("host_device: refuses null regions and bad options", "[device]") {
    virtual_loop time;
    const auto device = open({}, &time);
    const layout l = layout_of({{.regions = {{64, 64, 64, 1, -1}, {0, 64, 64, 1, -1}}}});
    const absl::Status status = device->register_layout(l);
    CHECK(status.code() == code::kInvalidArgument);
    CHECK(message_of(status).find("group 0, region 1") != std::string_view::npos);

    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (const double rate : {-1.0, nan, std::numeric_limits<double>::infinity()}) {
        CHECK(host_device::create({.rate = rate}).status().code() == code::kInvalidArgument);
    }
    CHECK(host_device::create({.per_operation = -1ns}).status().code() == code::kInvalidArgument);
}

TEST_CASE("host_device: pinned memory is aligned, zeroed and writable", "[device]") {
    virtual_loop time;
    const auto device = open({}, &time);
    for (const std::size_t n : {std::size_t{1}, std::size_t{4097}, std::size_t{5} << 20}) {
        CAPTURE(n);
        const auto memory = device->allocate_pinned(n);
        REQUIRE(memory.ok());
        CHECK(memory->size() == n);
        CHECK(address(memory->data()) % 4096 == 0);
        CHECK(std::count(memory->begin(), memory->end(), std::byte{0}) == std::ssize(*memory));
        std::fill(memory->begin(), memory->end(), untouched);
        device->free_pinned(memory->first(n - 1));  // not what was returned: ignored
        CHECK(memory->back() == untouched);
        device->free_pinned(*memory);
        device->free_pinned(*memory);
    }
    device->free_pinned({});
    CHECK(device->allocate_pinned(0).status().code() == code::kInvalidArgument);
    CHECK(device->allocate_pinned(SIZE_MAX).status().code() == code::kResourceExhausted);
    CHECK(device->allocate_pinned(SIZE_MAX / 4).status().code() == code::kResourceExhausted);
    // What is left goes with the device.
    CHECK(device->allocate_pinned(100).ok());
}

TEST_CASE("host_device: the rate gives exact times", "[device]") {
    virtual_loop time;
    std::vector<std::byte> memory;
    const layout l = layout_of(form(0, memory));  // 256 bytes
    const auto device = open({.rate = 1e9, .per_operation = 1us}, &time);
    REQUIRE(device->register_layout(l).ok());
    auto block = pattern(256, 1);
    std::vector<std::unique_ptr<tracked<device_copy>>> ops;
    std::vector<device_copy*> started;
    for (slot_id slot = 0; slot < 8; ++slot) {
        ops.push_back(std::make_unique<tracked<device_copy>>(time));
        ops.back()->host = block.data();
        ops.back()->group = &l.groups()[0];
        ops.back()->slot = slot;
        started.push_back(ops.back().get());
    }
    device->copy_in(started);
    time.run_until_idle();
    for (slot_id slot = 0; slot < 8; ++slot) {
        CHECK(ops[slot]->ns() == 1256 * (slot + 1));
    }
    CHECK(device->stats().busy_seconds == 8 * 1256 * 1e-9);
}

TEST_CASE("host_device: used from several threads", "[device][race]") {
    constexpr std::size_t threads = 4;
    constexpr std::size_t rounds = 50;
    constexpr std::size_t bytes = 1024;
    std::vector<std::byte> memory(threads * bytes * 3, untouched);
    // Each thread has a slot; a slot is three pieces that interleave.
    std::vector<region> regions;
    for (std::size_t i = 0; i < 3; ++i) {
        regions.push_back(
            {address(memory.data()) + i * bytes, 3 * bytes, bytes, threads, static_cast<int>(i)});
    }
    const layout l = layout_of({{.regions = regions}});
    const auto device = open({}, nullptr);
    REQUIRE(device->register_layout(l).ok());
    std::vector<int> wrong(threads, 0);
    std::vector<std::thread> users;
    for (std::size_t t = 0; t < threads; ++t) {
        users.emplace_back([&, t] {
            thread_loop home;
            const auto l2 = device->allocate_pinned(6 * bytes);
            if (!home.start().ok() || !l2.ok()) {
                wrong[t] = -1;
                return;
            }
            for (std::size_t round = 0; round < rounds; ++round) {
                const auto block = pattern(3 * bytes, t * rounds + round);
                std::copy(block.begin(), block.end(), l2->begin());
                std::latch in_done(1);
                std::latch out_done(1);
                tracked<device_copy> in(home, nullptr, &in_done);
                tracked<device_copy> out(home, nullptr, &out_done);
                in.host = l2->data();
                out.host = l2->data() + 3 * bytes;
                in.group = out.group = &l.groups()[0];
                in.slot = out.slot = static_cast<slot_id>(t);
                device_copy* const ins[] = {&in};
                device_copy* const outs[] = {&out};
                device->copy_in(ins);
                in_done.wait();
                device->copy_out(outs);
                out_done.wait();
                wrong[t] += std::equal(block.begin(), block.end(), l2->begin() + 3 * bytes) ? 0 : 1;
            }
            device->free_pinned(*l2);
        });
    }
    for (std::thread& u : users) {
        u.join();
    }
    for (const int w : wrong) {
        CHECK(w == 0);
    }
    CHECK(device->stats().copies_in == threads * rounds);
    CHECK(device->stats().bytes == 2 * threads * rounds * 3 * bytes);
}
