// SPDX-License-Identifier: Apache-2.0
// Memory: who may touch what, and what must be in it.
#include "checker.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace sluice::histories {
namespace {

// What a request writes into the pages behind its named blocks.
std::uint64_t private_key(const watched& r, std::size_t n) {
    return (std::uint64_t{1} << 40) + (std::uint64_t{r.number} << 20) + n;
}

}  // namespace

checker::checker(const history& h, const agenda& clock, l1_memory& l1)
    : h_(h), clock_(clock), l1_(l1), requests_(h.requests.size()) {
    for (std::uint32_t n = 0; n < requests_.size(); ++n) {
        requests_[n].plan = &h.requests[n];
        requests_[n].number = n;
        requests_[n].per_group = pages_per_group(h.c, h.requests[n]);
    }
    for (const group_config& g : h.c.groups) {
        claims_.emplace_back(g.slots);
        page_owners_.emplace_back(g.slots, nullptr);
    }
    bool timeouts = h.c.load_timeout > duration{0} || h.c.hard_timeout < std::chrono::seconds(50);
    bool losses = !h.faults.empty();
    for (const action& a : h.actions) {
        losses |= a.kind == action_kind::forget || a.kind == action_kind::remember;
    }
    for (const request_plan& r : h.requests) {
        timeouts |= r.load_timeout > duration{0};
        losses |= r.hole;
    }
    if (h.c.simulated) {
        timeouts |= h.c.simulated->link.soft_timeout < std::chrono::seconds(50);
        for (const sim::node_options& n : h.c.simulated->network.nodes) {
            losses |= n.loss > 0 || std::ranges::any_of(n.events, [](const sim::node_event& e) {
                          return e.what == sim::node_change::die;
                      });
        }
    }
    faultless_ = !timeouts && !losses;
}

void checker::fail(std::string_view check, std::string what) {
    if (check_.empty()) {
        check_ = check;
        what_ = fmt::format("at {:.3f} us: {}",
                            static_cast<double>(now().time_since_epoch().count()) / 1e3, what);
    }
}

void checker::trace(const std::string& what) const {
    if (h_.trace) {
        fmt::print(stderr, "{:>14.3f}  {}\n",
                   static_cast<double>(now().time_since_epoch().count()) / 1e3, what);
    }
}

bool checker::needed(std::size_t g, std::uint32_t i, std::uint32_t k) const {
    const group_config& group = h_.c.groups[g];
    return i < k && (group.rule == hit_rule::all_blocks || i + group.last_n >= k);
}

std::uint32_t checker::most_blocks(const watched& r) const {
    const std::uint64_t tokens = prompt_tokens(h_.c, *r.plan);
    const std::uint64_t loadable = r.plan->prewarm ? r.blocks()
                                   : tokens > r.plan->min_query
                                       ? (tokens - r.plan->min_query) / h_.c.block_tokens
                                       : 0;
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>({r.blocks(), r.plan->max_load, loadable}));
}

std::uint32_t checker::least_prefix(const watched& r) const {
    const auto stored = [&](std::size_t g, std::uint32_t i) {
        const std::uint64_t key = key_value(static_cast<std::uint32_t>(g), r.plan->ids[i]);
        return i < r.plan->resident ||
               (h_.c.has_store && std::ranges::find(h_.c.stored, key) != h_.c.stored.end());
    };
    for (std::uint32_t k = most_blocks(r); k > 0; --k) {
        bool whole = true;
        for (std::size_t g = 0; g < h_.c.groups.size() && whole; ++g) {
            for (std::uint32_t i = 0; i < k && whole; ++i) {
                whole = !needed(g, i, k) || stored(g, i);
            }
        }
        if (whole) {
            return k;
        }
    }
    return 0;
}

// ---- transfers

void checker::l2_is(std::span<std::byte> memory) noexcept {
    l2_ = memory;
    l2_stride_ = round_up(l1_.form().max_block_bytes(), 64);
}

std::uint32_t checker::begins(transfer t) {
    t.began = now();
    t.in_flight = true;
    if (t.l2 != nullptr) {
        const auto offset = static_cast<std::uint64_t>(t.l2 - l2_.data());
        if (t.l2 < l2_.data() || offset % l2_stride_ != 0 ||
            offset + l2_stride_ > h_.c.l2_slots * l2_stride_) {
            fail("l2-address", fmt::format("{} of key {} is not at a slot", name_of(t.at), t.key));
        }
    }
    for (const transfer& other : transfers_) {
        if (other.in_flight) {
            check_overlap(t, other);
        }
    }
    if (t.writes_page) {
        check_page_write(t);
    }
    check_flight(t);
    check_limits(t);
    trace(fmt::format(
        "{} of key {} starts, L2 slot {}, page {}", name_of(t.at), t.key,
        t.l2 == nullptr ? -1 : (t.l2 - l2_.data()) / static_cast<std::ptrdiff_t>(l2_stride_),
        static_cast<std::int32_t>(t.page)));
    ++in_flight_;
    if (free_tickets_.empty()) {
        transfers_.push_back(t);
        return static_cast<std::uint32_t>(transfers_.size() - 1);
    }
    const std::uint32_t ticket = free_tickets_.back();
    free_tickets_.pop_back();
    transfers_[ticket] = t;
    return ticket;
}

