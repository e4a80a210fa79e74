// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "support/node_client.hpp"

using namespace sluice_test;
using wire::commit_verdict;
using wire::reserve_verdict;

namespace {

bool has_provider(const std::string& name) {
    return sluice::fabric::domain::open(name, "127.0.0.1", sluice::fabric::domain::role::node).ok();
}

// A node, a client, and its data connection.
struct pair {
    explicit pair(const sluice::memory_node_options& o = small_node(),
                  const std::string& provider = "tcp")
        : node(start(o)), control(node->address()) {
        REQUIRE(control.shake_hands().ok());
        data = std::make_unique<data_client>(control, provider);
    }
    [[nodiscard]] bool holds(std::uint64_t key, const bytes& block) {
        const auto found = control.lookup({key_of(key)});
        return found[0].there() && data->read(found[0]) == block;
    }
    std::unique_ptr<sluice::memory_node> node;
    node_client control;
    std::unique_ptr<data_client> data;
};

// The node has read the second before it takes in what the first commits.
void write_together(node_client& c, const wire::commit& first, const wire::reserve& second) {
    bytes both = framed(first, 100);
    const bytes behind = framed(second, 101);
    both.insert(both.end(), behind.begin(), behind.end());
    c.write(both);
}

}  // namespace

TEST_CASE("memory_node: what was put is found and read", "[memory_node]") {
    const std::string provider = GENERATE(as<std::string>(), "tcp", "shm");
    if (!has_provider(provider)) {
        SKIP("no provider " << provider);
    }
    sluice::memory_node_options o = small_node();
    o.providers = {provider};
    pair p(o, provider);
    const bytes first = pattern(5000, 1);
    const bytes second = pattern(64, 2);
    CHECK(put(p.control, *p.data, 1, first) == commit_verdict::stored);
    CHECK(put(p.control, *p.data, 2, second, 8192) == commit_verdict::stored);

    const auto found = p.control.lookup({key_of(2), key_of(1), key_of(3)});
    REQUIRE(found.size() == 3);
    CHECK((p.data->read(found[0]) == second));
    CHECK((p.data->read(found[1]) == first));
    CHECK(found[1].checksum == sluice::checksum64(first));
    CHECK_FALSE(found[2].there());

    const sluice::memory_node_stats s = p.node->stats();
    CHECK(s.blocks == 2);
    CHECK(s.bytes == 5064);
    CHECK(s.puts == 2);
    CHECK(s.lookups == 3);
    CHECK(s.hits == 2);
}

