// SPDX-License-Identifier: Apache-2.0
#include "messages.hpp"

#include <array>
#include <cassert>
#include <concepts>
#include <type_traits>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "codec.hpp"
#include "frame.hpp"

namespace sluice::wire {
namespace {

constexpr std::array<std::string_view, 20> names{
    "hello",  "challenge", "proof",    "welcome", "open_lane", "lane",    "lookup",
    "found",  "reserve",   "reserved", "commit",  "committed", "remove",  "removed",
    "report", "reported",  "ping",     "pong",    "draining",  "failure",
};

// M, or const M where it is written.
template <class T, class M>
concept like = std::same_as<std::remove_const_t<T>, M>;

// Bytes of the items of lists, at least.
constexpr std::size_t key_bytes = 2;
constexpr std::size_t placement_bytes = 32;
constexpr std::size_t reserve_bytes = key_bytes + 8;
constexpr std::size_t grant_bytes = 9;
constexpr std::size_t commit_bytes = 25;

// The largest item is a block to reserve.
static_assert(2 + max_batch * (1 + block_key::max_size + 8) <= max_body_bytes);
static_assert(max_batch <= UINT16_MAX && max_text_bytes <= UINT16_MAX);

constexpr auto each_key = [](auto& io, auto& key) { io.key("keys", key); };

template <class Io, like<hello> M>
void fields(Io& io, M& m) {
    io.magic(hello_magic);
    io.number("oldest_version", m.oldest_version, 1);
    io.number("newest_version", m.newest_version, 1);
    io.require(m.oldest_version <= m.newest_version, "oldest_version", "is after newest_version");
    io.bytes("client", m.client);
}

template <class Io, like<challenge> M>
void fields(Io& io, M& m) {
    io.number("version", m.version, 1);
    io.bytes("node", m.node);
}

template <class Io, like<proof> M>
void fields(Io& io, M& m) {
    io.bytes("mac", m.mac);
}

// The mac comes first: `shared_secret` covers what is behind it.
template <class Io, like<welcome> M>
void fields(Io& io, M& m) {
    io.bytes("mac", m.mac);
    io.bytes("node", m.node);
    io.number("pool_bytes", m.pool_bytes, 0, max_pool_bytes);
    io.number("max_block_bytes", m.max_block_bytes, 0, max_block_bytes);
    io.number("lease_ms", m.lease_ms, 1, max_lease_ms);
    io.number("staging_bytes", m.staging_bytes);
}

template <class Io, like<open_lane> M>
void fields(Io& io, M& m) {
    io.printable("provider", m.provider, max_provider_bytes);
    io.choice("kind", m.kind, endpoint_kind::datagram);
    io.blob("endpoint", m.endpoint, 0, max_endpoint_bytes);
    io.require((m.kind == endpoint_kind::datagram) == !m.endpoint.empty(), "endpoint",
               "goes with datagram lanes, and with those only");
}

template <class Io, like<remote_memory> M>
void fields(Io& io, M& m) {
    io.number("base", m.base);
    io.number("key", m.key);
}

template <class Io, like<lane> M>
void fields(Io& io, M& m) {
    io.blob("endpoint", m.endpoint, 1, max_endpoint_bytes);
    io.bytes("ticket", m.ticket);
    fields(io, m.pool);
    fields(io, m.staging);
}

template <class Io, like<lookup> M>
void fields(Io& io, M& m) {
    io.flag("lease", m.lease);
    io.list("keys", m.keys, key_bytes, max_batch, each_key);
}

template <class Io, like<placement> M>
void fields(Io& io, M& m) {
    io.number("offset", m.offset);
    io.number("length", m.length, 0, max_block_bytes);
    io.number("generation", m.generation);
    io.number("checksum", m.checksum);
    if (m.there()) {
        io.require(m.offset <= max_pool_bytes && m.length <= max_pool_bytes - m.offset, "offset",
                   "is behind every pool");
        io.require(m.length > 0, "length", "is 0");
    } else {
        io.require(m.length == 0 && m.generation == 0 && m.checksum == 0, "offset",
                   "is absent, the rest is not zero");
    }
}

template <class Io, like<found> M>
void fields(Io& io, M& m) {
    io.list("blocks", m.blocks, placement_bytes, max_batch,
            [](auto& at, auto& block) { fields(at, block); });
}

template <class Io, like<reserve> M>
void fields(Io& io, M& m) {
    io.list("blocks", m.blocks, reserve_bytes, max_batch, [](auto& at, auto& block) {
        at.key("key", block.key);
        at.number("length", block.length, 1, max_block_bytes);
    });
}

template <class Io, like<reserved> M>
void fields(Io& io, M& m) {
    io.list("grants", m.grants, grant_bytes, max_batch, [](auto& at, auto& grant) {
        at.choice("verdict", grant.verdict, reserve_verdict::too_large);
        at.number("token", grant.token);
    });
}

template <class Io, like<commit> M>
void fields(Io& io, M& m) {
    io.list("blocks", m.blocks, commit_bytes, max_batch, [](auto& at, auto& block) {
        at.number("token", block.token);
        at.number("staging_offset", block.staging_offset, 0, max_pool_bytes - 1);
        at.number("checksum", block.checksum);
        at.flag("abandon", block.abandon);
    });
}

template <class Io, like<committed> M>
void fields(Io& io, M& m) {
    io.list("verdicts", m.verdicts, 1, max_batch, [](auto& at, auto& verdict) {
        at.choice("verdict", verdict, commit_verdict::unknown);
    });
}

template <class Io, like<remove> M>
void fields(Io& io, M& m) {
    io.list("keys", m.keys, key_bytes, max_batch, each_key);
}

template <class Io, like<removed> M>
void fields(Io& io, M& m) {
    io.number("blocks", m.blocks, 0, max_batch);
}

template <class Io, like<report> M>
void fields(Io& io, M& m) {
    io.key("key", m.key);
    io.number("generation", m.generation);
}

template <class Io, like<reported> M>
void fields(Io& io, M& m) {
    io.flag("dropped", m.dropped);
}

template <class Io, class M>
requires like<M, ping> || like<M, draining>
void fields(Io&, M&) {}

template <class Io, like<pong> M>
void fields(Io& io, M& m) {
    io.number("blocks", m.blocks);
    io.number("bytes", m.bytes);
    io.number("capacity", m.capacity);
    io.number("evicted", m.evicted);
    io.number("damaged", m.damaged);
    io.number("uptime_ms", m.uptime_ms);
    io.number("connections", m.connections);
    io.flag("draining", m.draining);
    io.text("version", m.version, max_text_bytes);
}

template <class Io, like<failure> M>
void fields(Io& io, M& m) {
    io.number("code", m.code, 1, 16);
    io.text("text", m.text, max_text_bytes);
}

}  // namespace

std::string_view name_of(message_type type) noexcept {
    const auto index = static_cast<std::size_t>(type) - 1;  // of 0: far behind the end
    return index < names.size() ? names[index] : std::string_view();
}

failure failure_of(const absl::Status& status) {
    assert(!status.ok());
    failure out;
    out.code = static_cast<std::uint16_t>(status.code());
    out.text = std::string(message_of(status));
    return out;
}

absl::Status status_of(const failure& f) {
    return absl::Status(static_cast<absl::StatusCode>(f.code), f.text);
}

template <class Message>
void encode(const Message& message, std::uint64_t id, std::vector<std::byte>& out) {
    const std::size_t begin = out.size();
    byte_writer io(out);
    io.number("body bytes", std::uint32_t{0});  // known below
    io.number("type", static_cast<std::uint16_t>(Message::type));
    io.number("zero", std::uint16_t{0});
    io.number("id", id);
    fields(io, message);
    const std::size_t body = out.size() - begin - frame_header_bytes;
    assert(body <= max_body_bytes);
    for (std::size_t i = 0; i < 4; ++i) {
        out[begin + i] = static_cast<std::byte>(body >> (8 * i));
    }
}

template <class Message>
absl::StatusOr<Message> decode(std::span<const std::byte> body) {
    Message out{};
    byte_reader io(body);
    fields(io, out);
    io.require(io.left() == 0, "its end", "has more bytes behind it");
    if (io.wrong() != nullptr) {
        return absl::InvalidArgumentError(
            fmt::format("malformed {}: {} {}", name_of(Message::type), io.where(), io.wrong()));
    }
    return out;
}

#define SLUICE_WIRE_MESSAGE_(type)                                                   \
    template void encode<type>(const type&, std::uint64_t, std::vector<std::byte>&); \
    template absl::StatusOr<type> decode<type>(std::span<const std::byte>)
SLUICE_WIRE_MESSAGE_(hello);
SLUICE_WIRE_MESSAGE_(challenge);
SLUICE_WIRE_MESSAGE_(proof);
SLUICE_WIRE_MESSAGE_(welcome);
SLUICE_WIRE_MESSAGE_(open_lane);
SLUICE_WIRE_MESSAGE_(lane);
SLUICE_WIRE_MESSAGE_(lookup);
SLUICE_WIRE_MESSAGE_(found);
SLUICE_WIRE_MESSAGE_(reserve);
SLUICE_WIRE_MESSAGE_(reserved);
SLUICE_WIRE_MESSAGE_(commit);
SLUICE_WIRE_MESSAGE_(committed);
SLUICE_WIRE_MESSAGE_(remove);
SLUICE_WIRE_MESSAGE_(removed);
SLUICE_WIRE_MESSAGE_(report);
SLUICE_WIRE_MESSAGE_(reported);
SLUICE_WIRE_MESSAGE_(ping);
SLUICE_WIRE_MESSAGE_(pong);
SLUICE_WIRE_MESSAGE_(draining);
SLUICE_WIRE_MESSAGE_(failure);
#undef SLUICE_WIRE_MESSAGE_

}  // namespace sluice::wire
