// SPDX-License-Identifier: Apache-2.0
#include "wire/frame.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/base/status.hpp>

#include "fuzz/wire_samples.hpp"
#include "wire/address.hpp"

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

template <class Message>
bytes body(const Message& m) {
    const bytes whole = framed(m);
    return bytes(whole.begin() + frame_header_bytes, whole.end());
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

void put(frame_reader& reader, std::span<const std::byte> from) {
    const std::span<std::byte> room = reader.room(from.size());
    REQUIRE(room.size() >= from.size());
    std::copy(from.begin(), from.end(), room.begin());
    reader.wrote(from.size());
}

TEST_CASE("wire frames: a stream may be split anywhere") {
    const std::uint64_t seed = std::random_device()();
    INFO("seed " << seed);
    samples draw(seed);
    std::vector<bytes> bodies;
    bytes stream;
    std::uint64_t id = 0;
    for_each_message([&](auto& m) {
        do {
            draw.fill(m);
        } while (framed(m).size() > 1500);
        bodies.push_back(body(m));
        encode(m, ++id, stream);
    });

    const auto check = [&](auto next_chunk) {
        frame_reader reader;
        std::size_t seen = 0;
        for (std::span<const std::byte> rest = stream; !rest.empty();) {
            const std::size_t n = std::min<std::size_t>(next_chunk(), rest.size());
            put(reader, rest.first(n));
            rest = rest.subspan(n);
            for (;;) {
                const auto got = reader.next();
                REQUIRE(got.ok());
                if (!got->has_value()) {
                    break;
                }
                REQUIRE(seen < bodies.size());
                const frame& f = **got;
                REQUIRE(static_cast<std::size_t>(f.type) == seen + 1);
                REQUIRE(f.id == seen + 1);
                REQUIRE(std::equal(f.body.begin(), f.body.end(), bodies[seen].begin(),
                                   bodies[seen].end()));
                ++seen;
            }
        }
        REQUIRE(seen == bodies.size());
    };
    check([] { return 1; });
    for (std::size_t first = 1; first < stream.size(); ++first) {
        check([&, once = first]() mutable { return std::exchange(once, stream.size()); });
    }
    dice roll(seed);
    for (int i = 0; i < 50; ++i) {
        check([&] { return roll.between(1, 300); });
    }
}

TEST_CASE("wire frames: what is no frame stays an error") {
    const auto error_of = [](std::string_view digits, std::size_t limit = max_body_bytes) {
        frame_reader reader;
        reader.limit(limit);
        put(reader, hex(digits));
        const absl::Status first = reader.next().status();
        put(reader, framed(ping{}));
        CHECK(reader.next().status() == first);
        return first.code();
    };
    constexpr auto invalid = absl::StatusCode::kInvalidArgument;
    CHECK(error_of("0100020001000000 0000000000000000") == invalid);  // a byte too long
    CHECK(error_of("0000000000000000 0000000000000000") == invalid);  // type 0
    CHECK(error_of("0000000015000000 0000000000000000") == invalid);  // type 21
    CHECK(error_of("0000000011000100 0000000000000000") == invalid);  // no zero
    CHECK(error_of("4100000011000000 0000000000000000", 64) == invalid);
    CHECK(error_of("0000000011000000 0000000000000000", 64) == absl::StatusCode::kOk);
}

TEST_CASE("wire frames: the reader's memory is bounded, however much passes") {
    frame_reader reader;
    bytes big(frame_header_bytes + max_body_bytes);
    big[2] = std::byte{2};  // 128 KiB
    big[4] = static_cast<std::byte>(message_type::reserve);
    std::size_t most = 0;
    for (int i = 0; i < 50; ++i) {
        for (std::span<const std::byte> rest = big; !rest.empty();) {
            const std::span<std::byte> room = reader.room(1000);
            most = std::max(most, room.size());
            const std::size_t n = std::min<std::size_t>(999, rest.size());
            std::copy_n(rest.begin(), n, room.begin());
            reader.wrote(n);
            rest = rest.subspan(n);
            const auto got = reader.next();
            REQUIRE(got.ok());
            REQUIRE(got->has_value() == rest.empty());
        }
    }
    CHECK(most <= big.size() + 1000);
}

TEST_CASE("wire address: text and back") {
    for (const char* text : {"tcp://node-1.example:7400", "tcp://10.0.0.1:1", "tcp://[::1]:65535",
                             "tcp://[fe80::1%eth0]:0"}) {
        const auto got = address::parse(text);
        INFO(text);
        REQUIRE(got.ok());
        CHECK(got->text() == text);
    }
    CHECK(address::parse("tcp://[::1]:80")->host == "::1");
}

TEST_CASE("wire address: what is none is refused, and the message quotes it") {
    for (const char* text : {"",
                             "node:1",
                             "udp://node:1",
                             "tcp://",
                             "tcp://node",
                             "tcp://:1",
                             "tcp://node:",
                             "tcp://node:65536",
                             "tcp://node:-1",
                             "tcp://node:+1",
                             "tcp://node: 1",
                             "tcp://node:1/",
                             "tcp://::1:80",
                             "tcp://[::1]",
                             "tcp://[::1:80",
                             "tcp://[]:80",
                             "tcp://[node]:80",
                             "tcp://[::1%]:80",
                             "tcp://a b:80",
                             "tcp://a/b:80",
                             "tcp://@a:80"}) {
        const absl::Status got = address::parse(text).status();
        INFO(text);
        CHECK(got.code() == absl::StatusCode::kInvalidArgument);
        CHECK(sluice::message_of(got).find(text) != std::string_view::npos);
    }
}

}  // namespace
