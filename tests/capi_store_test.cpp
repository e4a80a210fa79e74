// SPDX-License-Identifier: Apache-2.0
// Stores and devices of the C API, batches, and drivers of the user's.
#include <sluice/sluice.h>

#include <poll.h>

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support/capi_rig.hpp"

namespace sluice {
namespace {

using test::capi_rig;
using test::says;

/// A batch over keys first .. first + n - 1 and a buffer of its own.
struct blocks {
    blocks(std::uint64_t first, std::uint32_t n, std::uint64_t bytes = 256)
        : keys(capi_rig::keys(first, n)),
          buffer(n * bytes),
          sizes(n, bytes),
          results(n, SLUICE_PENDING) {
        for (std::uint32_t i = 0; i < n; ++i) {
            at.push_back(buffer.data() + i * bytes);
        }
    }
    sluice_batch batch(std::uint32_t kind, double rank = 0) {
        sluice_batch b = SLUICE_BATCH_INIT;
        b.kind = kind;
        b.keys = keys.data();
        b.key_size = 8;
        b.n = static_cast<std::uint32_t>(keys.size());
        b.memory = at.data();
        b.bytes = sizes.data();
        b.results = results.data();
        b.rank = rank;
        return b;
    }
    std::vector<std::uint64_t> keys;
    std::vector<std::byte> buffer;
    std::vector<void*> at;
    std::vector<std::uint64_t> sizes;
    std::vector<sluice_status> results;
};

sluice_batch_result run_wait(sluice_store* s, const sluice_batch& b) {
    std::uint64_t ticket = 0;
    sluice_batch_result r{};
    r.status = sluice_store_submit(s, &b, &ticket);
    if (r.status == SLUICE_OK) {
        const sluice_status waited = sluice_store_wait(s, ticket, UINT64_MAX, &r);
        r.status = waited == SLUICE_OK ? r.status : waited;
    }
    return r;
}

TEST_CASE("batches put, find, get and remove blocks") {
    sluice_store* s = nullptr;
    REQUIRE(sluice_store_open_memory(nullptr, &s) == SLUICE_OK);
    blocks written(1, 100);
    for (std::size_t i = 0; i < written.buffer.size(); ++i) {
        written.buffer[i] = static_cast<std::byte>(i * 31 >> 3);
    }
    sluice_batch_result r = run_wait(s, written.batch(SLUICE_BATCH_PUT));
    CHECK(r.status == SLUICE_OK);
    CHECK(r.succeeded == 100);

    blocks some(91, 20);  // ten of them are there
    r = run_wait(s, some.batch(SLUICE_BATCH_EXISTS));
    CHECK(r.status == SLUICE_E_NOT_FOUND);
    CHECK(r.leading == 10);
    CHECK(some.results[9] == SLUICE_OK);
    CHECK(some.results[10] == SLUICE_E_NOT_FOUND);
    r = run_wait(s, some.batch(SLUICE_BATCH_GET));
    CHECK(r.succeeded == 10);
    CHECK(std::memcmp(some.at[3], written.at[93], 256) == 0);

    blocks gone(1, 50);
    CHECK(run_wait(s, gone.batch(SLUICE_BATCH_REMOVE)).status == SLUICE_OK);
    CHECK(run_wait(s, gone.batch(SLUICE_BATCH_EXISTS)).succeeded == 0);
    CHECK(sluice_store_close(s) == SLUICE_OK);
}

TEST_CASE("a better batch overtakes in the middle of another") {
    capi_rig r;
    sluice_memory_store_options so = SLUICE_MEMORY_STORE_OPTIONS_INIT;
    so.loop = r.loop;
    so.bytes_per_second = 1e6;
    sluice_store* s = nullptr;
    REQUIRE(sluice_store_open_memory(&so, &s) == SLUICE_OK);
    constexpr std::uint64_t big = 1 << 20;  // four of them fill the link's window
    blocks slow(1, 16, big);
    blocks quick(100, 1, big);
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    sluice_batch b = slow.batch(SLUICE_BATCH_PUT, 2);
    REQUIRE(sluice_store_submit(s, &b, &first) == SLUICE_OK);
    std::uint64_t next = 0;
    REQUIRE(sluice_loop_run(r.loop, &next) == SLUICE_OK);  // it has begun
    b = quick.batch(SLUICE_BATCH_PUT, 1);
    REQUIRE(sluice_store_submit(s, &b, &second) == SLUICE_OK);
    r.run();
    sluice_batch_result ended[3] = {};
    std::uint32_t n = 0;
    REQUIRE(sluice_store_poll(s, ended, 3, &n) == SLUICE_OK);
    REQUIRE(n == 2);
    CHECK(ended[0].ticket == second);
    CHECK(ended[1].ticket == first);
    CHECK(ended[1].succeeded == 16);
    CHECK(sluice_store_wait(s, first, 0, ended) == SLUICE_E_FAILED_PRECONDITION);
    CHECK(sluice_store_close(s) == SLUICE_OK);
}

TEST_CASE("a batch that is cancelled ends with what has been done") {
    capi_rig r;
    sluice_memory_store_options so = SLUICE_MEMORY_STORE_OPTIONS_INIT;
    so.loop = r.loop;
    so.bytes_per_second = 1e6;
    sluice_store* s = nullptr;
    REQUIRE(sluice_store_open_memory(&so, &s) == SLUICE_OK);
    blocks many(1, 16, 1 << 20);
    const sluice_batch b = many.batch(SLUICE_BATCH_PUT);
    std::uint64_t ticket = 0;
    REQUIRE(sluice_store_submit(s, &b, &ticket) == SLUICE_OK);
    REQUIRE(sluice_loop_run(r.loop, nullptr) == SLUICE_OK);
    REQUIRE(sluice_store_cancel(s, ticket) == SLUICE_OK);
    CHECK(sluice_store_cancel(s, ticket + 1) == SLUICE_E_NOT_FOUND);
    r.run();
    sluice_batch_result ended{};
    std::uint32_t n = 0;
    REQUIRE(sluice_store_poll(s, &ended, 1, &n) == SLUICE_OK);
    REQUIRE(n == 1);
    CHECK(ended.status == SLUICE_E_CANCELLED);
    CHECK(ended.succeeded == 4);
    CHECK(ended.leading == 4);
    CHECK(many.results[4] == SLUICE_E_CANCELLED);
    // The memory is nobody's any more, and nor is the ticket.
    CHECK(sluice_store_register(s, many.buffer.data(), many.buffer.size()) == SLUICE_OK);
    CHECK(sluice_store_cancel(s, ticket) == SLUICE_E_NOT_FOUND);
    CHECK(sluice_store_close(s) == SLUICE_OK);
}

TEST_CASE("the descriptor is readable while ended batches wait") {
    sluice_store* s = nullptr;
    REQUIRE(sluice_store_open_memory(nullptr, &s) == SLUICE_OK);
    int fd = -1;
    REQUIRE(sluice_store_event_fd(s, &fd) == SLUICE_OK);
    pollfd waiting{fd, POLLIN, 0};
    CHECK(::poll(&waiting, 1, 0) == 0);
    blocks b(1, 3);
    const sluice_batch put = b.batch(SLUICE_BATCH_PUT);
    std::uint64_t ticket = 0;
    REQUIRE(sluice_store_submit(s, &put, &ticket) == SLUICE_OK);
    CHECK(::poll(&waiting, 1, -1) == 1);
    sluice_batch_result result{};
    std::uint32_t n = 0;
    REQUIRE(sluice_store_poll(s, &result, 1, &n) == SLUICE_OK);
    CHECK(n == 1);
    CHECK(::poll(&waiting, 1, 0) == 0);
    CHECK(sluice_store_wait(s, ticket, 0, &result) == SLUICE_E_NOT_FOUND);
    CHECK(sluice_store_close(s) == SLUICE_OK);
}

TEST_CASE("memory is registered once, and not given back while batches use it") {
    sluice_store* s = nullptr;
    REQUIRE(sluice_store_open_memory(nullptr, &s) == SLUICE_OK);
    blocks b(1, 4);
    REQUIRE(sluice_store_register(s, b.buffer.data(), b.buffer.size()) == SLUICE_OK);
    CHECK(sluice_store_register(s, b.buffer.data() + 10, 20) == SLUICE_E_ALREADY_EXISTS);
    CHECK(run_wait(s, b.batch(SLUICE_BATCH_PUT)).status == SLUICE_OK);
    CHECK(sluice_store_unregister(s, b.buffer.data(), 10) == SLUICE_E_NOT_FOUND);
    CHECK(sluice_store_unregister(s, b.buffer.data(), b.buffer.size()) == SLUICE_OK);
    CHECK(sluice_store_unregister(s, b.buffer.data(), b.buffer.size()) == SLUICE_E_NOT_FOUND);
    CHECK(sluice_store_register(s, nullptr, 10) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(sluice_store_register(s, b.buffer.data(), 0) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(sluice_store_register(s, b.buffer.data(), UINT64_MAX) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(sluice_store_close(s) == SLUICE_OK);
}

TEST_CASE("a batch that contradicts itself is refused") {
    sluice_store* s = nullptr;
    REQUIRE(sluice_store_open_memory(nullptr, &s) == SLUICE_OK);
    blocks good(1, 3);
    const auto refused = [&](auto change) {
        sluice_batch b = good.batch(SLUICE_BATCH_GET);
        change(b);
        std::uint64_t ticket = 1;
        const sluice_status code = sluice_store_submit(s, &b, &ticket);
        return code == SLUICE_E_INVALID_ARGUMENT && ticket == 0;
    };
    CHECK(refused([](sluice_batch& b) { b.kind = 4; }));
    CHECK(refused([](sluice_batch& b) { b.n = 0; }));
    CHECK(refused([](sluice_batch& b) { b.n = UINT32_MAX; }));
    CHECK(refused([](sluice_batch& b) { b.keys = nullptr; }));
    CHECK(refused([](sluice_batch& b) { b.key_size = 0; }));
    CHECK(refused([](sluice_batch& b) { b.key_size = 33; }));
    CHECK(refused([](sluice_batch& b) { b.memory = nullptr; }));
    CHECK(refused([](sluice_batch& b) { b.bytes = nullptr; }));
    CHECK(refused([](sluice_batch& b) { b.rank = std::numeric_limits<double>::quiet_NaN(); }));
    good.sizes[1] = 0;
    CHECK(refused([](sluice_batch&) {}));
    CHECK(says("block 1"));
    good.sizes[1] = 256;
    good.at[2] = nullptr;
    CHECK(refused([](sluice_batch&) {}));
    CHECK(says("block 2"));
    CHECK(sluice_store_close(s) == SLUICE_OK);
}

TEST_CASE("who waits for a batch is let go when the store is closed") {
    // A store whose gets never end before they are aborted.
    struct hung {
        std::mutex mutex;
        std::vector<sluice_op> out;
    } hung;
    sluice_store_driver driver = SLUICE_STORE_DRIVER_INIT;
    driver.user = &hung;
    driver.lookup = [](void*, const sluice_keys* k) { sluice_complete(k->op, SLUICE_OK); };
    driver.get = [](void* user, const sluice_transfer* t, uint32_t n) {
        auto& h = *static_cast<struct hung*>(user);
        const std::scoped_lock lock(h.mutex);
        for (std::uint32_t i = 0; i < n; ++i) {
            h.out.push_back(t[i].op);
        }
    };
    driver.abort = [](void*, sluice_op op) { sluice_complete(op, SLUICE_E_DEADLINE_EXCEEDED); };
    sluice_store* s = nullptr;
    REQUIRE(sluice_store_open(&driver, &s) == SLUICE_OK);
    blocks b(1, 3);
    const sluice_batch get = b.batch(SLUICE_BATCH_GET);
    std::uint64_t ticket = 0;
    REQUIRE(sluice_store_submit(s, &get, &ticket) == SLUICE_OK);
    sluice_batch_result result{};
    CHECK(sluice_store_wait(s, ticket, 1000, &result) == SLUICE_E_DEADLINE_EXCEEDED);
    for (std::size_t out = 0; out < 3; std::this_thread::yield()) {
        const std::scoped_lock lock(hung.mutex);
        out = hung.out.size();
    }
    std::atomic<sluice_status> waited{SLUICE_PENDING};
    std::atomic<int> losers{0};
    std::vector<std::thread> threads;
    threads.emplace_back([&] {
        sluice_batch_result r{};
        waited = sluice_store_wait(s, ticket, UINT64_MAX, &r);
    });
    std::atomic<int> winners{0};
    for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&] { ++(sluice_store_close(s) == SLUICE_OK ? winners : losers); });
    }
    for (std::thread& t : threads) {
        t.join();
    }
    CHECK(winners == 1);
    CHECK(losers == 1);
    CHECK((waited == SLUICE_E_CANCELLED || waited == SLUICE_E_NOT_FOUND));
    CHECK(b.results == std::vector<sluice_status>(3, SLUICE_E_DEADLINE_EXCEEDED));
}

/// A store of the user's: a map behind a lock.
struct map_store {
    std::mutex mutex;
    std::map<std::string, std::vector<std::byte>> blocks;
    int registered = 0;

