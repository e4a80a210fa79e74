// SPDX-License-Identifier: Apache-2.0
#include "order_checks.hpp"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

namespace sluice::histories {

order_checks::order_checks(const history& h, checker& c) : h_(h), c_(c), lines_(h.requests.size()) {
    checks_ = c.faultless() && h.c.has_store && !h.c.split && h.c.groups.size() == 1 &&
              h.c.groups[0].rule == hit_rule::all_blocks;
    for (const request_plan& r : h.requests) {
        checks_ = checks_ && !r.prewarm;
    }
    fifo_ = h.c.policy == "fifo";
    static constexpr std::string_view prefix = "aging:after=";
    if (h.c.policy.starts_with(prefix)) {
        aging_ = from_seconds(std::strtod(h.c.policy.c_str() + prefix.size(), nullptr));
    }
    std::map<std::uint64_t, std::uint32_t> names;
    std::uint64_t pages = 0;
    for (const request_plan& r : h.requests) {
        pages += pages_per_group(h.c, r);
        for (const std::uint32_t id : r.ids) {
            ++names[key_value(0, id)];
        }
    }
    plenty_l2_ = h.c.l2_slots >= names.size();
    plenty_l1_ = h.c.library_owned && h.c.groups[0].slots >= pages;
    for (std::uint32_t n = 0; n < lines_.size(); ++n) {
        const watched& r = c_.request(n);
        line& l = lines_[n];
        l.exact = !r.plan->ids.empty() && r.plan->resident == 0;
        for (const std::uint32_t id : r.plan->ids) {
            l.exact = l.exact && names[key_value(0, id)] == 1;
        }
        l.plan = c_.least_prefix(r);
        l.blocks.resize(r.blocks());
        for (std::uint32_t i = 0; i < l.plan; ++i) {
            l.blocks[i].needed = true;
        }
        for (std::uint32_t i = 0; l.exact && i < r.blocks(); ++i) {
            owner_[key_value(0, r.plan->ids[i])] = n;
        }
    }
}

void order_checks::violated(const char* stage, const watched& later, const watched& earlier) {
    c_.fail("order",
            fmt::format("request {} starts a {} although request {}, which goes before it, "
                        "has work there",
                        later.number, stage, earlier.number));
}

bool order_checks::overdue_before(const watched& a, const watched& b) const {
    return aging_ && saturating_add(a.arrival, *aging_) < c_.now() &&
           b.arrival > saturating_add(a.arrival, *aging_);
}

bool order_checks::goes_before(const watched& a, const watched& b) const {
    return overdue_before(a, b) || (fifo_ && a.arrival < b.arrival);
}

bool order_checks::waits_to_fetch(std::uint32_t n) const {
    const line& l = lines_[n];
    return l.exact && l.looked_up_at < c_.now() && is_live(c_.requests_[n]) &&
           std::ranges::any_of(l.blocks, [](const block& b) { return b.needed && !b.fetching; });
}

bool order_checks::waits_to_copy(std::uint32_t n) const {
    const line& l = lines_[n];
    return l.exact && is_live(c_.requests_[n]) &&
           std::ranges::any_of(l.blocks, [this](const block& b) {
               return b.needed && !b.copying && b.landed_at < c_.now();
           });
}

void order_checks::looked_up(std::uint64_t first_key) {
    if (const auto it = owner_.find(first_key); it != owner_.end()) {
        lines_[it->second].looked_up_at = c_.now();
    }
}

void order_checks::get_starts(std::uint64_t key, const std::byte* slot) {
    const auto it = owner_.find(key);
    const std::uint32_t n = it == owner_.end() ? UINT32_MAX : it->second;
    if (checks_) {
        check_steal(n, slot);
    }
    slots_.erase(slot);
    if (!checks_ || n == UINT32_MAX) {
        return;
    }
    const watched& r = c_.request(n);
    line& l = lines_[n];
    for (std::uint32_t other = 0; plenty_l2_ && other < lines_.size(); ++other) {
        const watched& a = c_.request(other);
        if (other == n || !waits_to_fetch(other)) {
            continue;
        }
        // L1 holders go before those that are not, but for the overdue; so under fifo only the
        // first fetch is compared, of one whose pages have not been bound yet.
        if (overdue_before(a, r) || (!l.fetched_any && !r.bound && goes_before(a, r)) ||
            (!aging_ && !h_.c.library_owned && a.bound && a.wanted && a.bound_at < c_.now() &&
             !r.bound && h_.c.reservation == reservation_mode::proactive && !fifo_ &&
             h_.c.policy.find("aging") == std::string::npos &&
             h_.c.policy.find("overdue=on") == std::string::npos)) {
            violated("fetch", r, a);
        }
    }
    l.fetched_any = true;
    const auto at = std::ranges::find(r.plan->ids, id_of(key)) - r.plan->ids.begin();
    l.blocks[static_cast<std::size_t>(at)].fetching = true;
}

// The slot may hold a block that a request still waits for: only a better one, or one that has its
// L1 pages, may take it, and never from a request that has its own.
void order_checks::check_steal(std::uint32_t taker, const std::byte* slot) {
    const auto held = slots_.find(slot);
    if (held == slots_.end()) {
        return;
    }
    const auto it = owner_.find(held->second);
    if (it == owner_.end()) {
        return;
    }
    const watched& victim = c_.request(it->second);
    line& l = lines_[it->second];
    const auto at = static_cast<std::size_t>(
        std::ranges::find(victim.plan->ids, id_of(held->second)) - victim.plan->ids.begin());
    block& b = l.blocks[at];
    if (!is_live(victim) || !b.needed || b.copied) {
        return;
    }
    const auto stolen = [&](const char* why) {
        c_.fail("steal",
                fmt::format("the L2 slot of key {}, for which request {} waits, is given to "
                            "request {}: {}",
                            held->second, victim.number,
                            taker == UINT32_MAX ? "?" : std::to_string(taker), why));
    };
    if (taker == victim.number) {
        stolen("that is itself");
    }
    const bool copies_begun =
        std::ranges::any_of(l.blocks, [](const block& other) { return other.copying; });
    if (copies_begun ||
        (!h_.c.library_owned && victim.bound && victim.wanted && victim.bound_at < c_.now())) {
        stolen("the first has its L1 pages");
    }
    if (taker != UINT32_MAX && fifo_ && !h_.c.library_owned && !c_.request(taker).bound &&
        victim.arrival < c_.request(taker).arrival) {
        stolen("the first goes before it");
    }
    b.fetching = false;  // it is fetched again
    b.landed_at = never;
}

void order_checks::landed(std::uint64_t key, const std::byte* slot) {
    slots_[slot] = key;
    if (const auto it = owner_.find(key); it != owner_.end()) {
        const watched& r = c_.request(it->second);
        const auto at = std::ranges::find(r.plan->ids, id_of(key)) - r.plan->ids.begin();
        lines_[it->second].blocks[static_cast<std::size_t>(at)].landed_at = c_.now();
    }
}

void order_checks::copy_starts(std::uint64_t key) {
    const auto it = owner_.find(key);
    if (!checks_ || it == owner_.end()) {
        return;
    }
    const watched& r = c_.request(it->second);
    const bool at_once = plenty_l1_ && plenty_l2_ && h_.c.stages == 0 &&
                         h_.c.reservation == reservation_mode::proactive;
    for (std::uint32_t other = 0; at_once && other < lines_.size(); ++other) {
        if (other != it->second && waits_to_copy(other) && goes_before(c_.request(other), r)) {
            violated("copy", r, c_.request(other));
        }
    }
    const auto at = std::ranges::find(r.plan->ids, id_of(key)) - r.plan->ids.begin();
    lines_[it->second].blocks[static_cast<std::size_t>(at)].copying = true;
}

void order_checks::copy_ended(std::uint64_t key) {
    if (const auto it = owner_.find(key); it != owner_.end()) {
        const watched& r = c_.request(it->second);
        const auto at = std::ranges::find(r.plan->ids, id_of(key)) - r.plan->ids.begin();
        lines_[it->second].blocks[static_cast<std::size_t>(at)].copied = true;
    }
}

void order_checks::compute_starts(const watched& r) {
    lines_[r.number].compute_started = true;
    for (const watched& a : c_.requests()) {
        if (checks_ && h_.c.poll_every == duration{0} && a.loaded_at < c_.now() &&
            !lines_[a.number].compute_started && is_live(a) && goes_before(a, r)) {
            violated("computation", r, a);
        }
    }
}

// Reservations are granted in the order of ranks: under fifo nobody overtakes one that waits.
void order_checks::at_end(const pipeline_stats& s) {
    if (!checks_ || !fifo_ || !h_.c.library_owned || s.revocations > 0 ||
        h_.c.reservation != reservation_mode::proactive) {
        return;
    }
    for (const watched& a : c_.requests()) {
        for (const watched& b : c_.requests()) {
            if (a.has_report && b.has_report && a.good() && a.arrival < b.arrival &&
                a.report.first_fetch < b.report.granted && b.report.granted < a.report.granted) {
                c_.fail("grant-order", fmt::format("request {} was granted L1 before request {}, "
                                                   "which arrived before it and waited already",
                                                   b.number, a.number));
            }
        }
    }
}

}  // namespace sluice::histories
