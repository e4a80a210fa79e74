// SPDX-License-Identifier: Apache-2.0
#include <sluice/fabric/fabric_store.hpp>

#include <algorithm>
#include <deque>
#include <numeric>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support/fabric_rig.hpp"

namespace {

using namespace std::chrono_literals;
using absl::StatusCode;
using sluice::fabric_store_options;
using sluice::kib;
using sluice::node_state;
using sluice::store_get;
using sluice::store_put;
using sluice::test::block_of;
using sluice::test::test_client;
using sluice::test::test_node;

using bits = std::vector<std::uint8_t>;

// Puts and gets of many blocks at once.
struct batch {
    batch(test_client& c, std::size_t count, std::size_t size, std::uint64_t first_key = 1)
        : client(c), block(size), first(first_key), memory(count * size) {
        REQUIRE(c->register_memory(memory).ok());
    }
    ~batch() { client->unregister_memory(memory); }

    std::span<std::byte> slot(std::size_t i) { return std::span(memory).subspan(i * block, block); }
    std::size_t count() const { return memory.size() / block; }

    void put_all() {
        std::deque<test_client::waited<store_put>> ops;
        std::vector<store_put*> started;
        for (std::size_t i = 0; i < count(); ++i) {
            const std::vector<std::byte> content = block_of(first + i, block);
            std::copy(content.begin(), content.end(), slot(i).begin());
            auto& op = ops.emplace_back(client);
            op.key = sluice::block_key::from_u64(first + i);
            op.from = slot(i);
            started.push_back(&op);
        }
        client->put(started);
        for (auto& op : ops) {
            CHECK(client.wait(op) == StatusCode::kOk);
        }
    }
    // In the order given, block order[i] into slot i.
    std::vector<StatusCode> get_all(const std::vector<std::size_t>& order) {
        std::fill(memory.begin(), memory.end(), std::byte{0});
        std::deque<test_client::waited<store_get>> ops;
        std::vector<store_get*> started;
        for (std::size_t i = 0; i < order.size(); ++i) {
            auto& op = ops.emplace_back(client);
            op.key = sluice::block_key::from_u64(first + order[i]);
            op.into = slot(i);
            started.push_back(&op);
        }
        client->get(started);
        std::vector<StatusCode> out;
        for (auto& op : ops) {
            out.push_back(client.wait(op));
        }
        return out;
    }
    bool right(std::size_t slot_index, std::size_t block_index) {
        return std::ranges::equal(slot(slot_index), block_of(first + block_index, block));
    }

