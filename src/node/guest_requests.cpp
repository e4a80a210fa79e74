// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/base/version.hpp>

#include "guest.hpp"
#include "reachable.hpp"

// What a client that has proven himself asks for.

namespace sluice::node {
namespace {

// Of the staging memory: what a client may have reserved.
constexpr std::uint64_t reserved_per_staging = 4;
constexpr std::size_t most_reserved_blocks = 4 * wire::max_batch;

wire::reserve_verdict verdict_of(block_pool::verdict v) noexcept {
    switch (v) {
    case block_pool::verdict::granted: return wire::reserve_verdict::granted;
    case block_pool::verdict::exists: return wire::reserve_verdict::exists;
    case block_pool::verdict::too_large: return wire::reserve_verdict::too_large;
    case block_pool::verdict::no_room: break;
    }
    return wire::reserve_verdict::no_room;
}

absl::Status busy() {
    return absl::ResourceExhaustedError(
        fmt::format("{} commits and reports of this client are under way; wait for their answers",
                    intake::most_jobs));
}

}  // namespace

template <class Request>
void guest::serve_as(const wire::frame& f) {
    absl::StatusOr<Request> request = wire::decode<Request>(f.body);
    if (!request.ok()) {
        condemn(request.status(), f.id);
        return;
    }
    answer(*request, f.id);
}

void guest::serve(const wire::frame& f) {
    using wire::message_type;
    switch (f.type) {
    case message_type::open_lane: serve_as<wire::open_lane>(f); break;
    case message_type::lookup: serve_as<wire::lookup>(f); break;
    case message_type::reserve: serve_as<wire::reserve>(f); break;
    case message_type::commit: serve_as<wire::commit>(f); break;
    case message_type::remove: serve_as<wire::remove>(f); break;
    case message_type::report: serve_as<wire::report>(f); break;
    case message_type::ping: serve_as<wire::ping>(f); break;
    default:
        condemn(absl::InvalidArgumentError(
                    fmt::format("a node is not asked for '{}'", wire::name_of(f.type))),
                f.id);
    }
}

void guest::answer(const wire::open_lane& request, std::uint64_t id) {
    const absl::StatusOr<wire::lane> lane = admit(request);
    if (lane.ok()) {
        control_->send(*lane, id);
    } else {
        refuse(lane.status(), id);
    }
}

absl::StatusOr<wire::lane> guest::admit(const wire::open_lane& request) {
    const auto at = std::find_if(service_.providers.begin(), service_.providers.end(),
                                 [&](const auto& p) { return p.name == request.provider; });
    if (at == service_.providers.end()) {
        std::string names;
        for (const service::provider& p : service_.providers) {
            names += (names.empty() ? "'" : ", '") + p.name + "'";
        }
        return absl::UnimplementedError(fmt::format(
            "the node has no provider '{}'; it has {}: name one of them, or start the node with "
            "this one too",
            request.provider, names));
    }
    if (request.kind != at->target->kind()) {
        return absl::FailedPreconditionError(fmt::format(
            "provider '{}' has other endpoints at the client than at the node; use the same "
            "version of libfabric on both",
            request.provider));
    }
    if (staging_.empty()) {
        if (service_.spare_staging.empty()) {
            staging_ = mapped(service_.staging_bytes);
        } else {
            staging_ = std::move(service_.spare_staging.back());
            service_.spare_staging.pop_back();
        }
        if (staging_.empty()) {
            return absl::ResourceExhaustedError(
                fmt::format("the node has no {} bytes for another client's staging memory",
                            service_.staging_bytes));
        }
        service_.counts.staging_bytes.add(static_cast<double>(service_.staging_bytes));
    }
    absl::StatusOr<wire::lane> lane =
        at->target->admit(number_, staging_.bytes(), request.endpoint);
    if (lane.ok()) {
        make_reachable(lane->endpoint, control_->socket());
        at->lanes->add();
    }
    return lane;
}

void guest::answer(const wire::lookup& request, std::uint64_t id) {
    const time_point now = service_.on.now();
    wire::found out;
    out.blocks.reserve(request.keys.size());
    std::uint64_t hits = 0;
    for (const block_key& key : request.keys) {
        wire::placement& where = out.blocks.emplace_back();
        if (const std::optional<block_place> place = service_.pool.find(key, now, request.lease)) {
            where = {place->offset, place->length, place->generation, place->checksum};
            ++hits;
        }
    }
    service_.counts.lookups.add(request.keys.size());
    service_.counts.hits.add(hits);
    if (hits > 0) {
        for (const service::provider& p : service_.providers) {
            p.target->stir();
        }
    }
    control_->send(out, id);
}

void guest::answer(const wire::reserve& request, std::uint64_t id) {
    if (service_.draining) {
        refuse(absl::UnavailableError("the node is about to end and takes no more blocks"), id);
        return;
    }
    // What is being taken in stays; all else makes room.
    const std::uint64_t limit = reserved_per_staging * service_.staging_bytes - committing_bytes_;
    const std::size_t most_blocks = most_reserved_blocks - committing_blocks_;
    wire::reserved out;
    out.grants.resize(request.blocks.size());
    std::vector<block_pool::wish> wishes;
    std::vector<std::size_t> which;  // of the blocks asked for
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < request.blocks.size(); ++i) {
        const wire::reserve::block& b = request.blocks[i];
        if (b.length > service_.facts.max_block_bytes) {
            out.grants[i].verdict = wire::reserve_verdict::too_large;
        } else if (b.length <= limit - bytes && wishes.size() < most_blocks) {
            // else it is more than can be on its way
            bytes += b.length;
            wishes.push_back({b.key, b.length});
            which.push_back(i);
        }
    }
    make_room(bytes, wishes.size());
    std::vector<block_pool::grant> grants(wishes.size());
    if (!wishes.empty()) {
        has_reserved_ = true;
        service_.pool.reserve(wishes, number_, service_.on.now(), grants);
    }
    for (std::size_t i = 0; i < grants.size(); ++i) {
        wire::reserved::grant& g = out.grants[which[i]];
        g.verdict = verdict_of(grants[i].verdict);
        if (grants[i].verdict == block_pool::verdict::granted) {
            g.token = grants[i].token;
            reserved_.emplace(g.token, reservation{wishes[i].length});
            tokens_.push_back(g.token);
            reserved_bytes_ += wishes[i].length;
        }
    }
    for (const service::provider& p : service_.providers) {
        p.target->stir();
    }
    control_->send(out, id);
}

