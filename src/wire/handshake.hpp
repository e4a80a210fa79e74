// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "messages.hpp"
#include "secret.hpp"

namespace sluice::wire {

// How client and node prove to each other that they know the secret, without input or output:
//
//   client                    node
//   begin     -> hello     -> begin
//   answer    <- challenge <-
//             -> proof     -> finish
//   finish    <- welcome   <-
//
// One object serves one connection. After an error, and out of order, everything is refused
// (kInvalidArgument): a node sends the error as `failure`, and both end the connection.

/// No body that a node reads before `welcome` is longer.
inline constexpr std::size_t handshake_body_bytes = 64;

class client_handshake {
 public:
    /// \param secret  must outlive it
    explicit client_handshake(const shared_secret& secret) noexcept : secret_(secret) {}

    [[nodiscard]] const hello& begin() noexcept;
    /// \return kFailedPrecondition: the node chose a version that we do not speak.
    [[nodiscard]] absl::StatusOr<proof> answer(const challenge& c);
    /// \return kUnauthenticated: the node does not know the secret.
    [[nodiscard]] absl::Status finish(const welcome& w);
    [[nodiscard]] bool done() const noexcept { return next_ == step::done; }

 private:
    enum class step { begin, answer, finish, done, failed };

    const shared_secret& secret_;
    step next_ = step::begin;
    hello hello_;
    challenge challenge_;
};

class node_handshake {
 public:
    /// \param secret  must outlive it
    /// \param facts   what to tell who knows the secret; the mac is filled in
    node_handshake(const shared_secret& secret, const welcome& facts) noexcept
        : secret_(secret), welcome_(facts) {}

    /// \return kFailedPrecondition: there is no version that both speak.
    [[nodiscard]] absl::StatusOr<challenge> begin(const hello& h);
    /// \return kUnauthenticated: the client does not know the secret.
    [[nodiscard]] absl::StatusOr<welcome> finish(const proof& p);
    [[nodiscard]] bool done() const noexcept { return next_ == step::done; }

 private:
    enum class step { begin, finish, done, failed };

    const shared_secret& secret_;
    step next_ = step::begin;
    hello hello_;
    challenge challenge_;
    welcome welcome_;
};

}  // namespace sluice::wire