    test_client& client;
    std::size_t block;
    std::uint64_t first;
    std::vector<std::byte> memory;
};

std::vector<std::size_t> in_order(std::size_t n) {
    std::vector<std::size_t> out(n);
    std::iota(out.begin(), out.end(), 0);
    return out;
}

TEST_CASE("fabric_store: what was put is found, read, and gone when removed") {
    test_node node;
    test_client client(test_client::of({&node}));
    const std::vector<std::byte> block = block_of(1, 64 * kib);
    CHECK(client.put(1, block) == StatusCode::kOk);
    CHECK(client.lookup({1, 2}) == bits{1, 0});
    std::vector<std::byte> into(block.size());
    CHECK(client.get(1, into) == StatusCode::kOk);
    CHECK(into == block);
    CHECK(client.get(2, into) == StatusCode::kNotFound);
    std::vector<std::byte> short_buffer(100);
    CHECK(client.get(1, short_buffer) == StatusCode::kInvalidArgument);
    CHECK(client.put(1, block) == StatusCode::kOk);  // is there already
    client.remove(1);
    CHECK(client.lookup({1}) == bits{0});
    CHECK(client.get(1, into) == StatusCode::kNotFound);
    CHECK(client->health()[0].state == node_state::ready);
}

TEST_CASE("fabric_store: a get needs no lookup before it") {
    test_node node;
    test_client writer(test_client::of({&node}));
    const std::vector<std::byte> block = block_of(1, 4096);
    REQUIRE(writer.put(1, block) == StatusCode::kOk);
    test_client reader(test_client::of({&node}));
    std::vector<std::byte> into(block.size());
    CHECK(reader.get(1, into) == StatusCode::kOk);
    CHECK(into == block);
}

TEST_CASE("fabric_store: operations with nothing in them are refused") {
    test_node node;
    test_client client(test_client::of({&node}));
    std::vector<std::byte> bytes(64);
    test_client::waited<store_get> no_key(client);
    no_key.into = bytes;
    store_get* const gets[] = {&no_key};
    client->get(gets);
    CHECK(client.wait(no_key) == StatusCode::kInvalidArgument);
    CHECK(client.get(1, {}) == StatusCode::kInvalidArgument);
    CHECK(client.put(1, {}) == StatusCode::kInvalidArgument);
}

TEST_CASE("fabric_store: blocks put together are read together") {
    test_node node;
    test_client client(test_client::of({&node}));
    batch b(client, 64, 16 * kib);
    b.put_all();
    const auto before = client->stats();
    const std::vector<StatusCode> how = b.get_all(in_order(64));
    CHECK(std::count(how.begin(), how.end(), StatusCode::kOk) == 64);
    for (std::size_t i = 0; i < 64; ++i) {
        CHECK(b.right(i, i));
    }
    const auto after = client->stats();
    CHECK(after.merged_blocks - before.merged_blocks >= 48);
    CHECK(after.transfers - before.transfers <= 16);
    CHECK(after.bytes_read - before.bytes_read == 64 * 16 * kib);
}

TEST_CASE("fabric_store: blocks that lie apart go several to a transfer") {
    test_node node;
    test_client client(test_client::of({&node}));
    batch b(client, 64, 16 * kib);
    b.put_all();
    std::vector<std::size_t> order = in_order(64);
    std::reverse(order.begin(), order.end());  // no block has its neighbour behind it
    const auto before = client->stats();
    const std::vector<StatusCode> how = b.get_all(order);
    CHECK(std::count(how.begin(), how.end(), StatusCode::kOk) == 64);
    for (std::size_t i = 0; i < 64; ++i) {
        CHECK(b.right(i, order[i]));
    }
    CHECK(client->stats().transfers - before.transfers <= 32);
    CHECK(client->stats().vectored_transfers > before.vectored_transfers);
}

TEST_CASE("fabric_store: blocks of many sizes, more than the node's staging area holds") {
    sluice::memory_node_options o = test_node::small();
    o.memory = 64 * sluice::mib;
    o.staging = sluice::mib;
    test_node node(o);
    test_client client(test_client::of({&node}));
    for (const std::size_t size : {std::size_t{1}, std::size_t{63}, std::size_t{4096},
                                   std::size_t{100'000}, std::size_t{1'000'000}}) {
        const std::vector<std::byte> block = block_of(size, size);
        CHECK(client.put(size, block) == StatusCode::kOk);
        std::vector<std::byte> into(size);
        CHECK(client.get(size, into) == StatusCode::kOk);
        CHECK(into == block);
    }
    CHECK(client.put(99, block_of(99, 2 * sluice::mib)) == StatusCode::kResourceExhausted);
    batch b(client, 40, 256 * kib, 1000);
    b.put_all();
    const std::vector<StatusCode> how = b.get_all(in_order(40));
    CHECK(std::count(how.begin(), how.end(), StatusCode::kOk) == 40);
}

TEST_CASE("fabric_store: blocks are spread over the nodes, replicas over different ones") {
    test_node a, b, c;
    fabric_store_options o = test_client::of({&a, &b, &c});
    o.replicas = 2;
    test_client client(o);
    batch all(client, 60, 4096);
    all.put_all();
    for (const sluice::node_health& h : client->health()) {
        INFO(h.error.ToString());
        CHECK(h.state == node_state::ready);
    }
    const std::uint64_t blocks[] = {a->stats().blocks, b->stats().blocks, c->stats().blocks};
    CHECK(blocks[0] + blocks[1] + blocks[2] == 120);
    CHECK(*std::min_element(blocks, blocks + 3) >= 20);
}

TEST_CASE("fabric_store: a dead node costs nothing that has a replica") {
    test_node a, b;
    fabric_store_options o = test_client::of({&a, &b});
    o.replicas = 2;
    test_client client(o);
    batch all(client, 40, 4096);
    all.put_all();
    a.stop();
    const std::vector<StatusCode> how = all.get_all(in_order(40));
    CHECK(std::count(how.begin(), how.end(), StatusCode::kOk) == 40);
    for (std::size_t i = 0; i < 40; ++i) {
        CHECK(all.right(i, i));
    }
    CHECK(client->stats().failovers > 0);
    CHECK(client->health()[0].state == node_state::down);
}

TEST_CASE("fabric_store: a node that comes back with another pool is asked again") {
    test_node node;
    test_client client(test_client::of({&node}));
    const std::vector<std::byte> block = block_of(1, 8192);
    REQUIRE(client.put(1, block) == StatusCode::kOk);
    REQUIRE(client.lookup({1}) == bits{1});
    node.stop();
    std::vector<std::byte> into(block.size());
    CHECK(client.get(1, into) == StatusCode::kUnavailable);
    CHECK(client.lookup({1}) == bits{0});
    node.start();
    client.wait_for(0, node_state::ready);
    CHECK(client.get(1, into) == StatusCode::kNotFound);
    CHECK(client.put(1, block) == StatusCode::kOk);
    CHECK(client.get(1, into) == StatusCode::kOk);
    CHECK(into == block);
}

TEST_CASE("fabric_store: a wrong secret is told, and learns nothing") {
    test_node node;
    fabric_store_options o = test_client::of({&node});
    o.secret = "another secret than the node's";
    test_client client(o);
    CHECK(client.lookup({1}) == bits{0});
    CHECK(client->health()[0].state == node_state::down);
    CHECK(client->health()[0].error.code() == StatusCode::kUnauthenticated);
    CHECK(client.put(1, block_of(1, 64)) == StatusCode::kUnavailable);
    CHECK(node->stats().rejected >= 1);
    CHECK(node->stats().blocks == 0);
}

TEST_CASE(
    "fabric_store: a hung node is left at the soft timeout, and asked again when it answers") {
    test_node a, b;
    fabric_store_options o = test_client::of({&a, &b});
    o.replicas = 2;
    o.soft_timeout = 100ms;
    test_client client(o);
    batch all(client, 16, 64 * kib);
    all.put_all();
    REQUIRE(client.lookup({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}) == bits(16, 1));
    a.hang();
    // Twice, so that it counts as slow; every block comes from the other node.
    for (int i = 0; i < 2; ++i) {
        const std::vector<StatusCode> how = all.get_all(in_order(16));
        CHECK(std::count(how.begin(), how.end(), StatusCode::kOk) == 16);
        for (std::size_t k = 0; k < 16; ++k) {
            CHECK(all.right(k, k));
        }
    }
    CHECK(client->stats().soft_timeouts > 0);
    client.wait_for(0, node_state::slow);
    const auto before = client->stats().soft_timeouts;
    const std::vector<StatusCode> how = all.get_all(in_order(16));
    CHECK(std::count(how.begin(), how.end(), StatusCode::kOk) == 16);
    CHECK(client->stats().soft_timeouts - before <= 2);  // of probes only
    a.resume();
    client.wait_for(0, node_state::ready);
}

TEST_CASE("fabric_store: without a replica a hung node's blocks end as too late") {
    test_node node;
    fabric_store_options o = test_client::of({&node});
    o.soft_timeout = 50ms;
    test_client client(o);
    const std::vector<std::byte> block = block_of(1, 64 * kib);
    REQUIRE(client.put(1, block) == StatusCode::kOk);
    REQUIRE(client.lookup({1}) == bits{1});
    node.hang();
    std::vector<std::byte> into(block.size());
    CHECK(client.get(1, into) == StatusCode::kDeadlineExceeded);
    // Nothing touches it any more, also not when the node goes on and has sent what it was asked.
    std::fill(into.begin(), into.end(), std::byte{0x5a});
    node.resume();
    client.wait_for(0, node_state::ready);
    CHECK(std::count(into.begin(), into.end(), std::byte{0x5a}) ==
          static_cast<std::ptrdiff_t>(into.size()));
    CHECK(client.get(1, into) == StatusCode::kOk);
    CHECK(into == block);
}

TEST_CASE("fabric_store: abort ends a get whose node hangs") {
    test_node node;
    test_client client(test_client::of({&node}));
    const std::vector<std::byte> block = block_of(1, 64 * kib);
    REQUIRE(client.put(1, block) == StatusCode::kOk);
    REQUIRE(client.lookup({1}) == bits{1});
    node.hang();
    std::vector<std::byte> into(block.size());
    test_client::waited<store_get> op(client);
    op.key = sluice::block_key::from_u64(1);
    op.into = into;
    store_get* const ops[] = {&op};
    client->get(ops);
    client.pause();
    client->abort(op);
    CHECK(client.wait(op) == StatusCode::kDeadlineExceeded);
    // One that is not located yet.
    test_client::waited<store_get> other(client);
    other.key = sluice::block_key::from_u64(2);
    other.into = into;
    store_get* const others[] = {&other};
    client->get(others);
    client->abort(other);
    CHECK(client.wait(other) == StatusCode::kDeadlineExceeded);
    node.resume();
    CHECK(client.get(1, into) == StatusCode::kOk);
    CHECK(into == block);
}

TEST_CASE("fabric_store: a draining node finishes, refuses puts, and is left") {
    test_node node;
    test_client client(test_client::of({&node}));
    REQUIRE(client.put(1, block_of(1, 64)) == StatusCode::kOk);
    std::binary_semaphore drained{0};
    struct drain_work : sluice::work {
        drain_work(sluice::memory_node& n, std::binary_semaphore& s)
            : work([](work& w) noexcept {
                  auto& self = static_cast<drain_work&>(w);
                  self.node->drain([s = self.done] { s->release(); });
              }),
              node(&n),
              done(&s) {}
        sluice::memory_node* node;
        std::binary_semaphore* done;
    } d(*node, drained);
    node.post(d);
    client.wait_for(0, node_state::down);
    drained.acquire();
    CHECK(client.put(2, block_of(2, 64)) == StatusCode::kUnavailable);
}

// Damages a block on the node's own loop.
void damage(test_node& node, std::uint64_t key) {
    struct drill : sluice::work {
        drill(sluice::memory_node& n, std::uint64_t k)
            : work([](work& w) noexcept {
                  auto& self = static_cast<drill&>(w);
                  self.was_there = self.node->damage(sluice::block_key::from_u64(self.key));
                  self.done.release();
              }),
              node(&n),
              key(k) {}
        sluice::memory_node* node;
        std::uint64_t key;
        bool was_there = false;
        std::binary_semaphore done{0};
    } d(*node, key);
    node.post(d);
    d.done.acquire();
    REQUIRE(d.was_there);
}

TEST_CASE("fabric_store: a damaged block is not served, and its node drops it") {
    test_node node;
    test_client client(test_client::of({&node}));
    const std::vector<std::byte> block = block_of(1, 64 * kib);
    REQUIRE(client.put(1, block) == StatusCode::kOk);
    REQUIRE(client.lookup({1}) == bits{1});
    damage(node, 1);
    std::vector<std::byte> into(block.size());
    CHECK(client.get(1, into) == StatusCode::kDataLoss);
    CHECK(client->stats().corrupt == 1);
    // The node looks for itself, in its own time.
    while (node->stats().damaged == 0) {
        client.pause();
    }
    CHECK(client.lookup({1}) == bits{0});
    CHECK(client.put(1, block) == StatusCode::kOk);
    CHECK(client.get(1, into) == StatusCode::kOk);
    CHECK(into == block);
}

TEST_CASE("fabric_store: a damaged block comes from its replica") {
    test_node a, b;
    fabric_store_options o = test_client::of({&a, &b});
    o.replicas = 2;
    test_client client(o);
    batch all(client, 8, 4096);
    all.put_all();
    for (std::uint64_t key = 1; key <= 8; ++key) {
        damage(a, key);
    }
    const std::vector<StatusCode> how = all.get_all(in_order(8));
    CHECK(std::count(how.begin(), how.end(), StatusCode::kOk) == 8);
    for (std::size_t i = 0; i < 8; ++i) {
        CHECK(all.right(i, i));
    }
}

TEST_CASE("fabric_store: a name that nobody knows costs its node's blocks, not the store") {
    fabric_store_options o;
    o.nodes = {"tcp://" + std::string(64, 'x') + ":7400"};  // too long a label: asked of nobody
    o.secret = sluice::test::test_secret;
    test_client client(o);
    CHECK(client.lookup({1}) == bits{0});
    CHECK(client->health()[0].state == node_state::down);
    CHECK(client->health()[0].error.message().find("no address") == 0);

    o.provider = "none";
    CHECK(sluice::fabric_store::create(o).status().code() == StatusCode::kUnimplemented);
}

TEST_CASE("fabric_store: works by every provider that this machine has") {
    for (const std::string provider : {"tcp", "tcp;ofi_rxm", "shm", "sockets"}) {
        CAPTURE(provider);
        fabric_store_options probe;
        probe.nodes = {"tcp://127.0.0.1:1"};
        probe.secret = sluice::test::test_secret;
        probe.provider = provider;
        if (const auto s = sluice::fabric_store::create(probe);
            s.status().code() == StatusCode::kUnimplemented) {
            WARN("this machine has no provider " << provider);
            continue;
        }
        sluice::memory_node_options n = test_node::small();
        n.providers = {provider};
        test_node node(n);
        fabric_store_options o = test_client::of({&node});
        o.provider = provider;
        test_client client(o);
        batch all(client, 20, 16 * kib);
        all.put_all();
        const std::vector<StatusCode> how = all.get_all(in_order(20));
        CHECK(std::count(how.begin(), how.end(), StatusCode::kOk) == 20);
        for (std::size_t i = 0; i < 20; ++i) {
            CHECK(all.right(i, i));
        }
    }
}

TEST_CASE("fabric_store: with several connections per node, all of them carry blocks") {
    test_node node;
    fabric_store_options o = test_client::of({&node});
    o.connections = 4;
    test_client client(o);
    batch all(client, 64, 64 * kib);
    all.put_all();
    const std::vector<StatusCode> how = all.get_all(in_order(64));
    CHECK(std::count(how.begin(), how.end(), StatusCode::kOk) == 64);
    for (std::size_t i = 0; i < 64; ++i) {
        CHECK(all.right(i, i));
    }
}

TEST_CASE("fabric_store: a link with a rate lets no more pass") {
    test_node node;
    fabric_store_options o = test_client::of({&node});
    test_client client(o);
    batch all(client, 16, 64 * kib);
    all.put_all();
    REQUIRE(client->set_link_rate(50e6).ok());
    const auto before = std::chrono::steady_clock::now();
    const std::vector<StatusCode> how = all.get_all(in_order(16));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
    CHECK(std::count(how.begin(), how.end(), StatusCode::kOk) == 16);
    CHECK(took.count() >= 16 * 64 * 1024 / 50e6 * 0.99);  // never faster, however slow the machine
}

TEST_CASE("fabric_store: bad options are told by name") {
    const auto code = [](const fabric_store_options& o) {
        return sluice::fabric_store::create(o).status().code();
    };
    fabric_store_options good;
    good.nodes = {"tcp://127.0.0.1:1"};
    good.secret = sluice::test::test_secret;
    CHECK(code(good) == StatusCode::kOk);  // that nobody listens there is not an error yet
    fabric_store_options o = good;
    o.nodes.clear();
    CHECK(code(o) == StatusCode::kInvalidArgument);
    o = good;
    o.nodes.push_back(o.nodes.front());
    CHECK(code(o) == StatusCode::kInvalidArgument);
    o = good;
    o.nodes = {"udp://x:1"};
    CHECK(code(o) == StatusCode::kInvalidArgument);
    o = good;
    o.replicas = 2;
    CHECK(code(o) == StatusCode::kInvalidArgument);
    o = good;
    o.secret.clear();
    CHECK(code(o) == StatusCode::kInvalidArgument);
    o = good;
    o.provider = "carrier pigeon";
    CHECK(code(o) == StatusCode::kUnimplemented);
    o = good;
    o.link_rate = -1;
    CHECK(code(o) == StatusCode::kInvalidArgument);
}

}  // namespace
