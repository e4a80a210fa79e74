// SPDX-License-Identifier: Apache-2.0
#include "worker.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "../request_id.hpp"

namespace sluice::split {

namespace {

absl::Status append(std::span<const std::byte> suffix, std::vector<block_key>& keys) {
    if (suffix.empty()) {
        return absl::OkStatus();
    }
    for (block_key& key : keys) {
        std::array<std::byte, block_key::max_size> both{};
        if (key.size() + suffix.size() > both.size()) {
            return absl::InvalidArgumentError(
                fmt::format("a key of {} bytes and a suffix of {} are more than {}", key.size(),
                            suffix.size(), both.size()));
        }
        const auto end = std::ranges::copy(key.bytes(), both.begin()).out;
        std::ranges::copy(suffix, end);
        key = *block_key::from_bytes(std::span(both).first(key.size() + suffix.size()));
    }
    return absl::OkStatus();
}

}  // namespace

absl::Status worker::import_plan(std::span<const std::byte> bytes,
                                 std::span<const std::byte> suffix) {
    absl::StatusOr<plan> p = decode_plan(bytes);
    if (!p.ok()) {
        return p.status();
    }
    for (order& o : p->orders) {
        SLUICE_RETURN_IF_ERROR(append(suffix, o.keys));
    }
    const std::scoped_lock lock(mutex_);
    if (news_.planner != 0 && p->planner != news_.planner) {
        return absl::InvalidArgumentError(
            "the plan is of another planner than those before; a scheduler that starts anew needs "
            "workers with new pipelines");
    }
    if (p->sequence != last_sequence_ + 1) {
        return absl::InvalidArgumentError(
            fmt::format("plan {} came after plan {}; each comes once, "
                        "in order, from 1",
                        p->sequence, last_sequence_));
    }
    news_.planner = p->planner;
    last_sequence_ = p->sequence;
    for (const order& o : p->orders) {
        obey(o);
    }
    return absl::OkStatus();
}

std::vector<std::byte> worker::encoded(std::uint32_t rank) {
    if (news_.facts.empty()) {
        return {};
    }
    for (fact& f : news_.facts) {
        f.ranks = bit_of(rank);
        f.busy = f.busy != 0 ? f.ranks : 0;
        f.failed_rank = static_cast<std::uint8_t>(rank);
    }
    return encode(news_);
}

// ---- orders

// What is ordered about a request that is over came too late, and does no harm.
void worker::obey(const order& o) {
    using kind = order::kind;
    const auto at = live_.find(o.request);
    const bool begins = o.what == kind::submit || o.what == kind::store;
    if (begins == (at != live_.end())) {
        return;
    }
    if (begins) {
        o.what == kind::submit ? begin(o) : begin_store(o);
        return;
    }
    live& l = at->second;
    absl::Status status;
    switch (o.what) {
    case kind::rank: pipe_.set_rank(l.handle, o.rank).IgnoreError(); break;
    case kind::bind:
        // The request would wait for pages for ever: it ends by failing.
        l.failure = annotate(pipe_.bind(l.handle, o.pages), "pages that were planned");
        if (!l.failure.ok()) {
            pipe_.cancel(l.handle).IgnoreError();
        }
        break;
    case kind::detach: pipe_.detach(l.handle).IgnoreError(); break;
    case kind::cancel: pipe_.cancel(l.handle).IgnoreError(); break;
    case kind::compute_done:
        if (!l.write_back || l.stored_owed) {
            pipe_.compute_done(l.handle, o.seconds).IgnoreError();
        } else if (pipe_.compute_done(l.handle, o.seconds).ok()) {
            l.stored_owed = true;
        } else {
            tell(o.request, fact::kind::stored);
        }
        break;
    default:
        pipe_.release(l.handle).IgnoreError();
        l.over = true;
        forget_if_over(at);
        break;
    }
}

void worker::begin(const order& o) {
    request_spec spec;
    spec.keys = o.keys;
    spec.prompt_tokens = o.prompt_tokens;
    spec.pages = o.pages_per_group;
    spec.resident_blocks = o.resident_blocks;
    spec.max_load_blocks = o.max_load_blocks;
    spec.min_query_tokens = o.min_query_tokens;
    spec.load_timeout = duration{static_cast<std::int64_t>(o.load_timeout_ns)};
    spec.tenant = o.tenant;
    spec.tenant_weight = o.tenant_weight;
    spec.write_back = o.write_back;
    spec.prewarm = o.prewarm;
    spec.rank = o.rank;
    spec.tell_lookup = true;
    spec.user = sluice::detail::pointer_of(o.request);
    const absl::StatusOr<request_handle> made = pipe_.submit(spec);
    if (!made.ok()) {
        tell_failed(o.request, made.status());
        return;
    }
    live l;
    l.handle = *made;
    l.write_back = o.write_back;
    live_.emplace(o.request, std::move(l));
}

void worker::begin_store(const order& o) {
    const absl::StatusOr<request_handle> made =
        pipe_.store_blocks(o.keys, o.pages, sluice::detail::pointer_of(o.request));
    if (!made.ok()) {
        tell(o.request, fact::kind::stored);
        return;
    }
    live l;
    l.handle = *made;
    l.storing = true;
    live_.emplace(o.request, std::move(l));
}

// ---- facts

void worker::drain() {
    std::array<request_event, 64> batch;
    while (const std::size_t n = pipe_.poll_events(batch)) {
        for (const request_event& e : std::span(batch).first(n)) {
            const auto at = live_.find(sluice::detail::number_of(e.user));
            if (at != live_.end() && at->second.handle == e.request) {
                happened(at->first, at->second, e);
                forget_if_over(at);
            }
        }
    }
}

void worker::happened(std::uint64_t id, live& l, const request_event& e) {
    switch (e.kind) {
    case event_kind::looked_up: tell(id, fact::kind::looked_up, e.blocks); break;
    case event_kind::want_pages: tell(id, fact::kind::want_pages); break;
    case event_kind::quiesced:
        l.quiesce_owed = false;
        tell(id, fact::kind::quiesced);
        break;
    case event_kind::stored:
        l.stored_owed = false;
        l.over = l.over || l.storing;
        l.ended = l.ended || l.storing;
        tell(id, fact::kind::stored, e.blocks);
        break;
    case event_kind::loaded: break;
    default: ended(id, l, e); break;
    }
}

void worker::ended(std::uint64_t id, live& l, const request_event& e) {
    l.ended = true;
    const bool good = e.kind == event_kind::ready || e.kind == event_kind::detached;
    l.over = l.over || !good;
    if (l.storing) {  // cancelled: nothing was stored
        tell(id, fact::kind::stored);
        return;
    }
    l.quiesce_owed = e.busy;
    const absl::Status& why = l.failure.ok() ? e.status : l.failure;
    fact f;
    f.what = fact::kind::outcome;
    f.request = id;
    f.blocks = e.blocks;
    f.end = why.ok() ? e.kind : event_kind::failed;
    f.busy = e.busy ? 1 : 0;
    f.code = static_cast<std::uint8_t>(why.code());
    f.text = message_of(why);
    // One that has failed may be gone already.
    if (const absl::StatusOr<request_report> r = pipe_.report(l.handle); r.ok()) {
        f.fetch_seconds = r->attained.fetch;
        f.copy_seconds = r->attained.copy;
        f.bytes_fetched = r->bytes_fetched;
    }
    news_.facts.push_back(std::move(f));
}

fact& worker::tell(std::uint64_t id, fact::kind what, std::uint32_t blocks) {
    fact f;
    f.what = what;
    f.request = id;
    f.blocks = blocks;
    return news_.facts.emplace_back(std::move(f));
}

void worker::tell_failed(std::uint64_t id, const absl::Status& status) {
    fact& f = tell(id, fact::kind::outcome);
    f.end = event_kind::failed;
    f.code = static_cast<std::uint8_t>(status.code());
    f.text = message_of(status);
}

void worker::forget_if_over(table::iterator at) {
    const live& l = at->second;
    if (l.ended && l.over && !l.quiesce_owed && !l.stored_owed) {
        live_.erase(at);
    }
}

}  // namespace sluice::split