void checker::ends(std::uint32_t ticket, absl::StatusCode code, std::uint64_t bytes) {
    transfer& t = transfers_[ticket];
    trace(fmt::format("{} of key {} ends {}", name_of(t.at), t.key, static_cast<int>(code)));
    t.in_flight = false;
    --in_flight_;
    free_tickets_.push_back(ticket);
    seam_counts& c = counts_[static_cast<std::size_t>(t.at)];
    ++c.operations;
    c.bytes += bytes;
    switch (code) {
    case absl::StatusCode::kOk: ++c.ok; break;
    case absl::StatusCode::kNotFound: ++c.missed; break;
    case absl::StatusCode::kDataLoss: ++c.corrupt; break;
    default: ++c.failed; break;
    }
}

void checker::check_overlap(const transfer& a, const transfer& b) {
    if (a.l2 != nullptr && a.l2 == b.l2 && (a.writes_l2 || b.writes_l2)) {
        fail("l2-overlap",
             fmt::format("{} of key {} starts on the L2 slot that {} of key {} still uses",
                         name_of(a.at), a.key, name_of(b.at), b.key));
    }
    if (a.page != no_slot && a.page == b.page && a.group == b.group &&
        (a.writes_page || b.writes_page)) {
        fail("l1-overlap",
             fmt::format("{} of key {} starts on page {} of group {} that {} of key {} still uses",
                         name_of(a.at), a.key, a.page, a.group, name_of(b.at), b.key));
    }
}

void checker::check_page_write(const transfer& t) {
    for (const claim_of& c : claims_[t.group][t.page]) {
        fail("l1-claimed",
             fmt::format("{} of key {} into page {} of group {}, which request {} has",
                         name_of(t.at), t.key, t.page, t.group, c.request));
    }
    if (h_.c.library_owned) {
        return;
    }
    const watched* const owner = page_owner(t.group, t.page);
    if (owner == nullptr || !owner->bound || owner->has_outcome) {
        fail("l1-not-bound",
             fmt::format(
                 "{} of key {} into page {} of group {}, {}", name_of(t.at), t.key, t.page, t.group,
                 owner == nullptr ? "which nobody has bound" : "after the request's outcome"));
    }
}

// A fetch that is overdue counts for nothing any more.
bool checker::is_overdue(const transfer& t) const {
    const duration patience =
        h_.c.soft_timeout > duration{0}
            ? std::min(h_.c.soft_timeout, h_.c.hard_timeout)
            : std::min<duration>(std::chrono::milliseconds(250), h_.c.hard_timeout);
    return t.at == seam::get && now() - t.began >= patience;
}

void checker::check_flight(const transfer& t) {
    if (t.at != seam::get && (t.at != seam::copy_in || !h_.c.library_owned)) {
        return;
    }
    for (const transfer& other : transfers_) {
        if (other.in_flight && other.at == t.at && other.key == t.key && !is_overdue(other)) {
            fail("single-flight",
                 fmt::format("a second {} of key {} while one is under way", name_of(t.at), t.key));
        }
    }
}

void checker::check_limits(const transfer& t) {
    if (t.at == seam::lookup || t.at == seam::compute || t.at == seam::stage) {
        return;
    }
    const stage_limits& limits = t.at == seam::get       ? h_.c.fetch
                                 : t.at == seam::copy_in ? h_.c.copy
                                                         : h_.c.write_back;
    std::uint32_t operations = 0;
    std::uint64_t bytes = 0;
    for (const transfer& other : transfers_) {
        if (other.in_flight && other.at == t.at && !is_overdue(other)) {
            ++operations;
            bytes += l1_.form().block_bytes(group_of(other.key));
        }
    }
    if (operations > 0 && (operations >= limits.operations || bytes >= limits.bytes)) {
        fail("limits", fmt::format("a {} starts beside {} others of {} bytes", name_of(t.at),
                                   operations, bytes));
    }
}

// ---- pages

