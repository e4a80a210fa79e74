// SPDX-License-Identifier: Apache-2.0

// What a peer may send, in the libFuzzer form. The first byte says what the rest is: 0 to 19 the
// body of a message, 20 a stream of frames, 21 and 22 what a node and a client get in a handshake,
// 23 an address. Whatever it is, it is refused or means one thing.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "fuzz/wire_samples.hpp"
#include "wire/address.hpp"
#include "wire/frame.hpp"
#include "wire/handshake.hpp"

namespace {

using namespace sluice::wire;
using input = std::span<const std::byte>;

void must(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "wire_fuzz: %s\n", what);
        std::abort();
    }
}

// What decodes encodes to the same bytes: there is one way to say a thing.
void message(message_type type, input body) {
    sluice_test::for_each_message([&](auto& m) {
        using type_of = std::remove_cvref_t<decltype(m)>;
        if (m.type != type) {
            return;
        }
        const auto got = decode<type_of>(body);
        if (!got.ok()) {
            return;
        }
        std::vector<std::byte> out;
        encode(*got, 1, out);
        const input again = input(out).subspan(frame_header_bytes);
        must(std::equal(again.begin(), again.end(), body.begin(), body.end()), "another encoding");
        const auto twice = decode<type_of>(again);
        must(twice.ok() && *twice == *got, "another message");
    });
}

// Reads a stream in pieces. \return how many frames, and whether an error ended it.
std::pair<std::size_t, bool> read_stream(input stream, std::uint64_t seed) {
    sluice_test::dice roll(seed);
    frame_reader reader;
    std::size_t frames = 0;
    while (!stream.empty()) {
        const std::size_t most =
            seed == 0 ? stream.size() : std::min<std::size_t>(stream.size(), roll.between(1, 40));
        const std::span<std::byte> room = reader.room(most);
        std::copy_n(stream.begin(), most, room.begin());
        reader.wrote(most);
        stream = stream.subspan(most);
        for (;;) {
            const auto next = reader.next();
            if (!next.ok()) {
                return {frames, true};
            }
            if (!next->has_value()) {
                break;
            }
            ++frames;
            message((*next)->type, (*next)->body);
        }
    }
    return {frames, false};
}

const shared_secret& secret() {
    static const shared_secret s =
        *shared_secret::from_bytes(std::as_bytes(std::span(std::string_view("sixteen bytes!!!"))));
    return s;
}

// Nobody gets through who does not know the secret.
void node(input stream) {
    constexpr std::size_t hello_bytes = 40;
    const std::size_t cut = std::min(stream.size(), hello_bytes);
    node_handshake shake(secret(), welcome{});
    if (const auto h = decode<hello>(stream.first(cut)); h.ok()) {
        const bool ours = h->oldest_version <= protocol_version;
        must(shake.begin(*h).ok() == ours, "a version that is not ours");
    }
    if (const auto p = decode<proof>(stream.subspan(cut)); p.ok()) {
        must(!shake.finish(*p).ok(), "a forged proof");
    }
    must(!shake.done(), "a client that knows nothing");
}

void client(input stream) {
    constexpr std::size_t challenge_bytes = 34;
    const std::size_t cut = std::min(stream.size(), challenge_bytes);
    client_handshake shake(secret());
    (void)shake.begin();
    if (const auto c = decode<challenge>(stream.first(cut)); c.ok()) {
        must(shake.answer(*c).ok() == (c->version == protocol_version), "a version not offered");
    }
    if (const auto w = decode<welcome>(stream.subspan(cut)); w.ok()) {
        must(!shake.finish(*w).ok(), "a forged welcome");
    }
    must(!shake.done(), "a node that knows nothing");
}

void host(input text) {
    const auto got = address::parse({reinterpret_cast<const char*>(text.data()), text.size()});
    if (got.ok()) {
        const auto again = address::parse(got->text());
        must(again.ok() && *again == *got, "another address");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const input rest = std::as_bytes(std::span(data, size)).subspan(1);
    constexpr unsigned kinds = 24;
    const unsigned kind = data[0] % kinds;
    switch (kind) {
    case 20: {
        const auto whole = read_stream(rest, 0);
        const auto pieces = read_stream(rest, 1 + data[0] / kinds);
        must(whole == pieces, "pieces are read otherwise than the whole");
        break;
    }
    case 21: node(rest); break;
    case 22: client(rest); break;
    case 23: host(rest); break;
    default: message(static_cast<message_type>(kind + 1), rest); break;
    }
    return 0;
}
