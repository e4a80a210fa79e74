// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>

#include "fi.hpp"

namespace sluice::fabric {

/// What a provider can do, of which the transport makes its choices.
struct provider_limits {
    std::string provider;
    bool connected = false;      ///< FI_EP_MSG endpoints; else FI_EP_RDM
    bool waits = false;          ///< has file descriptors to wait on
    std::uint32_t segments = 1;  ///< remote pieces that one read may name
    std::uint32_t buffers = 1;   ///< local pieces that it may fill
    std::uint64_t max_message = 0;
};

/// Memory as one domain knows it. Closed before its domain.
class region {
 public:
    region() = default;
    region(fid_ptr<fid_mr> mr, std::uint64_t base) noexcept : mr_(std::move(mr)), base_(base) {}

    [[nodiscard]] void* descriptor() const noexcept { return fi_mr_desc(mr_.get()); }
    [[nodiscard]] std::uint64_t key() const noexcept { return fi_mr_key(mr_.get()); }
    /// The remote address of its first byte.
    [[nodiscard]] std::uint64_t base() const noexcept { return base_; }
    explicit operator bool() const noexcept { return mr_ != nullptr; }

 private:
    fid_ptr<fid_mr> mr_;
    std::uint64_t base_ = 0;
};

/// A provider opened on one network interface.
///
/// \par Thread safety
/// The endpoints, queues and regions of a domain are used by one thread at a time.
class domain {
 public:
    enum class role { client, node };

    /// \param provider  as fi_info names it: "tcp", "tcp;ofi_rxm", "shm", "sockets", "verbs"...
    /// \param host  client: the node's; node: the interface to listen on
    /// \return kUnimplemented: the machine has no such provider, or it lacks one-sided reads.
    [[nodiscard]] static absl::StatusOr<std::shared_ptr<domain>> open(const std::string& provider,
                                                                      const std::string& host,
                                                                      role as);

    [[nodiscard]] const provider_limits& limits() const noexcept { return limits_; }
    /// Tells domains apart: fabric and interface.
    [[nodiscard]] std::string name() const;

    /// \param access  FI_READ and so on
    [[nodiscard]] absl::StatusOr<region> enroll(std::span<std::byte> memory, std::uint64_t access);
    /// Whether buffers of reads and writes must be enrolled.
    [[nodiscard]] bool local_regions() const noexcept;

    /// An address that another machine has sent, so that the provider can read it without reading
    /// behind its end.
    /// \return kInvalidArgument: it is none of this provider's.
    [[nodiscard]] absl::StatusOr<std::vector<std::byte>> foreign_address(
        std::span<const std::byte> address) const;

    [[nodiscard]] fi_info& info() const noexcept { return *info_; }
    [[nodiscard]] fid_fabric* fabric() const noexcept { return fabric_.get(); }
    [[nodiscard]] fid_domain* handle() const noexcept { return domain_.get(); }

    /// A completion queue for contexts, with a descriptor to wait on if the provider has any.
    [[nodiscard]] absl::StatusOr<fid_ptr<fid_cq>> open_queue(std::size_t entries);
    /// The same for connection events.
    [[nodiscard]] absl::StatusOr<fid_ptr<fid_eq>> open_events();

    /// An address vector that `endpoint` uses.
    [[nodiscard]] absl::StatusOr<fid_ptr<fid_av>> open_addresses(fid_ep* endpoint);

 private:
    domain() = default;

    provider_limits limits_;
    info_ptr info_;
    fid_ptr<fid_fabric> fabric_;
    fid_ptr<fid_domain> domain_;
};

/// Binds an endpoint to its completion queue and enables it.
[[nodiscard]] absl::Status enable(fid_ep* endpoint, fid_cq* queue);
/// The address of an endpoint or listener, as its provider writes it.
[[nodiscard]] absl::StatusOr<std::vector<std::byte>> name_of(fid* endpoint);

}  // namespace sluice::fabric