void checker::claim(watched& r) {
    if (std::exchange(r.claimed, true)) {
        return;
    }
    const std::uint32_t per_group = r.per_group;
    for (std::uint32_t n = 0; n < r.pages.size(); ++n) {
        const std::uint32_t g = n / per_group;
        const std::uint32_t i = n % per_group;
        if (r.pages[n] == no_slot) {
            continue;
        }
        const bool shared = h_.c.library_owned && i < r.k;
        const claim_of mine{r.number, shared ? key_value(g, r.plan->ids[i]) : 0};
        for (const claim_of& other : claims_[g][r.pages[n]]) {
            if (mine.key == 0 || mine.key != other.key) {
                fail("page-given-twice",
                     fmt::format("page {} of group {} is given to request {} for key {}, and "
                                 "request {} has it for key {}",
                                 r.pages[n], g, r.number, mine.key, other.request, other.key));
            }
        }
        claims_[g][r.pages[n]].push_back(mine);
    }
    for (const transfer& t : transfers_) {
        for (const claim_of& c :
             t.in_flight&& t.writes_page ? claims_[t.group][t.page] : std::vector<claim_of>{}) {
            if (c.request == r.number && !r.busy) {
                fail("l1-claimed", fmt::format("request {} is given page {} of group {}, which a "
                                               "copy of key {} still writes",
                                               r.number, t.page, t.group, t.key));
            }
        }
    }
}

void checker::unclaim(watched& r) {
    if (!std::exchange(r.claimed, false)) {
        return;
    }
    for (auto& group : claims_) {
        for (auto& page : group) {
            std::erase_if(page, [&](const claim_of& c) { return c.request == r.number; });
        }
    }
}

watched* checker::page_owner(std::uint32_t group, slot_id page) const noexcept {
    return page_owners_[group][page];
}

void checker::give_page(std::uint32_t group, slot_id page, watched* to) noexcept {
    page_owners_[group][page] = to;
}

void checker::check_prefix(const watched& r, std::uint32_t k, const char* when) {
    if (k > most_blocks(r)) {
        fail("k-too-large", fmt::format("request {} {} with {} blocks, at most {} may be loaded",
                                        r.number, when, k, most_blocks(r)));
        return;
    }
    for (std::uint32_t g = 0; g < h_.c.groups.size(); ++g) {
        for (std::uint32_t i = r.plan->resident; i < k; ++i) {
            if (!needed(g, i, k)) {
                continue;
            }
            const std::uint64_t key = key_value(g, r.plan->ids[i]);
            const slot_id page = r.pages.empty() ? no_slot : r.pages[g * r.per_group + i];
            if (page == no_slot || !l1_.holds(g, page, key)) {
                fail("wrong-bytes",
                     fmt::format(
                         "request {} {} with {} blocks, but block {} of group {} (key {}) is "
                         "not in its page {}, which claims to hold key {}",
                         r.number, when, k, i, g, key,
                         page == no_slot ? std::string("(none)") : std::to_string(page),
                         page == no_slot ? 0 : l1_.claims(g, page)));
            }
        }
    }
}

void checker::compute_pages(watched& r, std::uint32_t k) {
    r.computed = true;
    for (std::uint32_t n = 0; n < r.pages.size(); ++n) {
        const std::uint32_t g = n / r.per_group;
        const std::uint32_t i = n % r.per_group;
        if (r.pages[n] == no_slot) {
            if (h_.c.library_owned && i >= k) {
                fail("no-page", fmt::format("request {} has no page {} of group {} to compute into",
                                            r.number, i, g));
            }
            continue;
        }
        if (i < k || (i < r.blocks() && i < r.plan->resident)) {
            continue;
        }
        l1_.fill(g, r.pages[n], i < r.blocks() ? key_value(g, r.plan->ids[i]) : private_key(r, n));
        for (claim_of& c : claims_[g][r.pages[n]]) {
            if (c.request == r.number && h_.c.library_owned && i < r.blocks()) {
                c.key = key_value(g, r.plan->ids[i]);  // may be shared from now on
            }
        }
    }
}

void checker::check_computed(const watched& r, const char* when) {
    if (!r.computed) {
        return;
    }
    for (std::uint32_t n = 0; n < r.pages.size(); ++n) {
        const std::uint32_t g = n / r.per_group;
        const std::uint32_t i = n % r.per_group;
        if (r.pages[n] == no_slot || i < r.k || (i < r.blocks() && i < r.plan->resident)) {
            continue;
        }
        const std::uint64_t key = i < r.blocks() ? key_value(g, r.plan->ids[i]) : private_key(r, n);
        if (!l1_.holds(g, r.pages[n], key)) {
            fail("overwritten", fmt::format("request {} {}: page {} of group {}, in which it had "
                                            "computed block {}, was written by somebody else",
                                            r.number, when, r.pages[n], g, i));
        }
    }
}

}  // namespace sluice::histories