// A client that lost an answer does not know what it has reserved: its oldest goes.
void guest::make_room(std::uint64_t bytes, std::size_t blocks) {
    const std::uint64_t limit = reserved_per_staging * service_.staging_bytes;
    while (!tokens_.empty() &&
           (reserved_bytes_ + bytes > limit || reserved_.size() + blocks > most_reserved_blocks)) {
        const std::uint64_t token = tokens_.front();
        tokens_.pop_front();
        if (const auto at = reserved_.find(token);
            at != reserved_.end() && !at->second.committing) {
            service_.pool.abandon(token, number_);
            settled(token);
        }
    }
    if (tokens_.size() > 2 * most_reserved_blocks) {
        std::erase_if(tokens_, [this](std::uint64_t token) { return !reserved_.contains(token); });
    }
}

void guest::settled(std::uint64_t token) {
    if (const auto at = reserved_.find(token); at != reserved_.end()) {
        reserved_bytes_ -= at->second.bytes;
        if (at->second.committing) {
            committing_bytes_ -= at->second.bytes;
            --committing_blocks_;
        }
        reserved_.erase(at);
    }
}

void guest::answer(wire::commit& request, std::uint64_t id) {
    const std::uint64_t staged = staging_.bytes().size();
    for (const wire::commit::block& b : request.blocks) {
        const std::optional<block_pool::grant> grant = service_.pool.reservation(b.token, number_);
        if (!b.abandon && grant &&
            (grant->length > staged || b.staging_offset > staged - grant->length)) {
            condemn(absl::InvalidArgumentError(fmt::format(
                        "commit: {} bytes at {} are not inside the {} bytes of staging memory",
                        grant->length, b.staging_offset, staged)),
                    id);
            return;
        }
    }
    if (service_.blocks_in.is_full(*this)) {
        refuse(busy(), id);
        return;
    }
    for (const wire::commit::block& b : request.blocks) {
        const auto at = reserved_.find(b.token);
        if (at != reserved_.end() && !std::exchange(at->second.committing, true)) {
            committing_bytes_ += at->second.bytes;
            ++committing_blocks_;
        }
    }
    service_.blocks_in.commit(*this, id, std::move(request), number_, staging_.bytes());
}

void guest::on_committed(const intake::commit_job& done) {
    for (const wire::commit::block& b : done.request.blocks) {
        settled(b.token);
    }
    control_->send(done.answer, done.id);
}

void guest::answer(const wire::remove& request, std::uint64_t id) {
    const time_point now = service_.on.now();
    wire::removed out;
    for (const block_key& key : request.keys) {
        out.blocks += service_.pool.remove(key, now) ? 1 : 0;
    }
    control_->send(out, id);
}

void guest::answer(wire::report& request, std::uint64_t id) {
    if (service_.blocks_in.is_full(*this)) {
        refuse(busy(), id);
        return;
    }
    service_.blocks_in.report(*this, id, std::move(request));
}

void guest::on_reported(std::uint64_t id, const wire::reported& answer) {
    control_->send(answer, id);
}

void guest::answer(const wire::ping&, std::uint64_t id) {
    const memory_node_stats stats = service_.counts.stats();
    wire::pong out;
    out.blocks = stats.blocks;
    out.bytes = stats.bytes;
    out.capacity = stats.capacity;
    out.evicted = stats.evicted;
    out.damaged = stats.damaged;
    out.uptime_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(service_.on.now() - service_.since)
            .count());
    out.connections = static_cast<std::uint32_t>(stats.connections);
    out.draining = service_.draining;
    out.version = version();
    control_->send(out, id);
}

}  // namespace sluice::node
