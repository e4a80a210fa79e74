// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include <sluice/kv/block_key.hpp>

#include "histories/dice.hpp"
#include "wire/messages.hpp"

namespace sluice_test {

namespace wire = sluice::wire;
using sluice::histories::dice;

using all_messages =
    std::tuple<wire::hello, wire::challenge, wire::proof, wire::welcome, wire::open_lane,
               wire::lane, wire::lookup, wire::found, wire::reserve, wire::reserved, wire::commit,
               wire::committed, wire::remove, wire::removed, wire::report, wire::reported,
               wire::ping, wire::pong, wire::draining, wire::failure>;

/// Calls `f` with a default message of each type.
template <class F>
void for_each_message(F&& f) {
    std::apply([&f](auto&&... m) { (f(m), ...); }, all_messages{});
}

/// Random messages that keep their bounds; mostly small, now and then as large as they get.
class samples {
 public:
    explicit samples(std::uint64_t seed) noexcept : dice_(seed) {}

    void fill(wire::hello& m) {
        m.newest_version = static_cast<std::uint16_t>(dice_.between(1, UINT16_MAX));
        m.oldest_version = static_cast<std::uint16_t>(dice_.between(1, m.newest_version));
        bytes(m.client);
    }
    void fill(wire::challenge& m) {
        m.version = static_cast<std::uint16_t>(dice_.between(1, UINT16_MAX));
        bytes(m.node);
    }
    void fill(wire::proof& m) { bytes(m.mac); }
    void fill(wire::welcome& m) {
        bytes(m.mac);
        bytes(m.node);
        m.pool_bytes = number(wire::max_pool_bytes);
        m.max_block_bytes = number(wire::max_block_bytes);
        m.lease_ms = dice_.between(1, wire::max_lease_ms);
        m.staging_bytes = static_cast<std::uint32_t>(number(UINT32_MAX));
    }
    void fill(wire::open_lane& m) {
        m.provider.assign(dice_.between(1, wire::max_provider_bytes), ' ');
        for (char& c : m.provider) {
            c = static_cast<char>(dice_.between(' ', '~'));
        }
        const bool datagram = dice_.chance(0.5);
        m.kind = datagram ? wire::endpoint_kind::datagram : wire::endpoint_kind::connected;
        m.endpoint.resize(datagram ? dice_.between(1, wire::max_endpoint_bytes) : 0);
        bytes(m.endpoint);
    }
    void fill(wire::lane& m) {
        m.endpoint.resize(dice_.between(1, wire::max_endpoint_bytes));
        bytes(m.endpoint);
        bytes(m.ticket);
        m.pool = {dice_.next(), dice_.next()};
        m.staging = {dice_.next(), dice_.next()};
    }
    void fill(wire::lookup& m) {
        m.lease = dice_.chance(0.5);
        keys(m.keys);
    }
    void fill(wire::found& m) {
        m.blocks.resize(count());
        for (wire::placement& b : m.blocks) {
            b = {};
            if (dice_.chance(0.7)) {
                b.length = 1 + number(wire::max_block_bytes - 1);
                b.offset = number(wire::max_pool_bytes - b.length);
                b.generation = dice_.next();
                b.checksum = dice_.next();
            }
        }
    }
    void fill(wire::reserve& m) {
        m.blocks.resize(count());
        for (wire::reserve::block& b : m.blocks) {
            b = {key(), 1 + number(wire::max_block_bytes - 1)};
        }
    }
    void fill(wire::reserved& m) {
        m.grants.resize(count());
        for (wire::reserved::grant& g : m.grants) {
            g = {static_cast<wire::reserve_verdict>(dice_.below(4)), dice_.next()};
        }
    }
    void fill(wire::commit& m) {
        m.blocks.resize(count());
        for (wire::commit::block& b : m.blocks) {
            b = {dice_.next(), number(wire::max_pool_bytes - 1), dice_.next(), dice_.chance(0.5)};
        }
    }
    void fill(wire::committed& m) {
        m.verdicts.resize(count());
        for (wire::commit_verdict& v : m.verdicts) {
            v = static_cast<wire::commit_verdict>(dice_.below(4));
        }
    }
    void fill(wire::remove& m) { keys(m.keys); }
    void fill(wire::removed& m) { m.blocks = dice_.between(0, wire::max_batch); }
    void fill(wire::report& m) { m = {key(), dice_.next()}; }
    void fill(wire::reported& m) { m.dropped = dice_.chance(0.5); }
    void fill(wire::ping&) {}
    void fill(wire::pong& m) {
        m = {dice_.next(),
             dice_.next(),
             dice_.next(),
             dice_.next(),
             dice_.next(),
             dice_.next(),
             static_cast<std::uint32_t>(dice_.next()),
             dice_.chance(0.5),
             text()};
    }
    void fill(wire::draining&) {}
    void fill(wire::failure& m) {
        m.code = static_cast<std::uint16_t>(dice_.between(1, 16));
        m.text = text();
    }

    void bytes(std::span<std::byte> out) {
        for (std::byte& b : out) {
            b = static_cast<std::byte>(dice_.next());
        }
    }

 private:
    std::uint32_t count() {
        return dice_.chance(0.05) ? wire::max_batch : dice_.between(1, dice_.pick({2U, 20U}));
    }
    // 0 to `most`, small and large ones alike, its ends often.
    std::uint64_t number(std::uint64_t most) {
        const std::uint64_t any = dice_.next() >> dice_.below(64);
        return dice_.chance(0.1) ? most : any % most;
    }
    sluice::block_key key() {
        std::array<std::byte, sluice::block_key::max_size> raw;
        bytes(raw);
        return *sluice::block_key::from_bytes(std::span(raw).first(dice_.between(1, 32)));
    }
    void keys(std::vector<sluice::block_key>& out) {
        out.resize(count());
        for (sluice::block_key& k : out) {
            k = key();
        }
    }
    std::string text() {
        std::string out(dice_.below(wire::max_text_bytes + 1), '\0');
        bytes(std::as_writable_bytes(std::span(out)));
        return out;
    }

    dice dice_;
};

}  // namespace sluice_test
