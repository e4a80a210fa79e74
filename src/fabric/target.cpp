// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include <rdma/fi_cm.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>

#include "../wire/secret.hpp"

namespace sluice::fabric {
namespace {

using namespace std::chrono_literals;

constexpr duration ticket_life = 10s;
constexpr std::size_t most_lanes = 64;  // per client, asked for and made
constexpr std::size_t events_per_round = 16;
// Where there is nothing to wait on: how often the provider is looked after while clients are
// active, and how often when they have not been for a while.
constexpr duration active_patience = 1ms;
constexpr duration resting_patience = 20ms;
constexpr duration active_for = 1s;

}  // namespace

target::rest::rest(target& t) noexcept
    : timer([](timer& self) noexcept {
          static_cast<rest&>(self).owner->queue_watch_.set_patience(resting_patience);
      }),
      owner(&t) {}

target::broom::broom(target& t) noexcept
    : timer([](timer& self) noexcept { static_cast<broom&>(self).owner->sweep(); }), owner(&t) {}

target::target(loop& on, std::span<std::byte>)
    : loop_(on),
      event_watch_(
          on, [](void* self) noexcept { return static_cast<target*>(self)->read_events(); }, this),
      queue_watch_(
          on, [](void* self) noexcept { return static_cast<target*>(self)->drain(); }, this),
      rest_(*this),
      broom_(*this) {}

target::~target() {
    loop_.disarm(rest_);
    loop_.disarm(broom_);
    event_watch_.stop();
    queue_watch_.stop();
}

absl::StatusOr<std::unique_ptr<target>> target::open(loop& on, const std::string& provider,
                                                     const std::string& host,
                                                     std::span<std::byte> pool) {
    absl::StatusOr<std::shared_ptr<domain>> d = domain::open(provider, host, domain::role::node);
    if (!d.ok()) {
        return d.status();
    }
    auto out = std::unique_ptr<target>(new target(on, pool));
    out->domain_ = *std::move(d);
    absl::StatusOr<region> exported = out->domain_->enroll(pool, FI_REMOTE_READ);
    if (!exported.ok()) {
        return exported.status();
    }
    out->pool_ = *std::move(exported);
    absl::StatusOr<fid_ptr<fid_cq>> queue = out->domain_->open_queue(1024);
    if (!queue.ok()) {
        return queue.status();
    }
    out->queue_ = *std::move(queue);
    const bool connected = out->limits().connected;
    if (absl::Status status = connected ? out->listen() : out->serve_datagrams(); !status.ok()) {
        return status;
    }
    if (absl::Status status =
            out->queue_watch_.start(out->domain_->fabric(), &out->queue_->fid, out->limits().waits);
        !status.ok()) {
        return status;
    }
    out->queue_watch_.set_patience(resting_patience);
    if (!out->limits().waits) {
        out->queue_watch_.expect(true);
    }
    return out;
}

absl::Status target::listen() {
    absl::StatusOr<fid_ptr<fid_eq>> events = domain_->open_events();
    if (!events.ok()) {
        return events.status();
    }
    events_ = *std::move(events);
    fid_pep* listener = nullptr;
    if (const int ret = fi_passive_ep(domain_->fabric(), &domain_->info(), &listener, nullptr);
        ret != 0) {
        return fabric_status(ret, "fi_passive_ep");
    }
    listener_.reset(listener);
    if (const int ret = fi_pep_bind(listener, &events_->fid, 0); ret != 0) {
        return fabric_status(ret, "fi_pep_bind");
    }
    if (const int ret = fi_listen(listener); ret != 0) {
        return fabric_status(ret, "fi_listen");
    }
    absl::StatusOr<std::vector<std::byte>> name = name_of(&listener->fid);
    if (!name.ok()) {
        return name.status();
    }
    endpoint_name_ = *std::move(name);
    event_watch_.expect(true);
    event_watch_.set_patience(resting_patience);
    return event_watch_.start(domain_->fabric(), &events_->fid, limits().waits);
}

absl::Status target::serve_datagrams() {
    fid_ep* endpoint = nullptr;
    if (const int ret = fi_endpoint(domain_->handle(), &domain_->info(), &endpoint, nullptr);
        ret != 0) {
        return fabric_status(ret, "fi_endpoint");
    }
    endpoint_.reset(endpoint);
    absl::StatusOr<fid_ptr<fid_av>> addresses = domain_->open_addresses(endpoint);
    if (!addresses.ok()) {
        return addresses.status();
    }
    addresses_ = *std::move(addresses);
    if (absl::Status status = enable(endpoint, queue_.get()); !status.ok()) {
        return status;
    }
    absl::StatusOr<std::vector<std::byte>> name = name_of(&endpoint->fid);
    if (!name.ok()) {
        return name.status();
    }
    endpoint_name_ = *std::move(name);
    return absl::OkStatus();
}

absl::StatusOr<wire::lane> target::admit(std::uint64_t client, std::span<std::byte> staging,
                                         std::span<const std::byte> client_endpoint) {
    const time_point now = loop_.now();
    std::erase_if(invitations_, [now](const invitation& i) { return i.until <= now; });
    if (lanes_of(client) >= most_lanes) {
        return absl::ResourceExhaustedError("too many data connections of one client");
    }
    wire::lane out;
    const auto known = staging_.find(client);
    if (known == staging_.end()) {
        absl::StatusOr<region> writable = domain_->enroll(staging, FI_REMOTE_WRITE);
        if (!writable.ok()) {
            return writable.status();
        }
        out.staging = {writable->base(), writable->key()};
        staging_.emplace(client, *std::move(writable));
    } else {
        out.staging = {known->second.base(), known->second.key()};
    }
    out.endpoint = endpoint_name_;
    out.pool = pool();
    wire::fill_random(out.ticket);
    if (limits().connected) {
        invitations_.push_back({out.ticket, client, now + ticket_life});
    } else if (!client_endpoint.empty()) {
        // Some providers answer only to those whom they know.
        const absl::StatusOr<std::vector<std::byte>> name =
            domain_->foreign_address(client_endpoint);
        if (!name.ok()) {
            return name.status();
        }
        fi_addr_t address = FI_ADDR_UNSPEC;
        if (fi_av_insert(addresses_.get(), name->data(), 1, &address, 0, nullptr) != 1) {
            return absl::InvalidArgumentError("the client's endpoint was refused");
        }
        acquaintances_.push_back({client, address});
    }
    stir();
    return out;
}

std::size_t target::lanes_of(std::uint64_t client) const noexcept {
    const auto is_its = [client](const auto& x) { return x.client == client; };
    const auto guests = std::count_if(guests_.begin(), guests_.end(),
                                      [&](const auto& g) { return is_its(g.second); });
    return static_cast<std::size_t>(
        guests + std::count_if(invitations_.begin(), invitations_.end(), is_its) +
        std::count_if(acquaintances_.begin(), acquaintances_.end(), is_its));
}

void target::expel(std::uint64_t client) noexcept {
    std::erase_if(invitations_, [client](const invitation& i) { return i.client == client; });
    std::erase_if(guests_, [client](const auto& g) { return g.second.client == client; });
    std::erase_if(acquaintances_, [&](acquaintance& a) {
        return a.client == client && fi_av_remove(addresses_.get(), &a.address, 1, 0) <= 0;
    });
    staging_.erase(client);
}

void target::stir() noexcept {
    if (!limits().waits) {
        queue_watch_.set_patience(active_patience);
        loop_.arm(rest_, loop_.now() + active_for);
    }
}

// A target posts nothing, so nothing completes: reading is what makes the provider progress.
bool target::drain() noexcept {
    std::array<fi_cq_entry, events_per_round> entries;
    const ssize_t count = fi_cq_read(queue_.get(), entries.data(), entries.size());
    if (count == -FI_EAVAIL) {
        fi_cq_err_entry error{};
        fi_cq_readerr(queue_.get(), &error, 0);
        return true;
    }
    return count > 0;
}

bool target::read_events() noexcept {
    std::array<std::byte, sizeof(fi_eq_cm_entry) + 256> buffer;
    bool any = false;
    if (!broom_.armed()) {
        loop_.arm(broom_, loop_.now() + ticket_life);
    }
    for (std::size_t i = 0; i < events_per_round; ++i) {
        std::uint32_t event = 0;
        const ssize_t size = fi_eq_read(events_.get(), &event, buffer.data(), buffer.size(), 0);
        if (size == -FI_EAVAIL) {
            fi_eq_err_entry error{};
            any = true;
            if (fi_eq_readerr(events_.get(), &error, 0) > 0) {
                guests_.erase(error.fid);
            }
            continue;
        }
        if (size < static_cast<ssize_t>(sizeof(fi_eq_cm_entry))) {
            break;
        }
        any = true;
        fi_eq_cm_entry entry;
        std::memcpy(&entry, buffer.data(), sizeof entry);
        if (event == FI_CONNREQ) {
            const info_ptr info(entry.info);
            accept(*info, std::span(buffer).subspan(sizeof entry,
                                                    static_cast<std::size_t>(size) - sizeof entry));
        } else if (event == FI_SHUTDOWN) {
            guests_.erase(entry.fid);
        }
    }
    return any;
}

// The provider accepts whoever connects, and waits for ever for what they say. Who has been there
// for a round and is nobody's data connection is shown out.
void target::sweep() noexcept {
    std::vector<socket_end> strangers = peers_at(endpoint_name_);
    for (const auto& [id, g] : guests_) {
        std::array<std::byte, wire::max_endpoint_bytes> name{};
        std::size_t size = name.size();
        if (fi_getpeer(g.endpoint.get(), name.data(), &size) == 0) {
            if (const auto end =
                    socket_end_of(std::span(name).first(std::min(size, name.size())))) {
                std::erase(strangers, *end);
            }
        }
    }
    for (const socket_end& end : strangers_) {
        if (std::erase(strangers, end) > 0) {
            shut_connection_at(endpoint_name_, end);
        }
    }
    strangers_ = std::move(strangers);
    if (!strangers_.empty()) {
        loop_.arm(broom_, loop_.now() + ticket_life);
    }
}

void target::accept(fi_info& info, std::span<const std::byte> data) noexcept {
    const time_point now = loop_.now();
    const auto invited =
        std::find_if(invitations_.begin(), invitations_.end(), [&](const invitation& i) {
            return i.until > now && data.size() >= i.ticket.size() &&
                   std::equal(i.ticket.begin(), i.ticket.end(), data.begin());
        });
    if (invited == invitations_.end()) {
        fi_reject(listener_.get(), info.handle, nullptr, 0);
        return;
    }
    const std::uint64_t client = invited->client;
    invitations_.erase(invited);
    fid_ep* endpoint = nullptr;
    if (fi_endpoint(domain_->handle(), &info, &endpoint, nullptr) != 0) {
        fi_reject(listener_.get(), info.handle, nullptr, 0);
        return;
    }
    guest g{client, fid_ptr<fid_ep>(endpoint)};
    if (fi_ep_bind(endpoint, &events_->fid, 0) != 0 || !enable(endpoint, queue_.get()).ok() ||
        fi_accept(endpoint, nullptr, 0) != 0) {
        return;
    }
    guests_.emplace(&endpoint->fid, std::move(g));
    // Some providers' queues notice a new connection only when they are looked at.
    queue_watch_.nudge();
}

}  // namespace sluice::fabric
