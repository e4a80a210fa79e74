// SPDX-License-Identifier: Apache-2.0
// The connector as LMCache's adapter drives it: submits, waits for the descriptor, drains, and
// matches completions to future ids.
#include "../../examples/adapters/lmcache_connector.hpp"

#include <poll.h>

#include <atomic>
#include <cstring>
#include <map>
#include <stdexcept>
#include <thread>

#include <catch2/catch_test_macros.hpp>

#include "../../examples/adapters/key_hash.hpp"
#include "node_process.hpp"
#include "support/temp_dir.hpp"

namespace sluice_adapters {
namespace {

using lmcache::connector::Completion;
using lmcache::connector::IStorageConnector;
using strings = std::vector<std::string>;
using bytes = std::vector<unsigned char>;

constexpr int patience_ms = 60'000;

bool readable(int fd, int timeout_ms = 0) {
    pollfd p{fd, POLLIN, 0};
    return ::poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLIN) != 0;
}

/// What LMCache's demultiplexer keeps.
struct engine {
    explicit engine(IStorageConnector& c) : connector(c) {}

    Completion wait(std::uint64_t id) {
        while (ended.count(id) == 0) {
            if (!readable(connector.event_fd(), patience_ms)) {
                throw std::runtime_error("no completion came");
            }
            for (Completion& c : connector.drain_completions()) {
                order.push_back(c.future_id);
                if (!ended.emplace(c.future_id, c).second) {
                    throw std::runtime_error("a completion came twice");
                }
            }
        }
        return ended.at(id);
    }

    IStorageConnector& connector;
    std::map<std::uint64_t, Completion> ended;
    std::vector<std::uint64_t> order;
};

/// Chunks of one size with bytes of their own, and names as LMCache makes them.
struct chunks {
    chunks(int first, int n, std::size_t size = 4096, bool filled = true)
        : lens(static_cast<std::size_t>(n), size), data(static_cast<std::size_t>(n)) {
        for (int i = 0; i < n; ++i) {
            keys.push_back("meta-llama/Llama-3.1-70B-Instruct@00010203@0@" + std::string(56, 'c') +
                           std::to_string(10'000'000 + first + i));
            bytes& d = data[static_cast<std::size_t>(i)];
            d.assign(size, 0xee);
            for (std::size_t at = 0; filled && at < size; ++at) {
                d[at] = static_cast<unsigned char>((at * 7) ^ (at >> 8) ^
                                                   static_cast<std::size_t>(first + i));
            }
            bufs.push_back(d.data());
        }
    }
    [[nodiscard]] std::size_t size() const { return lens[0]; }

    strings keys;
    std::vector<void*> bufs;
    std::vector<std::size_t> lens;
    std::vector<bytes> data;
};

std::uint64_t set(IStorageConnector& c, const chunks& k) {
    return c.submit_batch_set(k.keys, k.bufs, k.lens, k.size());
}
std::uint64_t get(IStorageConnector& c, const chunks& k) {
    return c.submit_batch_get(k.keys, k.bufs, k.lens, k.size());
}

std::vector<std::uint8_t> ones(std::size_t n) { return std::vector<std::uint8_t>(n, 1); }

void round_trip(IStorageConnector& c) {
    engine e(c);
    const chunks written(0, 50);
    Completion done = e.wait(set(c, written));
    CHECK(done.ok);
    CHECK(done.error.empty());
    CHECK(done.result_bytes == ones(50));

    const chunks read(0, 50, 4096, false);
    done = e.wait(get(c, read));
    CHECK(done.ok);
    CHECK(done.result_bytes == ones(50));
    CHECK(read.data == written.data);

    // Ten of these twenty are there: ok says that the batch ran, the bytes say which keys hit.
    const chunks some(40, 20, 4096, false);
    std::vector<std::uint8_t> ten = ones(10);
    ten.resize(20, 0);
    done = e.wait(c.submit_batch_exists(some.keys));
    CHECK(done.ok);
    CHECK(done.result_bytes == ten);
    done = e.wait(get(c, some));
    CHECK(done.ok);
    CHECK(done.result_bytes == ten);
    CHECK(some.data[9] == written.data[49]);
    CHECK(some.data[10] == bytes(4096, 0xee));  // a miss leaves its buffer alone

    // Storing again changes nothing.
    CHECK(e.wait(set(c, written)).result_bytes == ones(50));

    // Deleting says what was there.
    done = e.wait(c.submit_batch_delete(some.keys));
    CHECK(done.ok);
    CHECK(done.result_bytes == ten);
    done = e.wait(c.submit_batch_delete(some.keys));
    CHECK(done.ok);
    CHECK(done.result_bytes == std::vector<std::uint8_t>(20, 0));
    CHECK(e.wait(c.submit_batch_exists(written.keys)).result_bytes[39] == 1);
    CHECK(e.wait(c.submit_batch_exists(written.keys)).result_bytes[40] == 0);
}

TEST_CASE("lmcache: batches end with a result for each key") {
    lmcache_connector c({});
    round_trip(c);
}

TEST_CASE("lmcache: the descriptor is readable while completions wait") {
    lmcache_connector c({});
    const int fd = c.event_fd();
    REQUIRE(fd >= 0);
    CHECK_FALSE(readable(fd));
    CHECK(c.drain_completions().empty());
    const chunks k(0, 4);
    const std::uint64_t first = set(c, k);
    REQUIRE(readable(fd, patience_ms));
    CHECK(readable(fd));  // until it is drained, however often one looks
    const std::vector<Completion> ended = c.drain_completions();
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].future_id == first);
    CHECK_FALSE(readable(fd));
    CHECK(c.event_fd() == fd);
}