    static std::string key_of(const sluice_transfer& t) {
        return {static_cast<const char*>(t.key), t.key_size};
    }
    static std::string key_of(const sluice_keys& k, std::uint32_t i) {
        return {static_cast<const char*>(k.keys) + std::size_t{i} * SLUICE_KEY_STRIDE, k.sizes[i]};
    }
    static sluice_store_driver driver(map_store& self) {
        sluice_store_driver d = SLUICE_STORE_DRIVER_INIT;
        d.user = &self;
        d.register_memory = [](void* user, void*, uint64_t) -> sluice_status {
            ++static_cast<map_store*>(user)->registered;
            return SLUICE_OK;
        };
        d.unregister_memory = [](void* user, void*, uint64_t) {
            --static_cast<map_store*>(user)->registered;
        };
        d.lookup = [](void* user, const sluice_keys* k) {
            auto& s = *static_cast<map_store*>(user);
            {
                const std::scoped_lock lock(s.mutex);
                for (std::uint32_t i = 0; i < k->n; ++i) {
                    k->present[i] = s.blocks.contains(key_of(*k, i)) ? 2 : 0;  // any truth will do
                }
            }
            sluice_complete(k->op, SLUICE_OK);
        };
        d.get = [](void* user, const sluice_transfer* t, uint32_t n) {
            auto& s = *static_cast<map_store*>(user);
            for (std::uint32_t i = 0; i < n; ++i) {
                sluice_status code = SLUICE_E_NOT_FOUND;
                {
                    const std::scoped_lock lock(s.mutex);
                    if (const auto it = s.blocks.find(key_of(t[i])); it != s.blocks.end()) {
                        std::memcpy(t[i].memory, it->second.data(), t[i].bytes);
                        code = SLUICE_OK;
                    }
                }
                sluice_complete(t[i].op, code);
            }
        };
        d.put = [](void* user, const sluice_transfer* t, uint32_t n) {
            auto& s = *static_cast<map_store*>(user);
            for (std::uint32_t i = 0; i < n; ++i) {
                {
                    const std::scoped_lock lock(s.mutex);
                    const auto* from = static_cast<const std::byte*>(t[i].memory);
                    s.blocks[key_of(t[i])].assign(from, from + t[i].bytes);
                }
                sluice_complete(t[i].op, SLUICE_OK);
            }
        };
        d.remove = [](void* user, const sluice_keys* k) {
            auto& s = *static_cast<map_store*>(user);
            {
                const std::scoped_lock lock(s.mutex);
                for (std::uint32_t i = 0; i < k->n; ++i) {
                    s.blocks.erase(key_of(*k, i));
                }
            }
            sluice_complete(k->op, SLUICE_OK);
        };
        return d;
    }
};

TEST_CASE("a store and a device of the user's carry a pipeline") {
    struct copies {
        std::atomic<std::uint32_t> in{0}, out{0};
        std::uint32_t layouts = 0;
    } copies;
    map_store kept;
    const sluice_store_driver store_driver = map_store::driver(kept);
    sluice_device_driver device_driver = SLUICE_DEVICE_DRIVER_INIT;
    device_driver.user = &copies;
    device_driver.register_layout = [](void* user, const sluice_group*,
                                       uint32_t n) -> sluice_status {
        static_cast<struct copies*>(user)->layouts += n;
        return SLUICE_OK;
    };
    device_driver.copy_in = [](void* user, const sluice_copy* c, uint32_t n) {
        for (std::uint32_t i = 0; i < n; ++i) {
            const sluice_region& to = c[i].group->regions[0];
            std::memcpy(reinterpret_cast<void*>(to.base + to.stride * c[i].slot), c[i].host,
                        to.bytes);
            ++static_cast<struct copies*>(user)->in;
            sluice_complete(c[i].op, SLUICE_OK);
        }
    };
    device_driver.copy_out = [](void* user, const sluice_copy* c, uint32_t n) {
        for (std::uint32_t i = 0; i < n; ++i) {
            const sluice_region& from = c[i].group->regions[0];
            std::memcpy(c[i].host, reinterpret_cast<void*>(from.base + from.stride * c[i].slot),
                        from.bytes);
            ++static_cast<struct copies*>(user)->out;
            sluice_complete(c[i].op, SLUICE_OK);
        }
    };
    sluice_store* store = nullptr;
    sluice_device* device = nullptr;
    REQUIRE(sluice_store_open(&store_driver, &store) == SLUICE_OK);
    REQUIRE(sluice_device_open(&device_driver, &device) == SLUICE_OK);
    {
        capi_rig r;
        sluice_pipeline_options o = r.options();
        o.store = store;
        o.device = device;
        REQUIRE(r.open(o) == SLUICE_OK);
        CHECK(copies.layouts == 1);
        CHECK(kept.registered == 1);
        CHECK(sluice_store_close(store) == SLUICE_E_FAILED_PRECONDITION);
        CHECK(sluice_device_close(device) == SLUICE_E_FAILED_PRECONDITION);
        CHECK(says("in use"));
        std::uint32_t blocks_loaded = 9;
        for (int round = 0; round < 2; ++round) {
            sluice_request_id id = 0;
            REQUIRE(r.submit(1, 5, &id) == SLUICE_OK);
            auto events = r.run_and_poll();
            REQUIRE(events.size() == 1);
            REQUIRE(events[0].kind == SLUICE_EVENT_READY);
            blocks_loaded = events[0].blocks;
            REQUIRE(sluice_compute_done(r.pipe, id, 0) == SLUICE_OK);
            r.run_and_poll();
            REQUIRE(sluice_release(r.pipe, id) == SLUICE_OK);
            r.run();
        }
        CHECK(blocks_loaded == 5);
        CHECK(copies.out == 5);
        CHECK(kept.blocks.size() == 5);
    }
    CHECK(kept.registered == 0);
    CHECK(sluice_store_close(store) == SLUICE_OK);
    CHECK(sluice_device_close(device) == SLUICE_OK);
}

TEST_CASE("a driver that lacks what it must have, or gives nonsense, is an error with a text") {
    sluice_store* s = nullptr;
    sluice_device* d = nullptr;
    sluice_store_driver store_driver = SLUICE_STORE_DRIVER_INIT;
    CHECK(sluice_store_open(&store_driver, &s) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(says("lookup"));
    CHECK(sluice_store_open(nullptr, &s) == SLUICE_E_INVALID_ARGUMENT);
    sluice_device_driver device_driver = SLUICE_DEVICE_DRIVER_INIT;
    CHECK(sluice_device_open(&device_driver, &d) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(says("copy_in"));
    device_driver.copy_in = device_driver.copy_out = [](void*, const sluice_copy*, uint32_t) {};
    device_driver.allocate_pinned = [](void*, uint64_t, void** out) -> sluice_status {
        *out = reinterpret_cast<void*>(1);
        return SLUICE_OK;
    };
    CHECK(sluice_device_open(&device_driver, &d) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(says("free_pinned"));
    device_driver.free_pinned = [](void*, void*, uint64_t) {};
    REQUIRE(sluice_device_open(&device_driver, &d) == SLUICE_OK);
    capi_rig r;
    sluice_pipeline_options o = r.options();
    o.device = d;
    CHECK(r.open(o) == SLUICE_E_INTERNAL);
    CHECK(says("allocate_pinned"));
    CHECK(sluice_device_close(d) == SLUICE_OK);

    map_store kept;
    store_driver = map_store::driver(kept);
    store_driver.register_memory = [](void*, void*, uint64_t) -> sluice_status { return 99; };
    REQUIRE(sluice_store_open(&store_driver, &s) == SLUICE_OK);
    o = r.options();
    o.store = s;
    CHECK(r.open(o) == SLUICE_E_INTERNAL);
    CHECK(says("register_memory"));
    CHECK(sluice_store_close(s) == SLUICE_OK);
}

TEST_CASE("a store that cannot write or remove says so for each block") {
    map_store kept;
    sluice_store_driver driver = map_store::driver(kept);
    driver.put = nullptr;
    driver.remove = nullptr;
    sluice_store* s = nullptr;
    REQUIRE(sluice_store_open(&driver, &s) == SLUICE_OK);
    blocks b(1, 2);
    CHECK(run_wait(s, b.batch(SLUICE_BATCH_PUT)).status == SLUICE_E_UNSUPPORTED);
    CHECK(run_wait(s, b.batch(SLUICE_BATCH_REMOVE)).status == SLUICE_E_UNSUPPORTED);
    CHECK(run_wait(s, b.batch(SLUICE_BATCH_EXISTS)).succeeded == 0);
    CHECK(sluice_store_close(s) == SLUICE_OK);
}

TEST_CASE("options of stores and devices are checked") {
    sluice_store* s = nullptr;
    sluice_device* d = nullptr;
    sluice_memory_store_options so = SLUICE_MEMORY_STORE_OPTIONS_INIT;
    so.flags = 64;
    CHECK(sluice_store_open_memory(&so, &s) == SLUICE_E_INVALID_ARGUMENT);
    so.flags = 0;
    so.bytes_per_second = -1;
    CHECK(sluice_store_open_memory(&so, &s) == SLUICE_E_INVALID_ARGUMENT);
    so.bytes_per_second = 0;
    so.loop = reinterpret_cast<sluice_loop*>(&so);
    CHECK(sluice_store_open_memory(&so, &s) == SLUICE_E_NOT_FOUND);
    CHECK(sluice_store_open_memory(nullptr, nullptr) == SLUICE_E_INVALID_ARGUMENT);
    sluice_host_device_options ho = SLUICE_HOST_DEVICE_OPTIONS_INIT;
    ho.flags = 1;
    CHECK(sluice_device_open_host(&ho, &d) == SLUICE_E_INVALID_ARGUMENT);
    sluice_fabric_store_options fo = SLUICE_FABRIC_STORE_OPTIONS_INIT;
    const sluice_status no_nodes = sluice_store_open_fabric(&fo, &s);
    CHECK((no_nodes == SLUICE_E_INVALID_ARGUMENT || no_nodes == SLUICE_E_UNSUPPORTED));
    fo.nodes = "tcp://127.0.0.1:1, tcp://127.0.0.1:1";
    fo.secret = "sixteen bytes, at the least";
    const sluice_status twice = sluice_store_open_fabric(&fo, &s);
    CHECK((twice == SLUICE_E_INVALID_ARGUMENT || twice == SLUICE_E_UNSUPPORTED));
    fo.nodes = "tcp://127.0.0.1:1";
    fo.secret = nullptr;
    fo.secret_file = "/nonexistent/secret";
    const sluice_status no_file = sluice_store_open_fabric(&fo, &s);
    CHECK((no_file == SLUICE_E_NOT_FOUND || no_file == SLUICE_E_UNSUPPORTED));
    CHECK(s == nullptr);
    CHECK(d == nullptr);
    CHECK(sluice_store_close(nullptr) == SLUICE_OK);
    CHECK(sluice_device_close(nullptr) == SLUICE_OK);
}

}  // namespace
}  // namespace sluice
