// SPDX-License-Identifier: Apache-2.0
// What the workers report, rank by rank, and the events that come of it.
#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>

#include "planner.hpp"
#include "planner_entry.hpp"

namespace sluice::split {

void planner::learn(entry& e, const fact& f) {
    std::optional<fact>& known = e.known(f.what);
    const std::uint64_t before = known ? known->ranks : 0;
    if ((f.ranks & ~before) == 0) {
        return;  // said before
    }
    if (known) {
        merge(*known, f);
    } else {
        known = f;
    }
    const auto everywhere = [this](const std::optional<fact>& what) {
        return what && std::popcount(what->ranks) == static_cast<int>(options_.workers);
    };
    switch (f.what) {
    case fact::kind::looked_up:
        if (everywhere(known) && !e.ended) {
            e.story.looked_up = options_.now();
            e.story.hit_blocks = std::min(known->blocks, e.blocks);
            e.story.planned_blocks = std::min(e.story.hit_blocks, e.max_load);
            note(e, news::kind::looked_up);
            if (e.tell_lookup) {
                push(e, event_kind::looked_up, e.story.hit_blocks);
            }
        }
        break;
    case fact::kind::want_pages:
        // One rank that waits for pages is enough to ask for them.
        if (before == 0 && e.pages.empty() && !e.ended) {
            push(e, event_kind::want_pages);
        }
        break;
    case fact::kind::outcome:
        if (f.end == event_kind::detached && !everywhere(known)) {
            tell_once(e, order::kind::detach, e.detach_told);
        } else if (f.end > event_kind::detached && !everywhere(known)) {
            tell_once(e, order::kind::cancel, e.cancel_told);
        }
        if (everywhere(known) && !e.ended) {
            const std::optional<fact>& quiet = e.known(fact::kind::quiesced);
            const bool busy = (known->busy & ~(quiet ? quiet->ranks : 0)) != 0;
            const bool good = known->end <= event_kind::detached;
            e.view.attained.fetch = known->fetch_seconds;
            e.view.attained.copy = known->copy_seconds;
            e.story.bytes_fetched = known->bytes_fetched;
            settle(e, known->end, good ? std::min(known->blocks, e.blocks) : 0, busy,
                   known->end == event_kind::failed
                       ? absl::Status(static_cast<absl::StatusCode>(known->code),
                                      fmt::format("rank {}: {}", known->failed_rank, known->text))
                       : absl::OkStatus());
        }
        break;
    case fact::kind::quiesced:
        if (e.quiesce_owed && (e.known(fact::kind::outcome)->busy & ~known->ranks) == 0) {
            e.quiesce_owed = false;
            push(e, event_kind::quiesced);
        }
        break;
    case fact::kind::stored:
        if (everywhere(known) && e.stored_owed) {
            e.stored_owed = false;
            if (e.storing) {
                e.ended = e.released = e.release_told = true;
            }
            push(e, event_kind::stored, known->blocks);
        }
        break;
    }
}

void planner::settle(entry& e, event_kind kind, std::uint32_t blocks, bool busy,
                     absl::Status status) {
    const bool good = kind <= event_kind::detached;
    e.ended = true;
    e.quiesce_owed = busy;
    e.story.loaded_blocks = blocks;
    e.story.loaded = good ? options_.now() : never;
    ++stats_.outcomes;
    if (e.view.prewarm && good) {
        ++stats_.prewarm_requests;
        stats_.prewarmed_blocks +=
            std::uint64_t{options_.groups} * (blocks - std::min(blocks, e.resident));
    }
    if (!good || e.released || e.view.prewarm) {
        e.released = true;
        tell_once(e, order::kind::release, e.release_told);
    } else {
        offers_.set(e.view.id.index, e.compute_key());
    }
    if (!e.storing) {
        note(e, news::kind::ended);
    }
    push(e, kind, blocks, busy, std::move(status));
}

void planner::push(entry& e, event_kind kind, std::uint32_t blocks, bool busy,
                   absl::Status status) {
    request_event& event = events_.emplace_back();
    event.kind = kind;
    event.busy = busy;
    event.blocks = blocks;
    event.request = e.handle();
    event.user = e.view.user;
    event.status = std::move(status);
    ++e.waiting;
    readable_.set(true);
}

std::size_t planner::poll_events(std::span<request_event> out) {
    const std::scoped_lock lock(mutex_);
    std::size_t n = 0;
    for (; n < out.size() && !events_.empty(); ++n) {
        out[n] = std::move(events_.front());
        events_.pop_front();
        // An event keeps its request.
        entry& e = *find(out[n].request);
        --e.waiting;
        retire_if_over(e);
    }
    readable_.set(!events_.empty());
    return n;
}

void planner::retire_if_over(entry& e) {
    if (e.ended && e.released && e.waiting == 0 && !e.quiesce_owed && !e.stored_owed) {
        e.live = false;
        --stats_.live_requests;
        free_.push_back(e.view.id.index);
    }
}

}  // namespace sluice::split
