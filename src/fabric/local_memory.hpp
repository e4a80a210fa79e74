// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "domain.hpp"

namespace sluice::fabric {

/// A client's buffers, and what its domains call them. Most providers read into any memory; RDMA
/// hardware only into memory that was enrolled.
///
/// \par Thread safety
/// All members may be called from any thread.
class local_memory {
 public:
    /// \return kInvalidArgument: empty, or it overlaps what is registered already; else what a
    ///         provider says.
    absl::Status add(std::span<std::byte> memory);
    void remove(std::span<std::byte> memory) noexcept;

    /// The domain for a provider and host, one per network interface; enrolls what is registered.
    [[nodiscard]] absl::StatusOr<std::shared_ptr<domain>> domain_for(const std::string& provider,
                                                                     const std::string& host);
    /// The provider's name for a buffer: null where none is needed.
    /// \return false: it is needed, and the buffer is not registered.
    [[nodiscard]] bool describe(const domain& d, std::span<const std::byte> buffer,
                                void*& descriptor);

 private:
    struct piece {
        std::span<std::byte> memory;
        std::map<const domain*, region> regions;
    };

    absl::Status enroll(piece& p, domain& d);

    std::mutex mutex_;
    std::map<std::string, std::shared_ptr<domain>> domains_;  // by name
    std::map<const std::byte*, piece> pieces_;                // by first byte; die before domains
};

}  // namespace sluice::fabric
