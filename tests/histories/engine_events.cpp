// SPDX-License-Identifier: Apache-2.0
// What the engine does about events: binds, computes, releases.
#include <algorithm>
#include <array>

#include <poll.h>

#include <fmt/format.h>

#include "engine.hpp"

namespace sluice::histories {

bool engine::poll() {
    const duration every = w_.h.c.poll_every;
    if (every > duration{0} && w_.clock.now() < next_poll_) {
        return false;
    }
    if (every > duration{0} && (!draining_ || !all_gone())) {
        next_poll_ = w_.clock.now() + every;
        w_.clock.at(next_poll_, [] {});  // so that the loop comes to that instant
    }
    const auto readable = [this] {
        pollfd fd{pipe_.event_fd(), POLLIN, 0};
        return ::poll(&fd, 1, 0) == 1;
    };
    const bool promised = readable();
    std::array<request_event, 16> batch;
    bool any = false;
    while (const std::size_t n = pipe_.poll_events(std::span(batch).first(w_.h.c.poll_batch))) {
        any = true;
        for (std::size_t i = 0; i < n; ++i) {
            take(batch[i]);
        }
    }
    if (any != promised || readable()) {
        check_.fail("event-fd", "the descriptor does not tell whether events are waiting");
    }
    if (!w_.h.c.library_owned && any) {
        check_gone();  // pages of such may come back
    }
    return bind_waiting() || any;
}

void engine::take(const request_event& e) {
    ++events_;
    const std::uintptr_t n = reinterpret_cast<std::uintptr_t>(e.user) - 1;
    if (n >= check_.requests().size() || !check_.request(n).accepted) {
        check_.fail("events", "an event of nobody's");
        return;
    }
    watched& r = check_.request(n);
    if (closing_) {
        check_.fail("events", fmt::format("request {} had an event after closing", r.number));
    }
    check_.saw(r, e);
    switch (e.kind) {
    case event_kind::want_pages: bind_soon(r); break;
    case event_kind::loaded: break;  // the job says the rest
    case event_kind::quiesced:
        if (!r.good()) {
            give_pages_back(r);
        } else if (!w_.h.c.library_computes) {
            compute_soon(r);
        }
        break;
    case event_kind::stored: give_pages_back(r); break;
    default: had_outcome(r); break;
    }
}

void engine::had_outcome(watched& r) {
    ++outcomes_;
    const auto report = pipe_.report(r.handle);
    if (report.ok()) {
        r.report = *report;
        r.has_report = true;
        check_.check_report(r);
    } else if (r.good() && !r.released && !r.plan->prewarm) {
        check_.fail("status", fmt::format("request {}: no report after its outcome", r.number));
    }
    if (!r.good()) {
        check_.unclaim(r);
        give_pages_back(r);
        return;
    }
    if (r.plan->prewarm) {
        r.released = true;  // that was all
        return;
    }
    if (r.outcome == event_kind::computed) {
        if (!r.released) {
            check_.check_prefix(r, r.k, "is computed, it says,");
            check_.check_computed(r, "is computed, it says,");
        }
        release_soon(r);
        return;
    }
    if (r.released) {
        return;
    }
    const auto pages = pipe_.pages(r.handle);
    if (!pages.ok()) {
        check_.fail("status", fmt::format("request {}: no pages after its outcome", r.number));
        return;
    }
    r.pages = *pages;
    check_.claim(r);
    check_.check_prefix(r, r.k, "is ready");
    if (!r.busy) {
        compute_soon(r);
    }
}

// ---- pages

void engine::bind_soon(watched& r) {
    if (r.plan->bind == bind_when::never) {
        if (draining_) {
            cancel(r);
        }
        return;
    }
    if (r.bound) {
        return;  // earlier than it was asked for
    }
    ++promises_;
    w_.clock.after(r.plan->bind_after, [this, &r] {
        --promises_;
        want_pages_.push_back(r.number);
        bind_waiting();
    });
}

void engine::bound_early(watched& r) {
    --promises_;
    if (!r.bound && !r.gone) {
        want_pages_.push_back(r.number);
        bind_waiting();
    }
}

// All that a request needs or nothing; the first in the line first.
bool engine::bind_waiting() {
    bool any = false;
    while (!want_pages_.empty() && bind(check_.request(want_pages_.front()))) {
        want_pages_.pop_front();
        any = true;
    }
    return any;
}

bool engine::bind(watched& r) {
    if (r.bound || r.has_outcome || r.gone || closing_) {
        return true;
    }
    for (const auto& free : free_pages_) {
        if (free.size() < r.per_group) {
            return false;
        }
    }
    std::vector<slot_id> pages;
    for (std::uint32_t g = 0; g < free_pages_.size(); ++g) {
        for (std::uint32_t i = 0; i < r.per_group; ++i) {
            const slot_id page = free_pages_[g].back();
            free_pages_[g].pop_back();
            check_.give_page(g, page, &r);
            pages.push_back(page);
            if (i < r.plan->resident) {
                w_.l1.fill(g, page, key_value(g, r.plan->ids[i]));
            }
        }
    }
    r.bound = true;
    r.bound_at = w_.clock.now();
    r.pages = pages;
    if (r.plan->hole && r.plan->resident == 0) {
        const std::size_t n = pages.size() / 2;
        free_pages_[n / r.per_group].push_back(pages[n]);
        check_.give_page(static_cast<std::uint32_t>(n / r.per_group), pages[n], nullptr);
        r.pages[n] = pages[n] = no_slot;
    }
    using enum absl::StatusCode;
    const absl::StatusCode got = pipe_.bind(r.handle, pages).code();
    expect("bind", r, got, {kOk, r.ended_early ? kNotFound : kOk});
    if (r.plan->bind_twice && got == kOk) {
        expect("bind", r, pipe_.bind(r.handle, pages).code(), {kFailedPrecondition});
    }
    return true;
}

// The pages are the engine's again once nothing of the request can touch them.
void engine::give_pages_back(watched& r) {
    if (w_.h.c.library_owned || !r.bound || closing_) {
        return;
    }
    const bool quiet = r.has_outcome && (!r.busy || r.quiesced);
    const bool stored =
        !r.good() || (r.released && (!r.computed || !r.plan->write_back ||
                                     (!w_.h.c.library_computes && !r.told_computed) || r.stored));
    if (!(quiet && stored) && !r.gone) {
        if (quiet && r.released && !std::exchange(r.watching, true)) {
            watch_handle(r);
        }
        return;
    }
    for (std::uint32_t g = 0; g < free_pages_.size(); ++g) {
        for (slot_id page = 0; page < w_.h.c.groups[g].slots; ++page) {
            if (check_.page_owner(g, page) == &r) {
                check_.give_page(g, page, nullptr);
                free_pages_[g].push_back(page);
            }
        }
    }
}

// A stale handle says that all is over, whatever comes or not.
void engine::watch_handle(watched& r) {
    ++promises_;
    w_.clock.after(std::chrono::microseconds(200), [this, &r] {
        --promises_;
        check_gone();
        bind_waiting();
        if (!r.gone) {
            watch_handle(r);
        }
    });
}

// ---- compute and release

void engine::compute_soon(watched& r) {
    if (std::exchange(r.computing, true)) {
        check_.fail("events", fmt::format("request {} would be computed twice", r.number));
    }
    ++promises_;
    w_.clock.after(r.plan->compute_takes, [this, &r] {
        --promises_;
        r.computing = false;
        compute(r);
    });
}

void engine::compute(watched& r) {
    if (closing_) {
        return;
    }
    if (r.released) {  // by an action, meanwhile
        check_.unclaim(r);
        return;
    }
    static_cast<void>(pipe_.next_ready());
    check_.check_prefix(r, r.k, "computes");
    if (r.plan->reports_compute) {
        check_.compute_pages(r, r.k);
        r.told_computed = true;
        const double seconds = to_seconds(r.plan->compute_takes);
        expect("compute_done", r, pipe_.compute_done(r.handle, seconds).code(),
               {absl::StatusCode::kOk});
        expect("compute_done", r, pipe_.compute_done(r.handle, seconds).code(),
               {absl::StatusCode::kFailedPrecondition});
    }
    release_soon(r);
}

void engine::release_soon(watched& r) {
    ++promises_;
    w_.clock.after(r.plan->release_after, [this, &r] {
        --promises_;
        if (!closing_) {
            release(r);
        }
    });
}

}  // namespace sluice::histories
