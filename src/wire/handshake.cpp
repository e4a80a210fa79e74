// SPDX-License-Identifier: Apache-2.0
#include "handshake.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace sluice::wire {
namespace {

// So far there is one.
constexpr std::uint16_t oldest_version = protocol_version;

absl::Status out_of_order(std::string_view what) {
    return absl::InvalidArgumentError(fmt::format("handshake: {} out of order", what));
}

}  // namespace

const hello& client_handshake::begin() noexcept {
    if (next_ == step::begin) {
        hello_.oldest_version = oldest_version;
        hello_.newest_version = protocol_version;
        fill_random(hello_.client);
        next_ = step::answer;
    } else {
        next_ = step::failed;
    }
    return hello_;
}

absl::StatusOr<proof> client_handshake::answer(const challenge& c) {
    if (std::exchange(next_, step::failed) != step::answer) {
        return out_of_order("challenge");
    }
    if (c.version < hello_.oldest_version || c.version > hello_.newest_version) {
        return absl::FailedPreconditionError(
            fmt::format("handshake: the node speaks version {} of the protocol, this client {} to "
                        "{}; update the older of them",
                        c.version, hello_.oldest_version, hello_.newest_version));
    }
    challenge_ = c;
    next_ = step::finish;
    proof out;
    out.mac = secret_.client_proof(hello_, challenge_);
    return out;
}

absl::Status client_handshake::finish(const welcome& w) {
    if (std::exchange(next_, step::failed) != step::finish) {
        return out_of_order("welcome");
    }
    if (!same_mac(w.mac, secret_.node_proof(hello_, challenge_, w))) {
        return absl::UnauthenticatedError(
            "handshake: the node does not know the secret; give both the same secret file");
    }
    next_ = step::done;
    return absl::OkStatus();
}

absl::StatusOr<challenge> node_handshake::begin(const hello& h) {
    if (std::exchange(next_, step::failed) != step::begin) {
        return out_of_order("hello");
    }
    const std::uint16_t version = std::min(h.newest_version, protocol_version);
    if (version < std::max(h.oldest_version, oldest_version)) {
        return absl::FailedPreconditionError(
            fmt::format("handshake: the client speaks versions {} to {} of the protocol, this node "
                        "{} to {}; update the older of them",
                        h.oldest_version, h.newest_version, oldest_version, protocol_version));
    }
    hello_ = h;
    challenge_.version = version;
    fill_random(challenge_.node);
    next_ = step::finish;
    return challenge_;
}

absl::StatusOr<welcome> node_handshake::finish(const proof& p) {
    if (std::exchange(next_, step::failed) != step::finish) {
        return out_of_order("proof");
    }
    if (!same_mac(p.mac, secret_.client_proof(hello_, challenge_))) {
        return absl::UnauthenticatedError(
            "handshake: the client does not know the secret; give both the same secret file");
    }
    next_ = step::done;
    welcome_.mac = secret_.node_proof(hello_, challenge_, welcome_);
    return welcome_;
}

}  // namespace sluice::wire