TEST_CASE("lmcache: completions come in the order in which batches end") {
    lmcache_connector c({});
    engine e(c);
    std::vector<std::uint64_t> ids;
    for (int i = 0; i < 20; ++i) {
        ids.push_back(c.submit_batch_exists({"key " + std::to_string(i)}));
    }
    for (const std::uint64_t id : ids) {
        CHECK(e.wait(id).result_bytes == std::vector<std::uint8_t>{0});
    }
    CHECK(e.order == ids);
}

TEST_CASE("lmcache: what contradicts itself is refused") {
    lmcache_connector c({});
    const chunks k(0, 2);
    CHECK_THROWS_AS(c.submit_batch_set(k.keys, {k.bufs[0]}, k.lens, 4096), std::runtime_error);
    CHECK_THROWS_AS(c.submit_batch_get(k.keys, k.bufs, {4096}, 4096), std::runtime_error);
    CHECK_THROWS_AS(c.submit_batch_get({}, {}, {}, 4096), std::runtime_error);
    CHECK_THROWS_AS(c.submit_batch_exists({}), std::runtime_error);
    CHECK_THROWS_AS(c.submit_batch_delete({}), std::runtime_error);
    CHECK_THROWS_AS(c.submit_batch_set({"a"}, {nullptr}, {16}, 16), std::runtime_error);
    CHECK_FALSE(readable(c.event_fd()));
    store_options o;
    o.nodes = "tcp://127.0.0.1:1";
    CHECK_THROWS_AS(lmcache_connector(o), std::runtime_error);  // no secret
    o.secret_file = "/no/such/file";
    CHECK_THROWS_AS(lmcache_connector(o), std::runtime_error);
    o.nodes = "nowhere";
    CHECK_THROWS_AS(lmcache_connector(o), std::runtime_error);
}

TEST_CASE("lmcache: a length that is not the block's fails that key alone") {
    lmcache_connector c({});
    engine e(c);
    REQUIRE(e.wait(set(c, chunks(0, 3))).ok);
    chunks read(0, 3, 4096, false);
    read.lens[1] = 100;
    const Completion done = e.wait(get(c, read));
    CHECK(done.ok);
    CHECK(done.result_bytes == std::vector<std::uint8_t>{1, 0, 1});
    CHECK(read.data[2] == chunks(2, 1).data[0]);
}

TEST_CASE("lmcache: a store that failed for some keys says for which") {
    store_options o;
    o.capacity = 1 << 20;
    lmcache_connector c(o);
    engine e(c);
    chunks k(0, 3);
    bytes big(2 << 20);  // never fits
    k.bufs[1] = big.data();
    k.lens[1] = big.size();
    const Completion done = e.wait(set(c, k));
    CHECK_FALSE(done.ok);
    CHECK(done.error == "SLUICE_E_RESOURCE_EXHAUSTED");
    CHECK(done.result_bytes == std::vector<std::uint8_t>{1, 0, 1});
}

