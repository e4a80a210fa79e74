// SPDX-License-Identifier: Apache-2.0
#include "raw_endpoint.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <rdma/fi_errno.h>

#include <sluice/base/status.hpp>

namespace sluice::bench {
namespace {

constexpr std::uint32_t api_version = FI_VERSION(1, 17);
constexpr std::size_t queue_entries = 256;

info_ptr make_hints(const std::string& provider, raw_kind kind) {
    info_ptr hints(fi_allocinfo());
    if (hints == nullptr) {
        return hints;
    }
    // Both ends ask for both: `sockets` refuses a reader whose rights its target did not ask for.
    hints->caps = FI_RMA | FI_READ | FI_REMOTE_READ;
    hints->mode = FI_CONTEXT | FI_CONTEXT2;
    hints->fabric_attr->prov_name = strdup(provider.c_str());
    hints->domain_attr->threading = FI_THREAD_DOMAIN;
    hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
    if (kind != raw_kind::any) {
        hints->ep_attr->type = kind == raw_kind::connected ? FI_EP_MSG : FI_EP_RDM;
    }
    return hints;
}

/// The provider's offer; providers that stack others on it are offered too, under longer names.
info_ptr choose(const std::string& provider, const fi_info& hints) {
    // Names in shared memory are the provider's own; elsewhere the address says "this machine".
    // What has no loopback interface is asked again without it.
    constexpr const char* anywhere = nullptr;
    for (const char* const host : {provider == "shm" ? anywhere : "127.0.0.1", anywhere}) {
        fi_info* all = nullptr;
        if (fi_getinfo(api_version, host, nullptr, host != nullptr ? FI_SOURCE : 0, &hints, &all) !=
            0) {
            continue;
        }
        const info_ptr owner(all);
        const fi_info* best = nullptr;
        for (const fi_info* one = all; one != nullptr; one = one->next) {
            const bool exact = provider == one->fabric_attr->prov_name;
            const bool known = one->ep_attr->type == FI_EP_MSG || one->ep_attr->type == FI_EP_RDM;
            if (exact && known &&
                (best == nullptr ||
                 (best->ep_attr->type != FI_EP_MSG && one->ep_attr->type == FI_EP_MSG))) {
                best = one;
            }
        }
        if (best != nullptr) {
            return info_ptr(fi_dupinfo(best));
        }
    }
    return nullptr;
}

template <class Object, class Open, class... Args>
absl::Status open_into(fid_ptr<Object>& into, std::string_view what, Open open, Args... args) {
    Object* raw = nullptr;
    absl::Status status = raw_status(open(args..., &raw, nullptr), what);
    if (status.ok()) {
        into.reset(raw);
    }
    return status;
}

absl::Status open_queue(raw_endpoint& r) {
    fi_cq_attr attr{};
    attr.size = queue_entries;
    attr.format = FI_CQ_FORMAT_CONTEXT;
    attr.wait_obj = FI_WAIT_FD;
    if (open_into(r.queue, "fi_cq_open", fi_cq_open, r.domain.get(), &attr).ok() &&
        fi_control(&r.queue->fid, FI_GETWAIT, &r.queue_fd) == 0) {
        return absl::OkStatus();
    }
    r.queue.reset();
    r.queue_fd = -1;
    attr.wait_obj = FI_WAIT_NONE;
    return open_into(r.queue, "fi_cq_open", fi_cq_open, r.domain.get(), &attr);
}

absl::Status open_peers(raw_endpoint& r) {
    if (r.kind() == raw_kind::connected) {
        fi_eq_attr attr{};
        attr.wait_obj = FI_WAIT_UNSPEC;
        return open_into(r.events, "fi_eq_open", [&](fid_eq** eq, void* context) {
            return fi_eq_open(r.fabric.get(), &attr, eq, context);
        });
    }
    fi_av_attr attr{};
    attr.type = FI_AV_TABLE;
    attr.count = 1;
    return open_into(r.peers, "fi_av_open", fi_av_open, r.domain.get(), &attr);
}

absl::Status open_memory(raw_endpoint& r, std::uint64_t access, std::span<std::byte> pool) {
    const bool wanted =
        access == FI_REMOTE_READ || (r.info->domain_attr->mr_mode & FI_MR_LOCAL) != 0;
    if (!wanted) {
        return absl::OkStatus();
    }
    return open_into(r.memory, "fi_mr_reg", [&](fid_mr** mr, void* context) {
        return fi_mr_reg(r.domain.get(), pool.data(), pool.size(), access, 0, 1, 0, mr, context);
    });
}

}  // namespace

absl::Status raw_status(std::int64_t ret, std::string_view what) {
    if (ret >= 0) {
        return absl::OkStatus();
    }
    return absl::InternalError(fmt::format("{}: {}", what, fi_strerror(static_cast<int>(-ret))));
}

std::string_view name_of(raw_kind kind) noexcept {
    switch (kind) {
    case raw_kind::connected: return "msg";
    case raw_kind::datagram: return "rdm";
    default: return "any";
    }
}

absl::StatusOr<raw_kind> parse_kind(std::string_view name) {
    for (const raw_kind kind : {raw_kind::any, raw_kind::connected, raw_kind::datagram}) {
        if (name == name_of(kind)) {
            return kind;
        }
    }
    return absl::InvalidArgumentError(
        fmt::format("'{}' is not a kind of endpoint; use any, msg or rdm", name));
}

absl::StatusOr<raw_endpoint> raw_endpoint::open(const std::string& provider, raw_kind kind,
                                                std::uint64_t access, std::span<std::byte> pool) {
    raw_endpoint r;
    const info_ptr hints = make_hints(provider, kind);
    if (hints != nullptr) {
        r.info = choose(provider, *hints);
    }
    if (r.info == nullptr) {
        return absl::NotFoundError(fmt::format(
            "libfabric has no provider '{}' with {} endpoints that can be read from here; fi_info "
            "lists what it has",
            provider, name_of(kind)));
    }
    SLUICE_RETURN_IF_ERROR(open_into(r.fabric, "fi_fabric", fi_fabric, r.info->fabric_attr));
    SLUICE_RETURN_IF_ERROR(
        open_into(r.domain, "fi_domain", fi_domain, r.fabric.get(), r.info.get()));
    SLUICE_RETURN_IF_ERROR(open_queue(r));
    SLUICE_RETURN_IF_ERROR(open_peers(r));
    SLUICE_RETURN_IF_ERROR(open_memory(r, access, pool));
    return r;
}

absl::Status raw_endpoint::make_endpoint(fi_info& from) {
    SLUICE_RETURN_IF_ERROR(open_into(endpoint, "fi_endpoint", fi_endpoint, domain.get(), &from));
    fid* const partner = kind() == raw_kind::connected ? &events->fid : &peers->fid;
    SLUICE_RETURN_IF_ERROR(raw_status(fi_ep_bind(endpoint.get(), partner, 0), "fi_ep_bind"));
    SLUICE_RETURN_IF_ERROR(
        raw_status(fi_ep_bind(endpoint.get(), &queue->fid, FI_TRANSMIT | FI_RECV), "fi_ep_bind"));
    return raw_status(fi_enable(endpoint.get()), "fi_enable");
}

bool raw_endpoint::wait(int also, int timeout_ms) noexcept {
    std::array<pollfd, 2> fds{{{also, POLLIN, 0}, {queue_fd, POLLIN, 0}}};
    if (queue_fd < 0) {
        poll(fds.data(), 1, 1);
    } else if (fid* object = &queue->fid; fi_trywait(fabric.get(), &object, 1) == 0) {
        poll(fds.data(), fds.size(), timeout_ms);
    }
    return fds[0].revents != 0;
}

absl::StatusOr<std::vector<std::byte>> address_of(fid& object) {
    std::vector<std::byte> address(256);
    std::size_t size = address.size();
    SLUICE_RETURN_IF_ERROR(raw_status(fi_getname(&object, address.data(), &size), "fi_getname"));
    address.resize(size);
    return address;
}

absl::StatusOr<info_ptr> await_event(fid_eq& events, std::uint32_t expected, int timeout_ms) {
    fi_eq_cm_entry entry{};
    std::uint32_t event = 0;
    const ssize_t got = fi_eq_sread(&events, &event, &entry, sizeof entry, timeout_ms, 0);
    if (got == -FI_EAGAIN || got == -FI_ETIMEDOUT) {
        return absl::DeadlineExceededError("the other end does not connect");
    }
    if (got < 0) {
        fi_eq_err_entry error{};
        const bool known = got == -FI_EAVAIL && fi_eq_readerr(&events, &error, 0) > 0;
        return absl::UnavailableError(fmt::format(
            "connecting failed: {}", fi_strerror(known ? error.err : static_cast<int>(-got))));
    }
    info_ptr info(event == FI_CONNREQ ? entry.info : nullptr);
    if (event != expected) {
        return absl::UnavailableError("the other end broke the connection off");
    }
    return info;
}

}  // namespace sluice::bench
