// SPDX-License-Identifier: Apache-2.0
#include "server.hpp"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "options_check.hpp"

namespace sluice::node {
namespace {

// Who have not proven themselves: they take no place of a client, and the oldest of too many goes,
// so that strangers keep nobody out by just being there.
constexpr std::size_t most_greeters = 256;

}  // namespace

server::alarm::alarm(server& s) noexcept
    : timer([](timer& t) noexcept { static_cast<alarm&>(t).self->drained(); }), self(&s) {}

absl::StatusOr<std::unique_ptr<server>> server::open(loop& on, const memory_node_options& options) {
    if (absl::Status status = check(options); !status.ok()) {
        return status;
    }
    const absl::StatusOr<wire::address> at = wire::address::parse(options.listen);
    if (!at.ok()) {
        return at.status();
    }
    absl::StatusOr<wire::shared_secret> secret =
        wire::shared_secret::from_options(options.secret_file, options.secret);
    if (!secret.ok()) {
        return annotate(secret.status(), "memory_node");
    }
    mapped memory(options.memory);
    if (memory.empty()) {
        return absl::ResourceExhaustedError(
            fmt::format("memory_node: the system gives no {} bytes of memory", options.memory));
    }
    std::unique_ptr<server> out(new server(on, *std::move(secret), std::move(memory), options));
    if (absl::Status status = out->open_providers(at->host); !status.ok()) {
        return status;
    }
    if (options.touch) {  // behind what fails fast, and before clients come
        detail::pin_pages(out->service_.memory.bytes());
    }
    if (absl::Status status = out->open_doors(*at); !status.ok()) {
        return status;
    }
    return out;
}

server::server(loop& on, wire::shared_secret secret, mapped memory,
               const memory_node_options& options)
    : options_(options),
      service_(on, std::move(secret), std::move(memory), options.lease),
      drain_alarm_(*this) {
    service_.staging_bytes = options.staging;
    service_.since = on.now();
    wire::welcome& facts = service_.facts;
    wire::fill_random(facts.node);
    facts.pool_bytes = service_.memory.bytes().size();
    facts.max_block_bytes =
        std::min({service_.pool.largest_block(), options.staging, wire::max_block_bytes});
    facts.lease_ms = static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(options.lease).count());
    facts.staging_bytes = static_cast<std::uint32_t>(options.staging);
    service_.counts.publish(service_.pool.stats());
}

server::~server() {
    service_.on.disarm(drain_alarm_);
    guests_.clear();
}

bool server::damage(const block_key& key) noexcept {
    const std::optional<block_place> at = service_.pool.peek(key);
    if (!at) {
        return false;
    }
    std::byte& middle = service_.memory.bytes()[at->offset + at->length / 2];
    middle = ~middle;
    return true;
}

absl::Status server::open_providers(const std::string& host) {
    for (const std::string& name : options_.providers) {
        absl::StatusOr<std::unique_ptr<fabric::target>> t =
            fabric::target::open(service_.on, name, host, service_.memory.bytes());
        if (!t.ok()) {
            return annotate(t.status(), fmt::format("memory_node: provider '{}'", name));
        }
        (*t)->use_congestion_control(options_.congestion_control);
        const bool connected = (*t)->kind() == wire::endpoint_kind::connected;
        counter& lanes = service_.counts.lanes_of(name, connected ? "connected" : "datagram");
        service_.providers.push_back({name, *std::move(t), &lanes});
    }
    return absl::OkStatus();
}

absl::Status server::open_doors(const wire::address& at) {
    if (!options_.metrics.empty()) {
        const absl::StatusOr<wire::address> where =
            wire::address::parse("tcp://" + options_.metrics);
        if (!where.ok()) {
            return absl::InvalidArgumentError(
                fmt::format("memory_node: metrics: '{}' is not host:port", options_.metrics));
        }
        absl::StatusOr<std::unique_ptr<http_server>> http = http_server::listen(
            service_.on, *where, [this](std::string_view path) { return page(path); });
        if (!http.ok()) {
            return annotate(http.status(), "memory_node: metrics");
        }
        http_ = *std::move(http);
    }
    absl::StatusOr<std::unique_ptr<wire::listener>> l =
        wire::listener::listen(service_.on, at, [this](int socket) { receive(socket); });
    if (!l.ok()) {
        return annotate(l.status(), "memory_node");
    }
    listener_ = *std::move(l);
    return absl::OkStatus();
}

std::string server::metrics_address() const {
    return http_ == nullptr ? std::string() : http_->bound().text().substr(6);  // behind tcp://
}

void server::receive(int socket) {
    if (greeters_.size() >= most_greeters) {
        const std::uint64_t oldest = *greeters_.begin();
        greeters_.erase(oldest);
        guests_.erase(oldest);
    }
    const std::uint64_t number = ++guests_so_far_;
    absl::StatusOr<std::unique_ptr<guest>> g = guest::receive(service_, *this, number, socket);
    if (g.ok()) {  // else its socket did not work
        guests_.emplace(number, *std::move(g));
        greeters_.insert(number);
    }
    service_.counts.connections.set(static_cast<double>(guests_.size()));
}

absl::Status server::on_proven(guest& g) {
    if (guests_.size() - greeters_.size() >= options_.max_connections) {
        return absl::ResourceExhaustedError(
            fmt::format("the node has its {} connections already; raise its max_connections",
                        options_.max_connections));
    }
    greeters_.erase(g.number());
    return absl::OkStatus();
}

void server::on_left(guest& g) {
    greeters_.erase(g.number());
    guests_.erase(g.number());
    service_.counts.connections.set(static_cast<double>(guests_.size()));
    if (service_.draining && guests_.empty()) {
        service_.on.arm(drain_alarm_, service_.on.now());
    }
}

void server::drain(std::function<void()> done) {
    done_.push_back(std::move(done));
    if (std::exchange(service_.draining, true)) {
        if (guests_.empty() || drain_over_) {
            service_.on.arm(drain_alarm_, service_.on.now());
        }
        return;
    }
    service_.counts.draining.set(1);
    listener_.reset();
    for (const auto& [number, g] : guests_) {
        g->tell_draining();
    }
    const duration patience = guests_.empty() ? duration{0} : options_.drain_timeout;
    service_.on.arm(drain_alarm_, saturating_add(service_.on.now(), patience));
}

void server::drained() {
    drain_over_ = true;
    // Of the stack: the last of them may destroy this.
    const std::vector<std::function<void()>> done = std::exchange(done_, {});
    for (const std::function<void()>& f : done) {
        if (f) {
            f();
        }
    }
}

http_answer server::page(std::string_view path) const {
    http_answer out;
    if (path == "/metrics") {
        out.type = "text/plain; version=0.0.4; charset=utf-8";
        out.body = service_.counts.text(uptime());
    } else if (path == "/healthz") {
        out.code = service_.draining ? 503 : 200;
        out.body = service_.draining ? "draining\n" : "ok\n";
    } else {
        out.code = 404;
    }
    return out;
}

}  // namespace sluice::node
