// SPDX-License-Identifier: Apache-2.0
#include "domain.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <netinet/in.h>
#include <fmt/format.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>

#include "../wire/secret.hpp"

namespace sluice::fabric {
namespace {

constexpr std::uint32_t api_version = FI_VERSION(1, 17);

info_ptr find_info(const std::string& provider, const std::string& host, domain::role as,
                   fi_ep_type type, int& error) {
    const info_ptr hints(fi_allocinfo());
    if (!hints) {
        error = -FI_ENOMEM;
        return nullptr;
    }
    hints->ep_attr->type = type;
    hints->caps = FI_RMA | FI_READ | FI_WRITE | FI_REMOTE_READ | FI_REMOTE_WRITE;
    if (type == FI_EP_RDM) {
        hints->caps |= FI_MSG;  // ofi_rxm offers no endpoint without it
    }
    hints->mode = 0;
    hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
    // One thread drives a domain, so that the provider needs no locks.
    hints->domain_attr->threading = FI_THREAD_DOMAIN;
    hints->fabric_attr->prov_name = ::strdup(provider.c_str());  // fi_freeinfo frees it
    fi_info* found = nullptr;
    const bool by_host = provider != "shm" && !host.empty();
    error = fi_getinfo(api_version, by_host ? host.c_str() : nullptr,
                       by_host && as == domain::role::node ? "0" : nullptr,
                       by_host && as == domain::role::node ? FI_SOURCE : 0, hints.get(), &found);
    return info_ptr(error == 0 ? found : nullptr);
}

bool offers_wait(fid_fabric* fabric, fi_info& info) {
    fid_domain* domain = nullptr;
    if (fi_domain(fabric, &info, &domain, nullptr) != 0) {
        return false;
    }
    const fid_ptr<fid_domain> owned(domain);
    fi_cq_attr attr{};
    attr.size = 8;
    attr.format = FI_CQ_FORMAT_CONTEXT;
    attr.wait_obj = FI_WAIT_FD;
    fid_cq* queue = nullptr;
    if (fi_cq_open(domain, &attr, &queue, nullptr) != 0) {
        return false;
    }
    const fid_ptr<fid_cq> owned_queue(queue);
    int fd = -1;
    return fi_control(&queue->fid, FI_GETWAIT, &fd) == 0 && fd >= 0;
}

}  // namespace

absl::StatusOr<std::shared_ptr<domain>> domain::open(const std::string& provider,
                                                     const std::string& host, role as) {
    // Connected endpoints say when the other end is gone and carry a ticket: first choice.
    int error = 0;
    info_ptr info = find_info(provider, host, as, FI_EP_MSG, error);
    if (!info) {
        info = find_info(provider, host, as, FI_EP_RDM, error);
    }
    if (!info) {
        return absl::UnimplementedError(fmt::format(
            "libfabric has no provider '{}' with one-sided reads{} ({}); `fi_info` lists what "
            "there is",
            provider, host.empty() ? "" : fmt::format(" for host '{}'", host),
            fi_strerror(-error)));
    }
    auto out = std::shared_ptr<domain>(new domain);
    fid_fabric* fabric = nullptr;
    if (const int ret = fi_fabric(info->fabric_attr, &fabric, nullptr); ret != 0) {
        return fabric_status(ret, "fi_fabric");
    }
    out->fabric_.reset(fabric);
    // The descriptor of "net" is always ready.
    out->limits_.waits =
        std::string_view(info->fabric_attr->prov_name) != "net" && offers_wait(fabric, *info);
    fid_domain* handle = nullptr;
    if (const int ret = fi_domain(fabric, info.get(), &handle, nullptr); ret != 0) {
        return fabric_status(ret, "fi_domain");
    }
    out->domain_.reset(handle);

    provider_limits& limits = out->limits_;
    limits.provider = info->fabric_attr->prov_name;
    limits.connected = info->ep_attr->type == FI_EP_MSG;
    limits.segments = static_cast<std::uint32_t>(
        std::max<std::size_t>(1, std::min<std::size_t>(info->tx_attr->rma_iov_limit, 64)));
    limits.buffers = static_cast<std::uint32_t>(
        std::max<std::size_t>(1, std::min<std::size_t>(info->tx_attr->iov_limit, 64)));
    limits.max_message = info->ep_attr->max_msg_size;
    out->info_ = std::move(info);
    return out;
}

std::string domain::name() const {
    const auto text = [](const char* s) { return s == nullptr ? "" : s; };
    return fmt::format("{}/{}", text(info_->fabric_attr->name), text(info_->domain_attr->name));
}

bool domain::local_regions() const noexcept {
    return (info_->domain_attr->mr_mode & FI_MR_LOCAL) != 0;
}

absl::StatusOr<std::vector<std::byte>> domain::foreign_address(
    std::span<const std::byte> address) const {
    std::size_t wanted = 0;
    sa_family_t family = AF_UNSPEC;
    if (address.size() >= sizeof family) {
        std::memcpy(&family, address.data(), sizeof family);
    }
    switch (info_->addr_format) {
    case FI_SOCKADDR:
    case FI_SOCKADDR_IN:
    case FI_SOCKADDR_IN6:
        wanted = family == AF_INET    ? sizeof(sockaddr_in)
                 : family == AF_INET6 ? sizeof(sockaddr_in6)
                                      : 0;
        if (address.size() != wanted ||
            (info_->addr_format == FI_SOCKADDR_IN && family != AF_INET) ||
            (info_->addr_format == FI_SOCKADDR_IN6 && family != AF_INET6)) {
            return absl::InvalidArgumentError("an address that is none of this provider's");
        }
        return std::vector<std::byte>(address.begin(), address.end());
    default: {
        // A text, or of the provider's own making: zeros end it, or fill it up.
        std::vector<std::byte> out(wire::max_endpoint_bytes + 1);
        std::copy_n(address.begin(), std::min(address.size(), out.size() - 1), out.begin());
        return out;
    }
    }
}

absl::StatusOr<region> domain::enroll(std::span<std::byte> memory, std::uint64_t access) {
    const auto mode = static_cast<unsigned>(info_->domain_attr->mr_mode);
    // Where we may choose keys, those of other processes cannot be guessed from ours.
    std::uint64_t key = 0;
    if ((mode & FI_MR_PROV_KEY) == 0) {
        wire::fill_random(std::as_writable_bytes(std::span(&key, 1)));
        if (info_->domain_attr->mr_key_size < sizeof key) {
            key &= (1ull << (8 * info_->domain_attr->mr_key_size)) - 1;
        }
    }
    fid_mr* mr = nullptr;
    const int ret =
        fi_mr_reg(domain_.get(), memory.data(), memory.size(), access, 0, key, 0, &mr, nullptr);
    if (ret != 0) {
        return fabric_status(ret, fmt::format("fi_mr_reg of {} bytes", memory.size()));
    }
    const bool by_address = (mode & FI_MR_VIRT_ADDR) != 0;
    return region(fid_ptr<fid_mr>(mr),
                  by_address ? reinterpret_cast<std::uintptr_t>(memory.data()) : 0);
}

absl::StatusOr<fid_ptr<fid_cq>> domain::open_queue(std::size_t entries) {
    fi_cq_attr attr{};
    attr.size = entries;
    attr.format = FI_CQ_FORMAT_CONTEXT;
    attr.wait_obj = limits_.waits ? FI_WAIT_FD : FI_WAIT_NONE;
    fid_cq* queue = nullptr;
    if (const int ret = fi_cq_open(domain_.get(), &attr, &queue, nullptr); ret != 0) {
        return fabric_status(ret, "fi_cq_open");
    }
    return fid_ptr<fid_cq>(queue);
}

absl::StatusOr<fid_ptr<fid_eq>> domain::open_events() {
    fi_eq_attr attr{};
    attr.size = 64;
    attr.wait_obj = limits_.waits ? FI_WAIT_FD : FI_WAIT_UNSPEC;
    fid_eq* events = nullptr;
    if (const int ret = fi_eq_open(fabric_.get(), &attr, &events, nullptr); ret != 0) {
        return fabric_status(ret, "fi_eq_open");
    }
    return fid_ptr<fid_eq>(events);
}

absl::StatusOr<fid_ptr<fid_av>> domain::open_addresses(fid_ep* endpoint) {
    fi_av_attr attr{};
    attr.type = FI_AV_UNSPEC;
    fid_av* addresses = nullptr;
    if (const int ret = fi_av_open(domain_.get(), &attr, &addresses, nullptr); ret != 0) {
        return fabric_status(ret, "fi_av_open");
    }
    fid_ptr<fid_av> out(addresses);
    if (const int ret = fi_ep_bind(endpoint, &addresses->fid, 0); ret != 0) {
        return fabric_status(ret, "fi_ep_bind of the address vector");
    }
    return out;
}

absl::Status enable(fid_ep* endpoint, fid_cq* queue) {
    if (const int ret = fi_ep_bind(endpoint, &queue->fid, FI_TRANSMIT | FI_RECV); ret != 0) {
        return fabric_status(ret, "fi_ep_bind of the completion queue");
    }
    return fabric_status(fi_enable(endpoint), "fi_enable");
}

absl::StatusOr<std::vector<std::byte>> name_of(fid* endpoint) {
    std::vector<std::byte> out(wire::max_endpoint_bytes);
    std::size_t size = out.size();
    if (const int ret = fi_getname(endpoint, out.data(), &size); ret != 0) {
        return fabric_status(ret, "fi_getname");
    }
    out.resize(size);
    return out;
}

}  // namespace sluice::fabric
