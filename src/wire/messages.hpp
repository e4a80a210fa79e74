// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/kv/block_key.hpp>

namespace sluice::wire {

// What a client and a memory node say to each other on their control connection; docs/wire.md is
// the specification. Blocks themselves never pass here: they are read and written one-sidedly.
//
// Every message has a bound on each of its fields, given here. `encode` of a message that keeps
// its bounds always decodes to an equal one.

inline constexpr std::uint16_t protocol_version = 1;
inline constexpr std::uint32_t hello_magic = 0x45434c53;      // "SLCE"
inline constexpr std::uint32_t max_batch = 1024;              // keys, grants, ... in one message
inline constexpr std::size_t max_endpoint_bytes = 256;        // a provider's address
inline constexpr std::size_t max_provider_bytes = 64;         // "tcp;ofi_rxm"
inline constexpr std::size_t max_text_bytes = 1024;           // of an error
inline constexpr std::uint64_t absent = ~std::uint64_t{0};    // as an offset: the key is not there
inline constexpr std::uint64_t max_block_bytes = 1ull << 32;  // what a length may say
inline constexpr std::uint64_t max_pool_bytes = 1ull << 48;   // no block ends behind it
inline constexpr std::uint32_t max_lease_ms = 3'600'000;

using nonce = std::array<std::byte, 32>;
using mac = std::array<std::byte, 32>;
using ticket = std::array<std::byte, 16>;
using node_id = std::array<std::byte, 16>;

enum class message_type : std::uint16_t {
    // Handshake, in this order; anything else before `welcome` ends the connection.
    hello = 1,      // client: first of all
    challenge = 2,  // node
    proof = 3,      // client: knows the secret
    welcome = 4,    // node: knows it too
    // Requests of the client, each answered by the type behind it or by `failure`.
    open_lane = 5,
    lane = 6,
    lookup = 7,
    found = 8,
    reserve = 9,
    reserved = 10,
    commit = 11,
    committed = 12,
    remove = 13,
    removed = 14,
    report = 15,
    reported = 16,
    ping = 17,
    pong = 18,
    // Of the node, unasked.
    draining = 19,  // it is about to end: put nothing, read what you have begun, disconnect
    // Instead of an answer. Before `welcome`, and after a malformed message, the connection ends.
    failure = 20,
};

/// "lookup"; empty for what is no type of ours.
[[nodiscard]] std::string_view name_of(message_type type) noexcept;

// The layouts of `hello`, `challenge` and `failure` are the same in every version.

struct hello {
    static constexpr message_type type = message_type::hello;
    std::uint16_t oldest_version = protocol_version;  ///< 1 to newest_version
    std::uint16_t newest_version = protocol_version;
    nonce client{};
    friend bool operator==(const hello&, const hello&) = default;
};

struct challenge {
    static constexpr message_type type = message_type::challenge;
    std::uint16_t version = protocol_version;  ///< the one to speak; not 0
    nonce node{};
    friend bool operator==(const challenge&, const challenge&) = default;
};

struct proof {
    static constexpr message_type type = message_type::proof;
    wire::mac mac{};
    friend bool operator==(const proof&, const proof&) = default;
};

struct welcome {
    static constexpr message_type type = message_type::welcome;
    wire::mac mac{};                    ///< over all that is behind it too
    node_id node{};                     ///< drawn when the node started: another pool, another id
    std::uint64_t pool_bytes = 0;       ///< at most max_pool_bytes
    std::uint64_t max_block_bytes = 0;  ///< of a put; at most wire::max_block_bytes
    std::uint32_t lease_ms = 1;         ///< 1 to max_lease_ms
    std::uint32_t staging_bytes = 0;    ///< per connection, for puts
    friend bool operator==(const welcome&, const welcome&) = default;
};

enum class endpoint_kind : std::uint8_t { connected = 0, datagram = 1 };  // FI_EP_MSG, FI_EP_RDM

/// Asks for a data connection.
struct open_lane {
    static constexpr message_type type = message_type::open_lane;
    std::string provider;  ///< 1 to max_provider_bytes of printable ASCII
    endpoint_kind kind = endpoint_kind::connected;
    std::vector<std::byte> endpoint;  ///< the client's own address; datagram only, not empty
    friend bool operator==(const open_lane&, const open_lane&) = default;
};

/// Memory of the node as its provider names it.
struct remote_memory {
    std::uint64_t base = 0;  ///< remote address of its first byte
    std::uint64_t key = 0;
    friend bool operator==(const remote_memory&, const remote_memory&) = default;
};

struct lane {
    static constexpr message_type type = message_type::lane;
    std::vector<std::byte> endpoint;  ///< the node's address, 1 to max_endpoint_bytes
    wire::ticket ticket{};            ///< goes with the connection request; good once, 10 s
    remote_memory pool;               ///< to be read
    remote_memory staging;            ///< to be written; this connection's own
    friend bool operator==(const lane&, const lane&) = default;
};

struct lookup {
    static constexpr message_type type = message_type::lookup;
    bool lease = true;            ///< false: only asks
    std::vector<block_key> keys;  ///< 1 to max_batch, none empty
    friend bool operator==(const lookup&, const lookup&) = default;
};

/// Where a block is. It stays readable there until the lease that the lookup took has passed.
/// What is absent has zero in all other fields.
struct placement {
    std::uint64_t offset = absent;  ///< in the pool; offset + length is at most max_pool_bytes
    std::uint64_t length = 0;       ///< 1 to max_block_bytes, unless absent
    std::uint64_t generation = 0;   ///< names this block for `report`
    std::uint64_t checksum = 0;     ///< checksum64 of its bytes
    [[nodiscard]] bool there() const noexcept { return offset != absent; }
    friend bool operator==(const placement&, const placement&) = default;
};

struct found {
    static constexpr message_type type = message_type::found;
    std::vector<placement> blocks;  ///< one per key asked for
    friend bool operator==(const found&, const found&) = default;
};

struct reserve {
    static constexpr message_type type = message_type::reserve;
    struct block {
        block_key key;
        std::uint64_t length = 0;  ///< 1 to max_block_bytes
        friend bool operator==(const block&, const block&) = default;
    };
    std::vector<block> blocks;  ///< 1 to max_batch; placed next to each other if there is room
    friend bool operator==(const reserve&, const reserve&) = default;
};

enum class reserve_verdict : std::uint8_t { granted = 0, exists = 1, no_room = 2, too_large = 3 };

struct reserved {
    static constexpr message_type type = message_type::reserved;
    struct grant {
        reserve_verdict verdict = reserve_verdict::no_room;
        std::uint64_t token = 0;  ///< for `commit`, if granted; else it means nothing
        friend bool operator==(const grant&, const grant&) = default;
    };
    std::vector<grant> grants;  ///< one per block asked for
    friend bool operator==(const reserved&, const reserved&) = default;
};

struct commit {
    static constexpr message_type type = message_type::commit;
    struct block {
        std::uint64_t token = 0;
        std::uint64_t staging_offset = 0;  ///< where its bytes were written; < max_pool_bytes
        std::uint64_t checksum = 0;
        bool abandon = false;  ///< gives the reservation back; the rest is ignored
        friend bool operator==(const block&, const block&) = default;
    };
    std::vector<block> blocks;  ///< 1 to max_batch
    friend bool operator==(const commit&, const commit&) = default;
};

enum class commit_verdict : std::uint8_t { stored = 0, exists = 1, damaged = 2, unknown = 3 };

struct committed {
    static constexpr message_type type = message_type::committed;
    std::vector<commit_verdict> verdicts;
    friend bool operator==(const committed&, const committed&) = default;
};

struct remove {
    static constexpr message_type type = message_type::remove;
    std::vector<block_key> keys;  ///< 1 to max_batch
    friend bool operator==(const remove&, const remove&) = default;
};

struct removed {
    static constexpr message_type type = message_type::removed;
    std::uint32_t blocks = 0;  ///< that were there, at most max_batch
    friend bool operator==(const removed&, const removed&) = default;
};

/// A block did not have its checksum when it came; the node looks for itself and drops it.
struct report {
    static constexpr message_type type = message_type::report;
    block_key key;
    std::uint64_t generation = 0;
    friend bool operator==(const report&, const report&) = default;
};

struct reported {
    static constexpr message_type type = message_type::reported;
    bool dropped = false;
    friend bool operator==(const reported&, const reported&) = default;
};

struct ping {
    static constexpr message_type type = message_type::ping;
    friend bool operator==(const ping&, const ping&) = default;
};

struct pong {
    static constexpr message_type type = message_type::pong;
    std::uint64_t blocks = 0;
    std::uint64_t bytes = 0;
    std::uint64_t capacity = 0;
    std::uint64_t evicted = 0;
    std::uint64_t damaged = 0;
    std::uint64_t uptime_ms = 0;
    std::uint32_t connections = 0;
    bool draining = false;
    std::string version;  ///< of the node's library; `encode` cuts it to max_text_bytes
    friend bool operator==(const pong&, const pong&) = default;
};

struct draining {
    static constexpr message_type type = message_type::draining;
    friend bool operator==(const draining&, const draining&) = default;
};

struct failure {
    static constexpr message_type type = message_type::failure;
    std::uint16_t code = 2;  ///< absl::StatusCode, 1 to 16
    std::string text;        ///< `encode` cuts it to max_text_bytes; any bytes: nobody to trust
    friend bool operator==(const failure&, const failure&) = default;
};

/// \pre `status` is not OK
[[nodiscard]] failure failure_of(const absl::Status& status);
[[nodiscard]] absl::Status status_of(const failure& f);

/// Appends the whole frame of `message` to `out`.
/// \param id  of a request, repeated in its answer; 0 where nothing is asked or answered
/// \pre the message keeps the bounds above.
template <class Message>
void encode(const Message& message, std::uint64_t id, std::vector<std::byte>& out);

/// \param body  of a frame of this type, without the frame's header
/// \return kInvalidArgument: too short, too long, a field out of its bounds. Memory is taken for
///         what has come only, whatever the counts in it say.
template <class Message>
[[nodiscard]] absl::StatusOr<Message> decode(std::span<const std::byte> body);

}  // namespace sluice::wire
