// SPDX-License-Identifier: Apache-2.0
#include "engine.hpp"

#include <algorithm>
#include <array>

#include <poll.h>

#include <fmt/format.h>

namespace sluice::histories {

engine::engine(seam_world& w, faulty_store* l3, pipeline& pipe, applications* apps)
    : w_(w), check_(w.check), l3_(l3), pipe_(pipe), apps_(apps) {
    for (const group_config& g : w.h.c.groups) {
        free_pages_.emplace_back();
        for (slot_id s = 0; s < g.slots; ++s) {
            free_pages_.back().push_back(s);
        }
    }
}

void engine::begin() {
    const time_point start = w_.clock.now();
    for (const action& a : w_.h.actions) {
        w_.clock.at(start + a.at, [this, &a] { act(a); });
    }
    next_poll_ = start;
}

void engine::act(const action& a) {
    check_.trace(fmt::format("action {} of {}", static_cast<int>(a.kind), a.what));
    switch (a.kind) {
    case action_kind::submit: submit(check_.request(a.what)); break;
    case action_kind::cancel: cancel(check_.request(a.what)); break;
    case action_kind::release: release(check_.request(a.what)); break;
    case action_kind::poke: poke(check_.request(a.what)); break;
    case action_kind::forget: l3_ != nullptr ? l3_->forget(a.what) : void(); break;
    case action_kind::remember: l3_ != nullptr ? l3_->remember(a.what) : void(); break;
    case action_kind::close: close(); break;
    case action_kind::app:
        if (apps_ != nullptr && !closing_) {
            apps_->happens(app_event::of(a.what));
        }
        break;
    }
}

void engine::expect(const char* call, const watched& r, absl::StatusCode got,
                    std::initializer_list<absl::StatusCode> of) {
    const bool ended = closing_ && got == absl::StatusCode::kNotFound;
    if (!ended && std::ranges::find(of, got) == of.end()) {
        check_.fail("status",
                    fmt::format("{} of request {} says {}", call, r.number, static_cast<int>(got)));
    }
}

void engine::submit(watched& r) {
    const config& c = w_.h.c;
    const request_plan& p = *r.plan;
    std::vector<block_key> keys;
    for (std::uint32_t g = 0; g < c.groups.size(); ++g) {
        for (const std::uint32_t id : p.ids) {
            keys.push_back(block_key::from_u64(key_value(g, id)));
        }
    }
    request_spec spec;
    spec.keys = keys;
    spec.prompt_tokens = prompt_tokens(c, p);
    spec.pages = p.more_pages == 0 ? 0 : r.per_group;
    spec.resident_blocks = p.resident;
    spec.max_load_blocks = p.max_load;
    spec.min_query_tokens = p.min_query;
    spec.priority = p.priority;
    spec.tenant = p.tenant;
    spec.tenant_weight = p.weight;
    spec.load_timeout = p.load_timeout;
    spec.write_back = p.write_back;
    spec.prewarm = p.prewarm;
    if (apps_ != nullptr) {
        spec.application = apps_->handle(p.app);
    }
    spec.user = reinterpret_cast<void*>(std::uintptr_t{r.number} + 1);
    r.submitted_at = w_.clock.now();
    r.arrival = r.submitted_at - p.waited;
    spec.arrival = p.waited > duration{0} ? r.arrival : never;
    spec.deadline = p.deadline > duration{0} ? r.arrival + p.deadline : never;

    const auto h = pipe_.submit(spec);
    const auto live = static_cast<std::uint32_t>(std::ranges::count_if(
        check_.requests(), [](const watched& o) { return o.accepted && !o.gone; }));
    bool fits = true;
    for (const group_config& g : c.groups) {
        fits = fits && (r.per_group <= g.slots || (p.prewarm && !c.library_owned));
    }
    if (h.ok()) {
        r.accepted = true;
        r.handle = *h;
        if (!fits || closing_ || spec.prompt_tokens == 0) {
            check_.fail("submit", fmt::format("request {} is accepted", r.number));
        }
        if (!c.library_owned && p.bind == bind_when::early && !p.prewarm) {
            ++promises_;
            w_.clock.after(p.bind_after, [this, &r] { bound_early(r); });
        }
        return;
    }
    const absl::StatusCode code = h.status().code();
    if (spec.prompt_tokens == 0) {
        expect("submit", r, code, {absl::StatusCode::kInvalidArgument});
    } else if (!fits) {
        expect("submit", r, code, {absl::StatusCode::kOutOfRange});
    } else if (closing_) {
        expect("submit", r, code, {absl::StatusCode::kFailedPrecondition});
    } else {
        expect("submit", r, code, {absl::StatusCode::kResourceExhausted});
        if (live < c.max_requests) {
            check_.fail("submit", fmt::format("request {} is refused though only {} are live",
                                              r.number, live));
        }
    }
}

void engine::cancel(watched& r) {
    if (!r.accepted) {
        return;
    }
    if (!r.has_outcome && !r.computing) {
        check_.unclaim(r);  // the library may give its pages to others at once
    }
    r.ended_early = r.ended_early || !r.has_outcome;
    expect("cancel", r, pipe_.cancel(r.handle).code(),
           {absl::StatusCode::kOk, r.released || !r.has_outcome || !r.good()
                                       ? absl::StatusCode::kNotFound
                                       : absl::StatusCode::kOk});
}

void engine::release(watched& r) {
    if (!r.accepted || r.released) {
        return;
    }
    if (r.has_outcome && r.good()) {
        check_.check_computed(r, "is released");
        check_.check_prefix(r, r.k, "is released");
    }
    if (!r.computing || !w_.h.c.library_computes) {
        check_.unclaim(r);
    }
    r.ended_early = r.ended_early || !r.has_outcome;
    r.released = true;
    expect("release", r, pipe_.release(r.handle).code(),
           {absl::StatusCode::kOk, r.good() ? absl::StatusCode::kOk : absl::StatusCode::kNotFound});
    give_pages_back(r);
}

// Calls that must be refused, or change nothing.
void engine::poke(watched& r) {
    using enum absl::StatusCode;
    const request_handle wrong{r.handle.index + 1000, 1};
    const request_handle old{r.handle.index, r.handle.epoch + 100000};
    for (const request_handle h : {wrong, old, request_handle{}}) {
        const absl::StatusCode unknown = w_.h.c.library_owned ? kFailedPrecondition : kNotFound;
        expect("bind", r, pipe_.bind(h, {}).code(), {unknown});
        expect("cancel", r, pipe_.cancel(h).code(), {kNotFound});
        expect("release", r, pipe_.release(h).code(), {kNotFound});
        expect("pages", r, pipe_.pages(h).status().code(), {kNotFound});
        expect("report", r, pipe_.report(h).status().code(), {kNotFound});
    }
    if (!r.accepted) {
        return;
    }
    if (r.gone) {
        expect("cancel", r, pipe_.cancel(r.handle).code(), {kNotFound});
        expect("report", r, pipe_.report(r.handle).status().code(), {kNotFound});
    } else if (!r.has_outcome && w_.h.c.poll_every == duration{0}) {
        expect("report", r, pipe_.report(r.handle).status().code(),
               {kFailedPrecondition, kOk, kNotFound});
        expect("compute_done", r, pipe_.compute_done(request_handle{}).code(),
               {w_.h.c.library_computes ? kFailedPrecondition : kNotFound});
    }
    std::vector<slot_id> too_few(1, 0);
    if (!w_.h.c.library_owned && !r.gone && w_.h.c.groups.size() * r.per_group > 1) {
        expect("bind", r, pipe_.bind(r.handle, too_few).code(), {kInvalidArgument, kNotFound});
    }
    std::vector<request_handle> all{wrong, r.handle, old};
    for (const watched& o : check_.requests()) {
        all.push_back(o.handle);
    }
    pipe_.sort_by_rank(all);
    static_cast<void>(pipe_.metrics_text());
}

void engine::close() {
    closing_ = true;
    pipe_.begin_close();
    pipe_.begin_close();
    for (watched& r : check_.requests()) {
        if (!r.computing) {
            check_.unclaim(r);
        }
        r.ended_early = r.ended_early || !r.has_outcome;
    }
}

void engine::drain() {
    draining_ = true;
    want_pages_.erase(std::remove_if(want_pages_.begin(), want_pages_.end(),
                                     [this](std::uint32_t n) {
                                         return check_.request(n).plan->bind == bind_when::never;
                                     }),
                      want_pages_.end());
    for (watched& r : check_.requests()) {
        if (r.accepted && !r.has_outcome && !r.bound && r.plan->bind == bind_when::never &&
            !w_.h.c.library_owned) {
            cancel(r);
        }
    }
}

bool engine::owes_nothing() {
    return promises_ == 0 && std::ranges::none_of(check_.requests(), [](const watched& r) {
               return r.accepted && !r.gone &&
                      ((r.wanted && !r.bound && !r.has_outcome) || (r.good() && !r.released));
           });
}

bool engine::all_gone() {
    check_gone();
    return std::ranges::all_of(check_.requests(),
                               [](const watched& r) { return !r.accepted || r.gone; });
}

void engine::check_gone() {
    for (watched& r : check_.requests()) {
        if (r.accepted && !r.gone && (r.released || r.ended_early || r.has_outcome) &&
            pipe_.report(r.handle).status().code() == absl::StatusCode::kNotFound) {
            r.gone = true;
            if (!closing_ &&
                (!r.has_outcome || (r.good() && !r.released) || (r.busy && !r.quiesced))) {
                check_.fail("events", fmt::format("request {} is gone without {}", r.number,
                                                  !r.has_outcome ? "an outcome"
                                                  : r.busy       ? "quiesced"
                                                                 : "having been released"));
            }
            give_pages_back(r);
        }
    }
}

}  // namespace sluice::histories
