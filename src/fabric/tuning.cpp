// SPDX-License-Identifier: Apache-2.0
#include "tuning.hpp"

#include <algorithm>

#include <fmt/format.h>

#include <sluice/base/bytes.hpp>

#include "lane.hpp"

namespace sluice::fabric {

tuning tune(const provider_limits& limits, std::uint64_t bytes_in_flight) {
    tuning out;
    const auto pieces = static_cast<std::uint32_t>(transfer::max_pieces);
    if (limits.provider == "shm") {
        // A read is a copy made by the caller: nothing waits on the way, so nothing is saved by
        // packing, and 1.17 never completes a read of several pieces.
        out.message_bytes = 1;
        out.bytes_in_flight = 2 * mib;
        out.reasons.emplace_back(
            "one block to a read: on one host a read is a copy by the caller, "
            "packing several saves nothing");
        out.reasons.emplace_back(
            "2 MiB in flight: what has landed shall still be in the cache "
            "when its checksum is made");
    } else {
        out.segments = std::min(limits.segments, pieces);
        out.buffers = std::min(limits.buffers, pieces);
        out.message_bytes = 512 * kib;
        out.bytes_in_flight = 4 * mib;
        out.reasons.push_back(fmt::format(
            "up to {} pieces of the node's and {} of our memory to a read: the provider's limit; "
            "the cost of a small read is the message, not the bytes",
            out.segments, out.buffers));
        out.reasons.emplace_back(
            "up to 512 KiB to a read: beyond that a message costs next to "
            "nothing, and the first block would wait for the last");
        out.reasons.emplace_back(
            "4 MiB in flight: covers the round trip; more only waits in "
            "socket buffers and falls out of the cache");
    }
    if (bytes_in_flight != 0) {
        out.bytes_in_flight = bytes_in_flight;
        out.reasons.back() = fmt::format("{} bytes in flight: as asked for", bytes_in_flight);
    }
    return out;
}

}  // namespace sluice::fabric