TEST_CASE("memory_node: one pool is read by several providers", "[memory_node]") {
    if (!has_provider("shm")) {
        SKIP("no provider shm");
    }
    sluice::memory_node_options o = small_node();
    o.providers = {"tcp", "shm"};
    pair p(o, "tcp");
    data_client other(p.control, "shm");
    const bytes block = pattern(10'000, 3);
    CHECK(put(p.control, *p.data, 1, block) == commit_verdict::stored);
    CHECK((other.read(p.control.lookup({key_of(1)})[0]) == block));
    const bytes another = pattern(777, 4);
    CHECK(put(p.control, other, 2, another, 4096) == commit_verdict::stored);
    CHECK(p.holds(2, another));
}

TEST_CASE("memory_node: a node on all interfaces is read by the one that was asked",
          "[memory_node]") {
    sluice::memory_node_options o = small_node();
    o.listen = "tcp://0.0.0.0:0";
    const auto node = start(o);
    const std::string port = node->address().substr(node->address().rfind(':'));
    node_client c("tcp://127.0.0.1" + port);
    REQUIRE(c.shake_hands().ok());
    data_client data(c, "tcp");
    const bytes block = pattern(1000, 14);
    CHECK(put(c, data, 1, block) == commit_verdict::stored);
    CHECK((data.read(c.lookup({key_of(1)})[0]) == block));
}

TEST_CASE("memory_node: blocks of many loop turns are whole", "[memory_node]") {
    sluice::memory_node_options o = small_node();
    o.memory = 512 << 20;  // slabs of 8 MiB
    o.staging = 12 << 20;
    pair p(o);
    const bytes large = pattern(7 << 20, 5);
    const bytes small = pattern(100, 6);
    const auto grants =
        p.control.reserve({{key_of(1), large.size()}, {key_of(2), 100}, {key_of(3), 100}});
    REQUIRE(grants[0].verdict == reserve_verdict::granted);
    REQUIRE(p.data->write(0, large));
    REQUIRE(p.data->write(8 << 20, small));
    const std::uint64_t sum = sluice::checksum64(small);
    const auto done = p.control.commit({{grants[0].token, 0, sluice::checksum64(large), false},
                                        {grants[1].token, 8 << 20, sum, false},
                                        {grants[2].token, 8 << 20, sum + 1, false}});
    REQUIRE(done.ok());
    CHECK(done->verdicts ==
          std::vector{commit_verdict::stored, commit_verdict::stored, commit_verdict::damaged});
    CHECK(p.holds(1, large));
    CHECK(p.holds(2, small));
    CHECK_FALSE(p.control.lookup({key_of(3)})[0].there());
}

TEST_CASE("memory_node: a block whose sum is wrong is not stored", "[memory_node]") {
    pair p;
    const bytes block = pattern(1000, 7);
    const auto grants = p.control.reserve({{key_of(1), 1000}});
    REQUIRE(p.data->write(0, block));
    const std::uint64_t sum = sluice::checksum64(block);
    CHECK(p.control.commit({{grants[0].token, 0, sum ^ 1, false}})->verdicts[0] ==
          commit_verdict::damaged);
    CHECK_FALSE(p.control.lookup({key_of(1)})[0].there());
    CHECK(p.node->stats().damaged == 1);
    // Its room is free again, and the token is used up.
    CHECK(p.control.commit({{grants[0].token, 0, sum, false}})->verdicts[0] ==
          commit_verdict::unknown);
    CHECK(put(p.control, *p.data, 1, block) == commit_verdict::stored);
}

TEST_CASE("memory_node: tokens are their connection's own", "[memory_node]") {
    pair p;
    node_client other(p.node->address());
    REQUIRE(other.shake_hands().ok());
    data_client other_data(other, "tcp");
    const bytes block = pattern(1000, 8);
    const std::uint64_t sum = sluice::checksum64(block);
    const auto grants = p.control.reserve({{key_of(1), 1000}});
    REQUIRE(other_data.write(0, block));
    CHECK(other.commit({{grants[0].token, 0, sum, false}})->verdicts[0] == commit_verdict::unknown);
    CHECK(other.commit({{grants[0].token, 0, 0, true}})->verdicts[0] == commit_verdict::unknown);
    REQUIRE(p.data->write(0, block));
    CHECK(p.control.commit({{grants[0].token, 0, sum, false}})->verdicts[0] ==
          commit_verdict::stored);
}

TEST_CASE("memory_node: who commits first wins", "[memory_node]") {
    pair p;
    const bytes first = pattern(1000, 9);
    const bytes second = pattern(1000, 10);
    const auto grants = p.control.reserve({{key_of(1), 1000}});
    CHECK(put(p.control, *p.data, 1, first) == commit_verdict::stored);
    REQUIRE(p.data->write(0, second));
    CHECK(
        p.control.commit({{grants[0].token, 0, sluice::checksum64(second), false}})->verdicts[0] ==
        commit_verdict::exists);
    CHECK(p.holds(1, first));
    CHECK(p.control.reserve({{key_of(1), 1000}})[0].verdict == reserve_verdict::exists);
}

TEST_CASE("memory_node: what is said to lie outside the staging memory ends the connection",
          "[memory_node]") {
    const std::uint64_t offset =
        GENERATE(std::uint64_t{0}, std::uint64_t{1}, (std::uint64_t{1} << 48) - 1);
    pair p;
    const std::uint64_t size = small_node().staging;
    const std::uint64_t length = offset == 0 ? 1000 : size;
    auto client = std::make_unique<node_client>(p.node->address());
    REQUIRE(client->shake_hands().ok());
    std::unique_ptr<data_client> data;
    if (offset != 0) {  // without a data connection there is no staging memory at all
        data = std::make_unique<data_client>(*client, "tcp");
    }
    const auto grants = client->reserve({{key_of(1), length}});
    REQUIRE(grants[0].verdict == reserve_verdict::granted);
    CHECK(client->commit({{grants[0].token, offset, 0, false}}).status().code() ==
          absl::StatusCode::kInvalidArgument);
    CHECK(client->closed());
    CHECK(p.node->stats().malformed == 1);
    if (data != nullptr) {
        data->wait_broken();
    }
}

TEST_CASE("memory_node: staging memory cannot be read, nor the pool written", "[memory_node]") {
    pair p;
    CHECK(p.data->write(0, pattern(64, 1)));
    SECTION("read") { CHECK_FALSE(p.data->read(p.data->told.staging, 0, 64).has_value()); }
    SECTION("write") {
        p.data->told.staging = p.data->told.pool;
        CHECK_FALSE(p.data->write(0, pattern(64, 2)));
    }
}

TEST_CASE("memory_node: a ticket is good once", "[memory_node]") {
    pair p;
    data_client thief(p.control, "tcp");
    CHECK(thief.write(0, pattern(64, 1)));
    CHECK_FALSE(data_client::connects(p.data->told, "tcp"));
}

TEST_CASE("memory_node: who leaves gives back what he has reserved", "[memory_node]") {
    sluice::memory_node_options o = small_node();
    o.memory = 1 << 20;  // one slab
    o.staging = 1 << 20;
    pair p(o);
    auto hoarder = std::make_unique<node_client>(p.node->address());
    REQUIRE(hoarder->shake_hands().ok());
    CHECK(hoarder->reserve({{key_of(1), 1 << 20}})[0].verdict == reserve_verdict::granted);
    CHECK(p.control.reserve({{key_of(2), 1 << 20}})[0].verdict == reserve_verdict::no_room);
    CHECK(p.node->stats().refused == 1);
    hoarder.reset();
    while (p.control.ping().connections > 1) {
    }
    CHECK(put(p.control, *p.data, 2, pattern(1 << 20, 1)) == commit_verdict::stored);
}

TEST_CASE("memory_node: reservations that nobody commits are given back, oldest first",
          "[memory_node]") {
    sluice::memory_node_options o = small_node();
    o.staging = 64 << 10;
    pair p(o);
    const auto first = p.control.reserve({{key_of(0), o.staging}});
    std::vector<wire::reserved::grant> last;
    for (std::uint64_t key = 1; key <= 4; ++key) {
        last = p.control.reserve({{key_of(key), o.staging}});
        REQUIRE(last[0].verdict == reserve_verdict::granted);
    }
    const bytes block = pattern(o.staging, 11);
    REQUIRE(p.data->write(0, block));
    const std::uint64_t sum = sluice::checksum64(block);
    const auto done =
        p.control.commit({{first[0].token, 0, sum, false}, {last[0].token, 0, sum, false}});
    CHECK(done->verdicts == std::vector{commit_verdict::unknown, commit_verdict::stored});
    // Longer than a put can be, and more at once than can be on its way.
    CHECK(p.control.reserve({{key_of(9), o.staging + 1}})[0].verdict == reserve_verdict::too_large);
    const auto many = p.control.reserve({{key_of(10), o.staging},
                                         {key_of(11), o.staging},
                                         {key_of(12), o.staging},
                                         {key_of(13), o.staging},
                                         {key_of(14), o.staging}});
    CHECK(many[3].verdict == reserve_verdict::granted);
    CHECK(many[4].verdict == reserve_verdict::no_room);
}

TEST_CASE("memory_node: a full pool drops what was not used for longest", "[memory_node]") {
    sluice::memory_node_options o = small_node();
    o.memory = 1 << 20;
    o.lease = std::chrono::milliseconds(100);
    pair p(o);
    const std::size_t size = 64 << 10;
    for (std::uint64_t key = 0; key < 17; ++key) {
        CHECK(put(p.control, *p.data, key, pattern(size, static_cast<unsigned>(key))) ==
              commit_verdict::stored);
    }
    CHECK(p.node->stats().evicted == 1);
    CHECK(p.node->stats().blocks == 16);
    CHECK_FALSE(p.control.lookup({key_of(0)}, false)[0].there());
    CHECK(p.holds(16, pattern(size, 16)));
}

TEST_CASE("memory_node: a reported block that is as it was stays", "[memory_node]") {
    pair p;
    const bytes block = pattern(3000, 12);
    REQUIRE(put(p.control, *p.data, 1, block) == commit_verdict::stored);
    wire::report r;
    r.key = key_of(1);
    r.generation = p.control.lookup({key_of(1)})[0].generation;
    CHECK_FALSE(p.control.ask<wire::reported>(r)->dropped);
    CHECK(p.holds(1, block));
    CHECK(p.node->stats().damaged == 0);
}

TEST_CASE("memory_node: what is removed is gone", "[memory_node]") {
    pair p;
    REQUIRE(put(p.control, *p.data, 1, pattern(100, 1)) == commit_verdict::stored);
    wire::remove r;
    r.keys = {key_of(1), key_of(2)};
    CHECK(p.control.ask<wire::removed>(r)->blocks == 1);
    CHECK_FALSE(p.control.lookup({key_of(1)})[0].there());
}

TEST_CASE("memory_node: a client may ask without waiting", "[memory_node]") {
    pair p;
    const bytes block = pattern(100, 13);
    const auto grants = p.control.reserve({{key_of(1), 100}});
    REQUIRE(p.data->write(0, block));
    wire::commit commit;
    commit.blocks = {{grants[0].token, 0, sluice::checksum64(block), false}};
    const std::uint64_t first = p.control.send(commit);
    const std::uint64_t second = p.control.send(wire::ping{});
    // Answers come in any order.
    std::vector<std::uint64_t> ids{p.control.next()->id, p.control.next()->id};
    std::sort(ids.begin(), ids.end());
    CHECK(ids == std::vector{first, second});
    CHECK(p.holds(1, block));
}

TEST_CASE("memory_node: more commits than it can line up are refused", "[memory_node]") {
    pair p;
    wire::commit commit;
    commit.blocks.assign(1024, {1, 0, 0, false});  // means nothing
    bytes many;
    const int count = 200;
    for (int i = 0; i < count; ++i) {
        wire::encode(commit, 1000 + static_cast<std::uint64_t>(i), many);
    }
    p.control.write(many);
    int served = 0;
    int refused = 0;
    for (int i = 0; i < count; ++i) {
        const auto answer = p.control.receive<wire::committed>();
        served += answer.ok() ? 1 : 0;
        refused += answer.status().code() == absl::StatusCode::kResourceExhausted ? 1 : 0;
    }
    CHECK(served >= 64);
    CHECK(served + refused == count);
    CHECK(p.control.ping().connections == 1);
}

TEST_CASE("memory_node: a commit of what is reserved behind it reads only staging memory",
          "[memory_node]") {
    const bool has_lane = GENERATE(false, true);
    const auto node = start(small_node());
    node_client c(node->address());
    REQUIRE(c.shake_hands().ok());
    std::unique_ptr<data_client> data;
    if (has_lane) {
        data = std::make_unique<data_client>(c, "tcp");
    }
    const auto token_of_next = [&] {
        const std::uint64_t token = c.reserve({{key_of(1), 1000}})[0].token;
        REQUIRE(c.commit({{token, 0, 0, true}}).ok());
        return token;
    };
    const std::uint64_t first = token_of_next();
    const std::uint64_t second = token_of_next();
    wire::commit commit;
    commit.blocks = {{second + (second - first), has_lane ? wire::max_pool_bytes - 1 : 0,
                      sluice::checksum64(bytes(1000)), false}};
    wire::reserve reserve;
    reserve.blocks = {{key_of(1), 1000}};
    write_together(c, commit, reserve);
    const auto reserved = c.receive<wire::reserved>();
    REQUIRE(reserved.ok());
    REQUIRE(reserved->grants[0].token == commit.blocks[0].token);
    const auto committed = c.receive<wire::committed>();
    REQUIRE(committed.ok());
    CHECK(committed->verdicts == std::vector{wire::commit_verdict::unknown});
    CHECK_FALSE(c.lookup({key_of(1)})[0].there());
}

TEST_CASE("memory_node: what is being taken in counts as reserved", "[memory_node]") {
    const auto node = start(small_node());
    node_client c(node->address());
    REQUIRE(c.shake_hands().ok());
    data_client data(c, "tcp");
    const bytes block = pattern(256 << 10, 1);
    REQUIRE(data.write(0, block));
    wire::commit commit;
    wire::reserve reserve;
    std::vector<wire::reserve::block> blocks;
    for (std::uint64_t i = 0; i < 4; ++i) {  // as much as a client may have reserved
        blocks.push_back({key_of(i), block.size()});
        reserve.blocks.push_back({key_of(10 + i), block.size()});
    }
    for (const auto& g : c.reserve(blocks)) {
        REQUIRE(g.verdict == wire::reserve_verdict::granted);
        commit.blocks.push_back({g.token, 0, sluice::checksum64(block), false});
    }
    write_together(c, commit, reserve);
    const auto reserved = c.receive<wire::reserved>();
    REQUIRE(reserved.ok());
    for (const auto& g : reserved->grants) {
        CHECK(g.verdict == wire::reserve_verdict::no_room);
    }
    const auto committed = c.receive<wire::committed>();
    REQUIRE(committed.ok());
    CHECK(committed->verdicts == std::vector(4, wire::commit_verdict::stored));
    for (const auto& g : c.reserve(reserve.blocks)) {
        CHECK(g.verdict == wire::reserve_verdict::granted);
    }
}
