// SPDX-License-Identifier: Apache-2.0
#include "sha256.hpp"

#include <algorithm>
#include <bit>

#include <string.h>

namespace sluice::wire {
namespace {

constexpr std::array<std::uint32_t, 64> round_constants{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

std::uint32_t load_big_endian(const std::byte* at) noexcept {
    return static_cast<std::uint32_t>(at[0]) << 24 | static_cast<std::uint32_t>(at[1]) << 16 |
           static_cast<std::uint32_t>(at[2]) << 8 | static_cast<std::uint32_t>(at[3]);
}

}  // namespace

sha256_stream::~sha256_stream() {
    explicit_bzero(state_.data(), sizeof state_);
    explicit_bzero(block_.data(), sizeof block_);
}

void sha256_stream::add(std::span<const std::byte> bytes) noexcept {
    total_ += bytes.size();
    while (!bytes.empty()) {
        const std::size_t n = std::min(bytes.size(), block_bytes - filled_);
        std::copy_n(bytes.begin(), n, block_.begin() + static_cast<std::ptrdiff_t>(filled_));
        bytes = bytes.subspan(n);
        filled_ += n;
        if (filled_ == block_bytes) {
            mix(block_.data());
            filled_ = 0;
        }
    }
}

mac sha256_stream::finish() noexcept {
    const std::uint64_t bits = total_ * 8;
    block_[filled_++] = std::byte{0x80};
    constexpr std::size_t length_at = block_bytes - 8;
    if (filled_ > length_at) {
        std::fill(block_.begin() + static_cast<std::ptrdiff_t>(filled_), block_.end(),
                  std::byte{0});
        mix(block_.data());
        filled_ = 0;
    }
    std::fill(block_.begin() + static_cast<std::ptrdiff_t>(filled_), block_.end(), std::byte{0});
    for (std::size_t i = 0; i < 8; ++i) {
        block_[length_at + i] = static_cast<std::byte>(bits >> (56 - 8 * i));
    }
    mix(block_.data());
    mac out;
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = static_cast<std::byte>(state_[i / 4] >> (24 - 8 * (i % 4)));
    }
    return out;
}

void sha256_stream::mix(const std::byte* block) noexcept {
    std::array<std::uint32_t, 64> w;
    for (std::size_t i = 0; i < 16; ++i) {
        w[i] = load_big_endian(block + 4 * i);
    }
    for (std::size_t i = 16; i < 64; ++i) {
        const std::uint32_t low =
            std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
        const std::uint32_t high =
            std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16] + low + w[i - 7] + high;
    }
    auto [a, b, c, d, e, f, g, h] = state_;
    for (std::size_t i = 0; i < 64; ++i) {
        const std::uint32_t high = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
        const std::uint32_t choice = (e & f) ^ (~e & g);
        const std::uint32_t t1 = h + high + choice + round_constants[i] + w[i];
        const std::uint32_t low = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
        const std::uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
        const std::uint32_t t2 = low + majority;
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    const std::array<std::uint32_t, 8> mixed{a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < mixed.size(); ++i) {
        state_[i] += mixed[i];
    }
    explicit_bzero(w.data(), sizeof w);
}

mac sha256(std::span<const std::byte> bytes) noexcept {
    sha256_stream hash;
    hash.add(bytes);
    return hash.finish();
}

mac hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> bytes) noexcept {
    std::array<std::byte, sha256_stream::block_bytes> padded{};
    if (key.size() > padded.size()) {
        const mac shorter = sha256(key);
        std::copy(shorter.begin(), shorter.end(), padded.begin());
    } else {
        std::copy(key.begin(), key.end(), padded.begin());
    }
    for (std::byte& b : padded) {
        b ^= std::byte{0x36};
    }
    sha256_stream inner;
    inner.add(padded);
    inner.add(bytes);
    const mac middle = inner.finish();
    for (std::byte& b : padded) {
        b ^= std::byte{0x36} ^ std::byte{0x5c};
    }
    sha256_stream outer;
    outer.add(padded);
    outer.add(middle);
    explicit_bzero(padded.data(), sizeof padded);
    return outer.finish();
}

}  // namespace sluice::wire
