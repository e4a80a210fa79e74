// SPDX-License-Identifier: Apache-2.0
#include "frame.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include <fmt/format.h>

#include "codec.hpp"

namespace sluice::wire {

void frame_reader::limit(std::size_t body_bytes) noexcept {
    limit_ = std::min(body_bytes, max_body_bytes);
}

std::span<std::byte> frame_reader::room(std::size_t bytes) {
    if (begin_ == end_) {
        begin_ = end_ = 0;
    }
    if (buffer_.size() - end_ < bytes) {
        // A frame that has not come whole is moved once, since nothing is before it then.
        if (begin_ > 0) {
            std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
            end_ -= begin_;
            begin_ = 0;
        }
        if (buffer_.size() - end_ < bytes) {
            const std::size_t enough = frame_header_bytes + limit_ + bytes;
            buffer_.resize(std::max(end_ + bytes, std::min(2 * buffer_.size(), enough)));
        }
    }
    return std::span(buffer_).subspan(end_);
}

void frame_reader::wrote(std::size_t bytes) noexcept {
    assert(bytes <= buffer_.size() - end_);
    end_ += bytes;
}

absl::StatusOr<std::optional<frame>> frame_reader::next() {
    const auto have = std::span<const std::byte>(buffer_).subspan(begin_, end_ - begin_);
    if (have.size() < frame_header_bytes) {
        return std::nullopt;
    }
    byte_reader io(have.first(frame_header_bytes));
    std::uint32_t length = 0;
    std::uint16_t type = 0;
    std::uint16_t zero = 0;
    frame out;
    io.number("body bytes", length);
    io.number("type", type);
    io.number("zero", zero);
    io.number("id", out.id);
    out.type = static_cast<message_type>(type);
    if (length > limit_) {
        return absl::InvalidArgumentError(
            fmt::format("malformed frame: a body of {} bytes, {} are allowed", length, limit_));
    }
    if (name_of(out.type).empty() || zero != 0) {
        return absl::InvalidArgumentError(
            fmt::format("malformed frame: type {}, then {}; no message of ours", type, zero));
    }
    if (have.size() - frame_header_bytes < length) {
        return std::nullopt;
    }
    out.body = have.subspan(frame_header_bytes, length);
    begin_ += frame_header_bytes + length;
    return out;
}

}  // namespace sluice::wire
