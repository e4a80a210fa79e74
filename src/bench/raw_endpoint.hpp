// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_eq.h>

namespace sluice::bench {

struct fid_closer {
    template <class Object>
    void operator()(Object* object) const noexcept {
        fi_close(&object->fid);
    }
};
template <class Object>
using fid_ptr = std::unique_ptr<Object, fid_closer>;

struct info_freer {
    void operator()(fi_info* info) const noexcept { fi_freeinfo(info); }
};
using info_ptr = std::unique_ptr<fi_info, info_freer>;

/// "<what>: <libfabric's text>" for a negative return value, OK for the others.
[[nodiscard]] absl::Status raw_status(std::int64_t ret, std::string_view what);

enum class raw_kind : std::uint8_t { any, connected, datagram };  // FI_EP_MSG, FI_EP_RDM

/// "msg", "rdm"; "any".
[[nodiscard]] std::string_view name_of(raw_kind kind) noexcept;
/// The inverse; kInvalidArgument for another text.
[[nodiscard]] absl::StatusOr<raw_kind> parse_kind(std::string_view name);

/// One libfabric endpoint and what it needs, on the loopback interface. The fields are for the
/// benchmark's two ends; each is closed before what it was made from. For one thread.
struct raw_endpoint {
    info_ptr info;
    fid_ptr<fid_fabric> fabric;
    fid_ptr<fid_domain> domain;
    fid_ptr<fid_eq> events;  ///< connected endpoints only
    fid_ptr<fid_cq> queue;
    fid_ptr<fid_av> peers;   ///< datagram endpoints only
    fid_ptr<fid_mr> memory;  ///< null where the provider wants no local registration
    fid_ptr<fid_ep> endpoint;
    int queue_fd = -1;  ///< wakes when the queue has news; -1: the provider has none

    /// Opens everything but the endpoint. Of the endpoint kinds a provider offers under exactly
    /// this name, `any` takes the connected one.
    ///
    /// \param access  FI_READ for the reading end, FI_REMOTE_READ for the one that is read
    /// \param pool    to be registered for that
    /// \return kNotFound: no such provider or kind here; kInternal: it failed.
    [[nodiscard]] static absl::StatusOr<raw_endpoint> open(const std::string& provider,
                                                           raw_kind kind, std::uint64_t access,
                                                           std::span<std::byte> pool);

    [[nodiscard]] raw_kind kind() const noexcept {
        return info->ep_attr->type == FI_EP_MSG ? raw_kind::connected : raw_kind::datagram;
    }

    /// Makes and enables the endpoint; `from` is the queue's own info or a connection request's.
    [[nodiscard]] absl::Status make_endpoint(fi_info& from);

    /// Sleeps until the queue may have news, `also` can be read or `timeout_ms` are over; not at
    /// all if the queue has news. Without a wait object the sleep is one millisecond at most.
    /// \return whether `also` can be read, as far as it was looked at; -1 never can.
    bool wait(int also, int timeout_ms) noexcept;
};

/// The address of an endpoint or a passive endpoint.
[[nodiscard]] absl::StatusOr<std::vector<std::byte>> address_of(fid& object);

/// Waits for one connection event of that kind. FI_CONNREQ comes with an info.
/// \return kDeadlineExceeded; kUnavailable: another event came, or an error.
[[nodiscard]] absl::StatusOr<info_ptr> await_event(fid_eq& events, std::uint32_t expected,
                                                   int timeout_ms);

}  // namespace sluice::bench
