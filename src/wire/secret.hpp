// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <string.h>

#include <absl/status/statusor.h>

#include "messages.hpp"
#include "sha256.hpp"

namespace sluice::wire {

/// In a time that does not depend on where they differ.
[[nodiscard]] bool same_mac(const mac& a, const mac& b) noexcept;
/// From the system's generator; blocks only before the machine has ever gathered any.
void fill_random(std::span<std::byte> out) noexcept;

/// What client and node both know. Its memory is wiped when it goes.
class shared_secret {
 public:
    static constexpr std::size_t min_bytes = 16;
    static constexpr std::size_t max_bytes = 4096;

    /// A file's bytes without the line ends behind them.
    /// \return kNotFound, kPermissionDenied, kInvalidArgument: shorter than min_bytes, longer than
    ///         max_bytes, no plain file, or one that others than owner and group may write;
    ///         kUnavailable: it cannot be read.
    [[nodiscard]] static absl::StatusOr<shared_secret> from_file(const std::string& path);
    /// \return kInvalidArgument for a bad length.
    [[nodiscard]] static absl::StatusOr<shared_secret> from_bytes(std::span<const std::byte> bytes);

    /// From whichever of the two is not empty, as options have them.
    /// \return kInvalidArgument if both are, or none; else as above.
    [[nodiscard]] static absl::StatusOr<shared_secret> from_options(const std::string& file,
                                                                    const std::string& bytes);

    /// Proofs of knowledge: HMAC of a label that tells the two sides apart and of what was said
    /// before, nonces and versions included. docs/wire.md has the exact bytes.
    [[nodiscard]] mac client_proof(const hello& client, const challenge& node) const;
    /// \param last  all of it but its mac counts
    [[nodiscard]] mac node_proof(const hello& client, const challenge& node,
                                 const welcome& last) const;

 private:
    template <class T>
    struct wiping_allocator : std::allocator<T> {
        template <class U>
        struct rebind {
            using other = wiping_allocator<U>;
        };
        void deallocate(T* at, std::size_t count) noexcept {
            explicit_bzero(at, count * sizeof(T));
            std::allocator<T>::deallocate(at, count);
        }
    };

    explicit shared_secret(std::span<const std::byte> bytes) : bytes_(bytes.begin(), bytes.end()) {}

    std::vector<std::byte, wiping_allocator<std::byte>> bytes_;
};

}  // namespace sluice::wire
