// SPDX-License-Identifier: Apache-2.0

// wire_corpus_test [--write-seeds DIR]
//
// Runs every file of the corpus through the fuzz target: what was found once is not found again.
// With --write-seeds it writes what fuzzing starts from: two messages of each type, a stream, both
// sides of a handshake, addresses.

#include <cstddef>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/corpus_main.hpp"
#include "fuzz/wire_samples.hpp"
#include "wire/frame.hpp"

namespace {

using namespace sluice::wire;
using bytes = std::vector<std::byte>;

bool write(const std::string& dir, const std::string& name, unsigned kind, const bytes& rest) {
    std::ofstream out(dir + '/' + name, std::ios::binary);
    out.put(static_cast<char>(kind));
    out.write(reinterpret_cast<const char*>(rest.data()),
              static_cast<std::streamsize>(rest.size()));
    return static_cast<bool>(out.flush());
}

template <class Message>
void append_body(const Message& m, bytes& out) {
    bytes whole;
    encode(m, 0, whole);
    out.insert(out.end(), whole.begin() + frame_header_bytes, whole.end());
}

bool write_seeds(const std::string& dir) {
    constexpr std::size_t largest = 400;
    sluice_test::samples draw(1);
    bytes stream;
    bool ok = true;
    sluice_test::for_each_message([&](auto& m) {
        const auto kind = static_cast<unsigned>(m.type) - 1;
        const bool varies = m.type != message_type::ping && m.type != message_type::draining;
        for (int i = 0; i < (varies ? 2 : 1); ++i) {
            bytes body;
            do {
                body.clear();
                draw.fill(m);
                append_body(m, body);
            } while (body.size() > largest);
            ok &= write(dir, std::string(name_of(m.type)) + '_' + std::to_string(i), kind, body);
        }
        if (stream.size() < largest) {
            encode(m, kind, stream);
        }
    });
    ok &= write(dir, "stream", 20, stream);
    bytes to_node;
    append_body(hello{}, to_node);
    append_body(proof{}, to_node);
    ok &= write(dir, "to_node", 21, to_node);
    bytes to_client;
    append_body(challenge{}, to_client);
    append_body(welcome{}, to_client);
    ok &= write(dir, "to_client", 22, to_client);
    int number = 0;
    for (const std::string_view text : {"tcp://node.example:7400", "tcp://[fe80::1%eth0]:1"}) {
        const auto raw = std::as_bytes(std::span(text));
        ok &= write(dir, "address_" + std::to_string(number++), 23, bytes(raw.begin(), raw.end()));
    }
    return ok;
}

}  // namespace

int main(int argc, char** argv) {
    return sluice_test::corpus_main(argc, argv, SLUICE_WIRE_CORPUS, write_seeds);
}