TEST_CASE("lmcache: a name becomes a key by SHA-256") {
    // The same name in two namespaces, also where the seam between them moves.
    CHECK(key_hash(std::string("a\0bc", 4)) != key_hash(std::string("ab\0c", 4)));
    // FIPS 180-4's vectors, and lengths around the padding's end.
    const auto hex = [](const std::string& of) {
        std::string out;
        for (const unsigned char b : key_hash(of)) {
            out += "0123456789abcdef"[b >> 4];
            out += "0123456789abcdef"[b & 15];
        }
        return out;
    };
    CHECK(hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(hex(std::string(55, 'a')) ==
          "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
    CHECK(hex(std::string(64, 'a')) ==
          "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
}

TEST_CASE("lmcache: many threads submit, one drains") {
    constexpr int threads = 8;
    constexpr int rounds = 25;
    lmcache_connector c({});
    std::atomic<int> failures{0};
    std::mutex mutex;
    std::map<std::uint64_t, std::vector<std::uint8_t>> expected;
    std::vector<std::vector<chunks>> kept(threads);
    std::atomic<int> submitted{0};
    {
        std::vector<std::thread> submitters;
        for (int t = 0; t < threads; ++t) {
            std::vector<chunks>& own = kept[static_cast<std::size_t>(t)];
            own.reserve(rounds);
            for (int i = 0; i < rounds; ++i) {
                own.emplace_back((t * rounds + i) * 4, 4, 1024);
            }
            submitters.emplace_back([&, t] {
                for (const chunks& k : kept[static_cast<std::size_t>(t)]) {
                    const std::uint64_t id = set(c, k);
                    const std::scoped_lock lock(mutex);
                    failures += expected.emplace(id, ones(4)).second ? 0 : 1;
                    ++submitted;
                }
            });
        }
        std::map<std::uint64_t, std::vector<std::uint8_t>> got;
        while (got.size() < threads * rounds) {
            REQUIRE(readable(c.event_fd(), patience_ms));
            for (const Completion& done : c.drain_completions()) {
                failures +=
                    done.ok && got.emplace(done.future_id, done.result_bytes).second ? 0 : 1;
            }
        }
        for (std::thread& t : submitters) {
            t.join();
        }
        CHECK(got == expected);
    }
    CHECK(failures == 0);
    CHECK(submitted == threads * rounds);
    engine e(c);
    for (int t = 0; t < threads; ++t) {
        const chunks read(t * rounds * 4, rounds * 4, 1024, false);
        CHECK(e.wait(get(c, read)).result_bytes == ones(rounds * 4));
        CHECK(read.data[5] == kept[static_cast<std::size_t>(t)][1].data[1]);
    }
}

TEST_CASE("lmcache: close with batches under way leaves no buffer in use") {
    std::vector<chunks> given;
    given.reserve(40);
    for (int i = 0; i < 40; ++i) {
        given.emplace_back(i * 8, 8, 1 << 16);
    }
    lmcache_connector c({});
    for (const chunks& k : given) {
        (void)set(c, k);
    }
    std::thread other([&] { c.close(); });
    c.close();
    other.join();
    given.clear();  // freed; a transfer that went on would be found by the sanitizers
    CHECK(c.event_fd() == -1);
    CHECK(c.drain_completions().empty());
    CHECK_THROWS_AS(c.submit_batch_exists({"a"}), std::runtime_error);
    c.close();
}

#ifdef SLUICE_COMMAND
struct nodes {
    nodes() {
        options.secret_file = secret;
        options.nodes = a.address() + ',' + b.address();
        REQUIRE_FALSE(a.address().empty());
        REQUIRE_FALSE(b.address().empty());
    }
    sluice_test::temp_dir dir;
    const std::string secret = dir.write("secret", "a secret that both ends know");
    sluice_test::node_process a{SLUICE_COMMAND, secret};
    sluice_test::node_process b{SLUICE_COMMAND, secret};
    store_options options;
};

TEST_CASE("lmcache: two memory nodes hold the blocks") {
    const nodes n;
    {
        lmcache_connector c(n.options);
        round_trip(c);
    }
    // Another process's connector finds what is left; one with a namespace does not.
    lmcache_connector again(n.options);
    engine e(again);
    const chunks read(0, 40, 4096, false);
    CHECK(e.wait(get(again, read)).result_bytes == ones(40));
    CHECK(read.data == chunks(0, 40).data);
    store_options o = n.options;
    o.name_space = "other";
    lmcache_connector apart(o);
    engine f(apart);
    CHECK(f.wait(apart.submit_batch_exists(read.keys)).result_bytes ==
          std::vector<std::uint8_t>(40, 0));
}

TEST_CASE("lmcache: a node that fails costs its own blocks only") {
    nodes n;
    lmcache_connector c(n.options);
    engine e(c);
    const chunks written(0, 64, 1 << 18);
    REQUIRE(e.wait(set(c, written)).ok);

    // In the middle of a load.
    const chunks read(0, 64, 1 << 18, false);
    const std::uint64_t id = get(c, read);
    n.a.kill();
    const Completion during = e.wait(id);
    CHECK(during.ok);
    REQUIRE(during.result_bytes.size() == 64);
    for (std::size_t i = 0; i < 64; ++i) {
        CAPTURE(i);
        CHECK((during.result_bytes[i] == 0 || read.data[i] == written.data[i]));
    }

    // And afterwards: some are lost, and what is there is right.
    const chunks later(0, 64, 1 << 18, false);
    const Completion after = e.wait(get(c, later));
    CHECK(after.ok);
    std::size_t there = 0;
    for (std::size_t i = 0; i < 64; ++i) {
        there += after.result_bytes[i];
        CHECK((after.result_bytes[i] == 0 || later.data[i] == written.data[i]));
    }
    CHECK(there > 0);
    CHECK(there < 64);
    const Completion known = e.wait(c.submit_batch_exists(written.keys));
    CHECK(known.ok);
    CHECK(known.result_bytes == after.result_bytes);
}
#endif

}  // namespace
}  // namespace sluice_adapters
