// SPDX-License-Identifier: Apache-2.0
#include "wire/secret.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "support/temp_dir.hpp"
#include "wire/handshake.hpp"

namespace {

using namespace sluice::wire;
using absl::StatusCode;
using sluice_test::temp_dir;

std::span<const std::byte> raw(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string hex(const mac& m) {
    std::string out;
    for (const std::byte b : m) {
        out += fmt::format("{:02x}", static_cast<unsigned>(b));
    }
    return out;
}

shared_secret secret(std::string_view text = "correct horse battery staple") {
    return *shared_secret::from_bytes(raw(text));
}

TEST_CASE("sha256: the vectors of FIPS 180-4 and its validation suite") {
    CHECK(hex(sha256(raw(""))) ==
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(hex(sha256(raw("abc"))) ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hex(sha256(raw("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))) ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(hex(sha256(raw("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                         "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"))) ==
          "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
    CHECK(hex(sha256(raw(std::string(1'000'000, 'a')))) ==
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256: pieces give what the whole gives, at every length around a block") {
    const std::string text(200, 'q');
    for (std::size_t size = 0; size <= text.size(); ++size) {
        const auto whole = raw(text).first(size);
        for (const unsigned piece : {1U, 7U, 63U, 64U, 65U}) {
            sha256_stream stream;
            for (auto rest = whole; !rest.empty();) {
                const std::size_t n = std::min<std::size_t>(piece, rest.size());
                stream.add(rest.first(n));
                rest = rest.subspan(n);
            }
            REQUIRE(stream.finish() == sha256(whole));
        }
    }
}

TEST_CASE("hmac_sha256: the vectors of RFC 4231") {
    const auto of = [](const std::string& key, const std::string& text) {
        return hex(hmac_sha256(raw(key), raw(text)));
    };
    CHECK(of(std::string(20, '\x0b'), "Hi There") ==
          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    CHECK(of("Jefe", "what do ya want for nothing?") ==
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    CHECK(of(std::string(20, '\xaa'), std::string(50, '\xdd')) ==
          "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    std::string counting;
    for (char c = 1; c <= 25; ++c) {
        counting += c;
    }
    CHECK(of(counting, std::string(50, '\xcd')) ==
          "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
    CHECK(of(std::string(20, '\x0c'), "Test With Truncation").substr(0, 32) ==
          "a3b6167473100ee06e0c796c2955552b");
    CHECK(of(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First") ==
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    CHECK(of(std::string(131, '\xaa'),
             "This is a test using a larger than block-size key and a larger than block-size data. "
             "The key needs to be hashed before being used by the HMAC algorithm.") ==
          "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

TEST_CASE("same_mac: every bit counts") {
    const mac a = sha256(raw("a"));
    CHECK(same_mac(a, a));
    for (std::size_t bit = 0; bit < 8 * a.size(); ++bit) {
        mac b = a;
        b[bit / 8] ^= std::byte{1} << (bit % 8);
        REQUIRE_FALSE(same_mac(a, b));
    }
}

TEST_CASE("fill_random: gives other bytes each time") {
    nonce a{};
    nonce b{};
    fill_random(a);
    fill_random(b);
    CHECK(a != nonce{});
    CHECK(a != b);
}

TEST_CASE("shared_secret: from a file, without the line ends behind it") {
    const temp_dir dir;
    const auto with_lf = shared_secret::from_file(dir.write("lf", "0123456789abcdef\n"));
    const auto with_crlf = shared_secret::from_file(dir.write("crlf", "0123456789abcdef\r\n"));
    const auto with_space = shared_secret::from_file(dir.write("space", "0123456789abcdef \n"));
    REQUIRE(with_lf.ok());
    REQUIRE(with_crlf.ok());
    REQUIRE(with_space.ok());
    const mac expected = secret("0123456789abcdef").client_proof({}, {});
    CHECK(with_lf->client_proof({}, {}) == expected);
    CHECK(with_crlf->client_proof({}, {}) == expected);
    CHECK(with_space->client_proof({}, {}) != expected);
    const std::string most(shared_secret::max_bytes, 's');
    CHECK(shared_secret::from_file(dir.write("most", most + "\r\n")).ok());
}

TEST_CASE("shared_secret: files that will not do are named, their content is not told") {
    const temp_dir dir;
    const auto refused = [](const std::string& path, StatusCode code) {
        const absl::Status got = shared_secret::from_file(path).status();
        INFO(got);
        CHECK(got.code() == code);
        CHECK(sluice::message_of(got).find(path) != std::string_view::npos);
        CHECK(sluice::message_of(got).find("hush") == std::string_view::npos);
    };
    refused(dir.file("none"), StatusCode::kNotFound);
    refused(dir.path(), StatusCode::kInvalidArgument);
    refused(dir.write("empty", ""), StatusCode::kInvalidArgument);
    refused(dir.write("short", "hush hush hush!\n"), StatusCode::kInvalidArgument);
    refused(dir.write("long", std::string(shared_secret::max_bytes + 1, 'h')),
            StatusCode::kInvalidArgument);
    refused(dir.write("huge", std::string(100'000, 'h')), StatusCode::kInvalidArgument);
    const std::string open = dir.write("open", "hush hush hush hush");
    REQUIRE(::chmod(open.c_str(), 0606) == 0);
    refused(open, StatusCode::kInvalidArgument);
    REQUIRE(::mkfifo(dir.file("pipe").c_str(), 0600) == 0);
    refused(dir.file("pipe"), StatusCode::kInvalidArgument);
    if (::geteuid() != 0) {
        REQUIRE(::chmod(open.c_str(), 0) == 0);
        refused(open, StatusCode::kPermissionDenied);
    }
}

TEST_CASE("shared_secret: its proofs are the documented ones") {
    hello h;
    challenge c;
    for (std::size_t i = 0; i < h.client.size(); ++i) {
        h.client[i] = static_cast<std::byte>(i);
        c.node[i] = static_cast<std::byte>(0x80 + i);
    }
    welcome w;
    w.pool_bytes = 1 << 20;
    w.max_block_bytes = 4096;
    w.lease_ms = 5000;
    w.staging_bytes = 65536;
    w.node.fill(std::byte{0x11});
    const shared_secret s = secret();
    CHECK(hex(s.client_proof(h, c)) ==
          "0f846777e6408970cd0ee928147cfbfc5bb94eb9e1e1673a32caf20ab8c24de3");
    CHECK(hex(s.node_proof(h, c, w)) ==
          "0f442b49b17bb870dde52148e2524b81568baf2949db6847da00872ebdb29aff");
}

// A client and a node that talk, with somebody between them.
struct talk {
    shared_secret ours = secret();
    shared_secret theirs = secret();
    client_handshake client{ours};
    node_handshake node{theirs, facts()};

    static welcome facts() {
        welcome w;
        w.pool_bytes = 1 << 30;
        w.max_block_bytes = 1 << 20;
        w.lease_ms = 10'000;
        fill_random(w.node);
        return w;
    }
};

TEST_CASE("handshake: two that know the secret learn so") {
    talk t;
    const auto c = t.node.begin(t.client.begin());
    REQUIRE(c.ok());
    const auto p = t.client.answer(*c);
    REQUIRE(p.ok());
    CHECK_FALSE(t.node.done());
    const auto w = t.node.finish(*p);
    REQUIRE(w.ok());
    CHECK(t.node.done());
    CHECK(w->pool_bytes == 1 << 30);
    CHECK_FALSE(t.client.done());
    CHECK(t.client.finish(*w).ok());
    CHECK(t.client.done());
}

TEST_CASE("handshake: a wrong secret is found by whoever sees the proof") {
    talk t;
    t.ours = secret("another secret, just as long");
    const auto c = t.node.begin(t.client.begin());
    const auto p = t.client.answer(*c);
    REQUIRE(p.ok());
    CHECK(t.node.finish(*p).status().code() == StatusCode::kUnauthenticated);
    CHECK(t.node.finish(*p).status().code() == StatusCode::kInvalidArgument);  // no second try
    CHECK_FALSE(t.node.done());

    // A node that lets everybody in is found out by the client.
    welcome w = talk::facts();
    w.mac = t.theirs.node_proof({}, *c, w);
    CHECK(t.client.finish(w).code() == StatusCode::kUnauthenticated);
}

TEST_CASE("handshake: a proof that was overheard is of no use later") {
    talk first;
    const hello h = first.client.begin();
    const auto c = first.node.begin(h);
    const auto p = first.client.answer(*c);
    const auto w = first.node.finish(*p);
    REQUIRE(w.ok());

    talk second;
    REQUIRE(second.node.begin(h).ok());  // the same hello, too
    CHECK(second.node.finish(*p).status().code() == StatusCode::kUnauthenticated);
    talk third;
    (void)third.client.begin();
    REQUIRE(third.client.answer(*c).ok());
    CHECK(third.client.finish(*w).code() == StatusCode::kUnauthenticated);
}

TEST_CASE("handshake: a proof sent back to its maker is of no use") {
    talk t;
    const auto c = t.node.begin(t.client.begin());
    const auto p = t.client.answer(*c);
    welcome reflected = talk::facts();
    reflected.mac = p->mac;
    CHECK(t.client.finish(reflected).code() == StatusCode::kUnauthenticated);
    // Nor with the node's nonce sent back as ours.
    talk u;
    hello h;
    h.client = c->node;
    const auto d = u.node.begin(h);
    REQUIRE(d.ok());
    CHECK(u.node.finish(*p).status().code() == StatusCode::kUnauthenticated);
}

TEST_CASE("handshake: what somebody between changes is found") {
    SECTION("the versions, to make both speak an old one") {
        talk t;
        hello h = t.client.begin();
        ++h.newest_version;
        const auto c = t.node.begin(h);
        const auto p = t.client.answer(*c);
        REQUIRE(p.ok());
        CHECK(t.node.finish(*p).status().code() == StatusCode::kUnauthenticated);
    }
    SECTION("what the node says of itself") {
        for (int field = 0; field < 5; ++field) {
            talk t;
            const auto c = t.node.begin(t.client.begin());
            auto w = t.node.finish(*t.client.answer(*c));
            REQUIRE(w.ok());
            switch (field) {
            case 0: w->node[3] ^= std::byte{1}; break;
            case 1: ++w->pool_bytes; break;
            case 2: ++w->max_block_bytes; break;
            case 3: ++w->lease_ms; break;
            default: ++w->staging_bytes;
            }
            CHECK(t.client.finish(*w).code() == StatusCode::kUnauthenticated);
        }
    }
}

TEST_CASE("handshake: versions that do not meet") {
    talk t;
    hello h = t.client.begin();
    h.oldest_version = protocol_version + 1;
    h.newest_version = protocol_version + 3;
    CHECK(t.node.begin(h).status().code() == StatusCode::kFailedPrecondition);
    CHECK(t.node.begin(h).status().code() == StatusCode::kInvalidArgument);  // no second try

    h.oldest_version = 1;
    talk newer;
    const auto c = newer.node.begin(h);
    REQUIRE(c.ok());
    CHECK(c->version == protocol_version);

    challenge odd;
    odd.version = protocol_version + 1;
    CHECK(t.client.answer(odd).status().code() == StatusCode::kFailedPrecondition);
}

TEST_CASE("handshake: steps out of order are refused") {
    talk t;
    CHECK(t.node.finish({}).status().code() == StatusCode::kInvalidArgument);
    CHECK(t.node.begin({}).status().code() == StatusCode::kInvalidArgument);  // it has failed
    CHECK(t.client.answer({}).status().code() == StatusCode::kInvalidArgument);

    talk u;
    (void)u.client.begin();
    CHECK(u.client.finish(talk::facts()).code() == StatusCode::kInvalidArgument);

    talk v;
    const auto c = v.node.begin(v.client.begin());
    const auto p = v.client.answer(*c);
    CHECK(v.client.answer(*c).status().code() == StatusCode::kInvalidArgument);  // answered
    REQUIRE(v.node.finish(*p).ok());
    CHECK(v.node.finish(*p).status().code() == StatusCode::kInvalidArgument);  // done
    CHECK_FALSE(v.node.done());
}

}  // namespace
