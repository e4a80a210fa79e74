// SPDX-License-Identifier: Apache-2.0
#include "lane.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <rdma/fi_cm.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>

#include "provider_sockets.hpp"

namespace sluice::fabric {
namespace {

constexpr std::size_t events_per_round = 16;
constexpr std::size_t rounds = 8;
constexpr duration refused_pause = std::chrono::microseconds(200);

}  // namespace

lane::lane(loop& on, std::shared_ptr<domain> d, owner& who)
    : loop_(on),
      domain_(std::move(d)),
      owner_(&who),
      event_watch_(
          on, [](void* self) noexcept { return static_cast<lane*>(self)->read_events(); }, this),
      queue_watch_(
          on, [](void* self) noexcept { return static_cast<lane*>(self)->drain(); }, this),
      slots_(most_in_flight) {
    free_.reserve(slots_.size());
    for (transfer& t : slots_) {
        free_.push_back(&t);
    }
}

lane::~lane() { shut(); }

absl::StatusOr<std::unique_ptr<lane>> lane::open(loop& on, std::shared_ptr<domain> d, owner& who) {
    auto out = std::unique_ptr<lane>(new lane(on, std::move(d), who));
    if (!out->domain_->limits().connected) {
        if (absl::Status status = out->make_endpoint(nullptr); !status.ok()) {
            return status;
        }
    }
    return out;
}

// Connected endpoints are made for their destination, the others before it is known.
absl::Status lane::make_endpoint(const std::vector<std::byte>* to) {
    domain& d = *domain_;
    absl::StatusOr<fid_ptr<fid_cq>> queue = d.open_queue(most_in_flight * 2);
    if (!queue.ok()) {
        return queue.status();
    }
    queue_ = *std::move(queue);
    const info_ptr info(fi_dupinfo(&d.info()));
    if (!info) {
        return absl::ResourceExhaustedError("fi_dupinfo: out of memory");
    }
    if (to != nullptr) {
        // The kernel chooses where from: the interface that leads there.
        std::free(std::exchange(info->src_addr, nullptr));
        info->src_addrlen = 0;
        std::free(std::exchange(info->dest_addr, nullptr));
        info->dest_addr = std::malloc(to->size());
        if (info->dest_addr == nullptr) {
            return absl::ResourceExhaustedError("no memory for an address");
        }
        std::memcpy(info->dest_addr, to->data(), to->size());
        info->dest_addrlen = to->size();
    }
    fid_ep* endpoint = nullptr;
    if (const int ret = fi_endpoint(d.handle(), info.get(), &endpoint, nullptr); ret != 0) {
        return fabric_status(ret, "fi_endpoint");
    }
    endpoint_.reset(endpoint);
    if (d.limits().connected) {
        absl::StatusOr<fid_ptr<fid_eq>> events = d.open_events();
        if (!events.ok()) {
            return events.status();
        }
        events_ = *std::move(events);
        if (const int ret = fi_ep_bind(endpoint, &events_->fid, 0); ret != 0) {
            return fabric_status(ret, "fi_ep_bind of the event queue");
        }
    } else {
        absl::StatusOr<fid_ptr<fid_av>> addresses = d.open_addresses(endpoint);
        if (!addresses.ok()) {
            return addresses.status();
        }
        addresses_ = *std::move(addresses);
    }
    if (absl::Status status = enable(endpoint, queue_.get()); !status.ok()) {
        return status;
    }
    return queue_watch_.start(d.fabric(), &queue_->fid, d.limits().waits);
}

std::vector<std::byte> lane::endpoint() const {
    if (domain_->limits().connected) {
        return {};
    }
    return name_of(&endpoint_->fid).value_or(std::vector<std::byte>{});
}

absl::Status lane::connect(const destination& to) {
    domain& d = *domain_;
    absl::StatusOr<std::vector<std::byte>> name = d.foreign_address(to.endpoint);
    if (!name.ok()) {
        return name.status();
    }
    peer_name_ = *std::move(name);
    if (d.limits().connected) {
        if (absl::Status status = make_endpoint(&peer_name_); !status.ok()) {
            return status;
        }
        event_watch_.expect(true);
        if (absl::Status status = event_watch_.start(d.fabric(), &events_->fid, d.limits().waits);
            !status.ok()) {
            return status;
        }
        return fabric_status(
            fi_connect(endpoint_.get(), peer_name_.data(), to.ticket.data(), to.ticket.size()),
            "fi_connect");
    }
    if (fi_av_insert(addresses_.get(), peer_name_.data(), 1, &peer_, 0, nullptr) != 1) {
        return absl::UnavailableError("fi_av_insert: the node's address was refused");
    }
    ready_ = true;
    owner_->on_ready();
    return absl::OkStatus();
}

transfer* lane::acquire() noexcept {
    if (free_.empty()) {
        return nullptr;
    }
    transfer* const t = free_.back();
    free_.pop_back();
    t->locals = 0;
    t->remotes = 0;
    t->bytes = 0;
    t->write = false;
    t->deadline = never;
    t->user = nullptr;
    return t;
}

void lane::release(transfer& t) noexcept { free_.push_back(&t); }

bool lane::post(transfer& t) noexcept {
    fi_msg_rma message{};
    message.msg_iov = t.local.data();
    message.desc = t.descriptors.data();
    message.iov_count = t.locals;
    message.addr = peer_;
    message.rma_iov = t.remote.data();
    message.rma_iov_count = t.remotes;
    message.context = &t.context;
    t.posted_at = loop_.now();
    // A write has been placed at the node when it completes: a commit may follow by another way.
    const ssize_t ret =
        t.write ? fi_writemsg(endpoint_.get(), &message, FI_COMPLETION | FI_DELIVERY_COMPLETE)
                : fi_readmsg(endpoint_.get(), &message, FI_COMPLETION);
    if (ret == -FI_EAGAIN) {
        // Full, or a connection that is only being made: progress, then the owner tries again.
        refused_ = true;
        queue_watch_.expect(true);
        queue_watch_.look_after(refused_pause);
        return false;
    }
    t.newer = nullptr;
    t.older = newest_;
    (newest_ == nullptr ? oldest_ : newest_->newer) = &t;
    newest_ = &t;
    ++in_flight_;
    bytes_in_flight_ += t.bytes;
    queue_watch_.expect(true);
    if (ret != 0) {
        breaks(fabric_status(ret, t.write ? "fi_writemsg" : "fi_readmsg"));
    } else if (!domain_->limits().waits) {
        queue_watch_.nudge();
    }
    return true;
}

bool lane::drain() noexcept {
    bool any = false;
    std::array<fi_cq_entry, events_per_round> entries;
    for (std::size_t round = 0; round < rounds; ++round) {
        const ssize_t count = fi_cq_read(queue_.get(), entries.data(), entries.size());
        if (count > 0) {
            any = true;
            for (ssize_t i = 0; i < count; ++i) {
                finish(*static_cast<transfer*>(entries[static_cast<std::size_t>(i)].op_context),
                       absl::OkStatus());
            }
            if (count == static_cast<ssize_t>(entries.size())) {
                continue;
            }
            break;
        }
        if (count == -FI_EAVAIL) {
            any = true;
            fi_cq_err_entry error{};
            if (fi_cq_readerr(queue_.get(), &error, 0) > 0 && error.op_context != nullptr) {
                const absl::Status why = fabric_status(-error.err, "a transfer failed");
                finish(*static_cast<transfer*>(error.op_context), why);
                if (error.err != FI_ECANCELED) {
                    breaks(why);
                }
            }
            continue;
        }
        if (count < 0 && count != -FI_EAGAIN && count != -FI_EINTR) {
            breaks(fabric_status(count, "fi_cq_read"));
        }
        break;
    }
    if (any || refused_) {
        refused_ = false;
        owner_->on_drained();
        queue_watch_.expect(in_flight_ > 0 || refused_);
    }
    return any;
}

void lane::finish(transfer& t, absl::Status status) noexcept {
    unlink(t);
    owner_->on_transfer(t, std::move(status));
    free_.push_back(&t);
}

void lane::unlink(transfer& t) noexcept {
    (t.older == nullptr ? oldest_ : t.older->newer) = t.newer;
    (t.newer == nullptr ? newest_ : t.newer->older) = t.older;
    --in_flight_;
    bytes_in_flight_ -= t.bytes;
}

bool lane::read_events() noexcept {
    std::array<std::byte, sizeof(fi_eq_cm_entry) + 256> buffer;
    bool any = false;
    for (std::size_t i = 0; i < events_per_round; ++i) {
        std::uint32_t event = 0;
        const ssize_t size = fi_eq_read(events_.get(), &event, buffer.data(), buffer.size(), 0);
        if (size == -FI_EAVAIL) {
            fi_eq_err_entry error{};
            any = true;
            if (fi_eq_readerr(events_.get(), &error, 0) > 0) {
                breaks(fabric_status(-error.err, "the data connection"));
            }
            continue;
        }
        if (size < 0) {
            break;
        }
        any = true;
        if (event == FI_CONNECTED && !ready_) {
            ready_ = true;
            event_watch_.expect(false);
            set_congestion_control_to(peer_name_, congestion_control_);
            owner_->on_ready();
        } else if (event == FI_SHUTDOWN) {
            breaks(absl::UnavailableError("the node closed the data connection"));
        }
    }
    return any;
}

void lane::breaks(absl::Status why) {
    if (!std::exchange(broken_, true)) {
        ready_ = false;
        owner_->on_broken(std::move(why));
    }
}

void lane::shut() noexcept {
    ready_ = false;
    event_watch_.stop();
    queue_watch_.stop();
    if (in_flight_ > 0 && !domain_->limits().connected) {
        sever();
    }
    endpoint_.reset();
    // Completions that are still in the queue belong to transfers that are given back now.
    addresses_.reset();
    queue_.reset();
    events_.reset();
}

// ofi_rxm 1.17 crashes when an endpoint is closed with a read half received. With its connection
// gone first, the read fails, and closing is safe.
void lane::sever() noexcept {
    shut_connections_to(peer_name_);
    std::array<fi_cq_entry, events_per_round> entries;
    for (std::size_t left = 2 * most_in_flight; left > 0; --left) {
        const ssize_t count = fi_cq_read(queue_.get(), entries.data(), entries.size());
        if (count == -FI_EAVAIL) {
            fi_cq_err_entry error{};
            fi_cq_readerr(queue_.get(), &error, 0);
        } else if (count <= 0) {
            break;
        }
    }
}

}  // namespace sluice::fabric
