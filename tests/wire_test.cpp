// SPDX-License-Identifier: Apache-2.0
#include "wire/messages.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/base/status.hpp>

#include "fuzz/wire_samples.hpp"
#include "wire/frame.hpp"

namespace {

using sluice::histories::dice;
using sluice_test::for_each_message;
using sluice_test::samples;
using namespace sluice::wire;

using bytes = std::vector<std::byte>;

template <class Message>
bytes framed(const Message& m, std::uint64_t id = 7) {
    bytes out;
    encode(m, id, out);
    return out;
}

std::span<const std::byte> body_of(const bytes& frame) {
    return std::span(frame).subspan(frame_header_bytes);
}

template <class Message>
bytes body(const Message& m) {
    const bytes whole = framed(m);
    return bytes(body_of(whole).begin(), body_of(whole).end());
}

template <class Message>
bool refuses(std::span<const std::byte> raw) {
    return decode<Message>(raw).status().code() == absl::StatusCode::kInvalidArgument;
}

bytes hex(std::string_view digits) {
    bytes out;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
        i += digits[i] == ' ' ? 1 : 0;
        out.push_back(
            static_cast<std::byte>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16)));
    }
    return out;
}

std::uint64_t fresh_seed() { return std::random_device()(); }

TEST_CASE("wire messages: what is encoded decodes to the same") {
    const std::uint64_t seed = fresh_seed();
    INFO("seed " << seed);
    samples draw(seed);
    for_each_message([&](auto& m) {
        INFO(name_of(m.type));
        for (int i = 0; i < 100; ++i) {
            draw.fill(m);
            const bytes raw = framed(m);
            const auto again = decode<std::remove_cvref_t<decltype(m)>>(body_of(raw));
            REQUIRE(again.ok());
            REQUIRE(*again == m);
        }
    });
}

TEST_CASE("wire messages: each that is cut short or goes on too long is refused") {
    const std::uint64_t seed = fresh_seed();
    INFO("seed " << seed);
    samples draw(seed);
    for_each_message([&](auto& m) {
        INFO(name_of(m.type));
        draw.fill(m);
        bytes raw = body(m);
        for (std::size_t n = 0; n < raw.size(); ++n) {
            // From a copy of that size, so that a sanitizer sees a read behind the end.
            const bytes part(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(n));
            if (!refuses<std::remove_cvref_t<decltype(m)>>(part)) {
                FAIL("accepted with " << n << " of " << raw.size() << " bytes");
            }
        }
        raw.push_back(std::byte{0});
        REQUIRE(refuses<std::remove_cvref_t<decltype(m)>>(raw));
    });
}

TEST_CASE("wire messages: with a byte changed each is refused or means just what it says") {
    const std::uint64_t seed = fresh_seed();
    INFO("seed " << seed);
    samples draw(seed);
    dice roll(seed);
    for_each_message([&](auto& m) {
        INFO(name_of(m.type));
        bytes raw;
        do {
            draw.fill(m);
            raw = body(m);
        } while (raw.size() > 2000);
        for (std::size_t i = 0; i < raw.size(); ++i) {
            const std::byte before = raw[i];
            raw[i] ^= static_cast<std::byte>(roll.between(1, 255));
            const auto got = decode<std::remove_cvref_t<decltype(m)>>(raw);
            if (got.ok()) {
                REQUIRE(body(*got) == raw);
            }
            raw[i] = before;
        }
    });
}

TEST_CASE("wire messages: the layout is the documented one") {
    hello h;
    h.newest_version = 0x0302;
    h.client.fill(std::byte{0xab});
    std::string nonce_digits;
    for (int i = 0; i < 32; ++i) {
        nonce_digits += "ab";
    }
    CHECK(framed(h, 0x0807060504030201) ==
          hex("2800000001000000 0102030405060708 534c4345 0100 0203" + nonce_digits));

    lookup l;
    l.lease = false;
    l.keys = {sluice::block_key::from_u64(0x1122)};
    CHECK(framed(l) == hex("0c00000007000000 0700000000000000 00 0100 08 2211000000000000"));

    failure f;
    f.code = 5;
    f.text = "no";
    CHECK(framed(f) == hex("0600000014000000 0700000000000000 0500 0200 6e6f"));
}

TEST_CASE("wire messages: fields out of their bounds are refused") {
    SECTION("versions") {
        bytes raw = body(hello{});
        raw[4] = std::byte{0};
        CHECK(refuses<hello>(raw));  // version 0
        raw[4] = std::byte{2};
        CHECK(refuses<hello>(raw));  // oldest 2, newest 1
        raw = body(hello{});
        raw[0] = std::byte{'s'};
        CHECK(refuses<hello>(raw));  // another magic
    }
    SECTION("booleans and enumerations") {
        CHECK(refuses<reported>(hex("02")));
        CHECK(refuses<committed>(hex("010004")));
        CHECK(refuses<reserved>(hex("0100 04 0000000000000000")));
    }
    SECTION("keys") {
        CHECK(refuses<sluice::wire::remove>(hex("0100 00")));
        bytes long_key = hex("0100 21");
        long_key.resize(long_key.size() + 33);
        CHECK(refuses<sluice::wire::remove>(long_key));
    }
    SECTION("counts") {
        CHECK(refuses<committed>(hex("0000")));
        bytes raw = hex("0104");  // 1025
        raw.resize(2 + 1025);
        CHECK(refuses<committed>(raw));
        raw[0] = std::byte{0};
        raw.resize(2 + 1024);
        CHECK(decode<committed>(raw).ok());
        CHECK(refuses<removed>(hex("01040000")));
    }
    SECTION("providers") {
        CHECK(decode<open_lane>(hex("0200 7463 00 0000")).ok());
        CHECK(refuses<open_lane>(hex("0200 7480 00 0000")));
        CHECK(refuses<open_lane>(hex("0200 740a 00 0000")));
        CHECK(refuses<open_lane>(hex("0000 00 0000")));
        CHECK(refuses<open_lane>(hex("0200 7463 01 0000")));     // datagram, no address
        CHECK(refuses<open_lane>(hex("0200 7463 00 0100 01")));  // and the other way round
    }
    SECTION("placements") {
        const std::string tail = "0000000000000000 0000000000000000";
        const std::string count = "0100";
        CHECK(decode<found>(hex(count + "0000000000000000 0100000000000000" + tail)).ok());
        CHECK(refuses<found>(hex(count + "0000000000000000 0000000000000000" + tail)));
        CHECK(refuses<found>(hex(count + "0000000000000000 0100000001000000" + tail)));
        CHECK(refuses<found>(hex(count + "feffffffffffffff 0100000000000000" + tail)));
        CHECK(refuses<found>(hex(count + "ffffffffffff0000 0200000000000000" + tail)));
        CHECK(decode<found>(hex(count + "ffffffffffffffff 0000000000000000" + tail)).ok());
        CHECK(refuses<found>(hex(count + "ffffffffffffffff 0100000000000000" + tail)));
    }
    SECTION("the message says where") {
        const auto got = decode<reported>(hex("02"));
        CHECK(sluice::message_of(got.status()) ==
              "malformed reported: dropped is out of its bounds");
    }
}

TEST_CASE("wire messages: long texts are cut, between characters") {
    failure f = failure_of(absl::NotFoundError(std::string(max_text_bytes - 1, 'x') + "\u00e9!"));
    const auto got = decode<failure>(body(f));
    REQUIRE(got.ok());
    CHECK(got->text == std::string(max_text_bytes - 1, 'x'));
    CHECK(status_of(*got).code() == absl::StatusCode::kNotFound);
}

}  // namespace
