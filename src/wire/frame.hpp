// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <absl/status/statusor.h>

#include "messages.hpp"

namespace sluice::wire {

/// What every frame begins with, little endian: body bytes (4), type (2), zero (2), id (8).
inline constexpr std::size_t frame_header_bytes = 16;
inline constexpr std::size_t max_body_bytes = 128 * 1024;  // all keys of a full batch fit

struct frame {
    message_type type{};
    std::uint64_t id = 0;
    std::span<const std::byte> body;  ///< of the reader's memory, until its next call
};

/// Cuts a stream of bytes into frames. A stream that is not made of frames is an error for good.
///
/// If `next` is called until it gives nothing before more is read, the reader holds at most one
/// frame and the room of one read, and moves each byte a bounded number of times.
class frame_reader {
 public:
    /// Longer bodies are an error, from the next frame on: who has not proven anything yet should
    /// not make us hold much. max_body_bytes at first, and at most.
    void limit(std::size_t body_bytes) noexcept;

    /// Room for at least `bytes` more of the stream; say with `wrote` how much was put there.
    [[nodiscard]] std::span<std::byte> room(std::size_t bytes = 16 * 1024);
    void wrote(std::size_t bytes) noexcept;

    /// The next whole frame, or nothing until more has come.
    /// \return kInvalidArgument: a body over the limit, an unknown type, a non-zero zero.
    [[nodiscard]] absl::StatusOr<std::optional<frame>> next();

 private:
    std::vector<std::byte> buffer_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t limit_ = max_body_bytes;
};

}  // namespace sluice::wire
