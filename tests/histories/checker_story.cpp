// SPDX-License-Identifier: Apache-2.0
// Requests and counters: what is told of them must be possible, and add up.
#include <fmt/format.h>

#include "checker.hpp"

namespace sluice::histories {
namespace {

const char* name_of(event_kind k) {
    static const char* const names[] = {"want_pages", "loaded", "ready",    "detached", "computed",
                                        "cancelled",  "failed", "quiesced", "stored"};
    return names[static_cast<std::size_t>(k)];
}

std::string time_text(time_point t) {
    return t == never
               ? "never"
               : fmt::format("{:.3f}", static_cast<double>(t.time_since_epoch().count()) / 1e3);
}

}  // namespace

void checker::saw(watched& r, const request_event& e) {
    const auto wrong = [&](const char* why) {
        fail("events", fmt::format("request {} had event {} {}", r.number, name_of(e.kind), why));
    };
    trace(fmt::format("request {}: {}({}){}", r.number, name_of(e.kind), e.blocks,
                      e.busy ? " busy" : ""));
    if (e.request != r.handle) {
        wrong("under another handle");
    }
    if (r.gone) {
        wrong("after its handle became stale");
    }
    const bool after = e.kind == event_kind::quiesced || e.kind == event_kind::stored;
    if (r.has_outcome && !after) {
        wrong("after its outcome");
    }
    if (!r.has_outcome && after) {
        wrong("before its outcome");
    }
    const bool driven = h_.c.library_computes;
    const auto once = [&](bool& seen) {
        if (std::exchange(seen, true)) {
            wrong("a second time");
        }
    };
    switch (e.kind) {
    case event_kind::want_pages:
        once(r.wanted);
        if (h_.c.library_owned || r.plan->prewarm) {
            wrong("though the library owns L1");
        }
        return;
    case event_kind::loaded:
        once(r.loaded);
        r.loaded_at = now();
        if (!driven) {
            wrong("though the engine drives compute");
        }
        return;
    case event_kind::quiesced:
        once(r.quiesced);
        if (!r.busy) {
            wrong("though it was not busy");
        }
        return;
    case event_kind::stored:
        once(r.stored);
        if (!r.good() || !r.plan->write_back || e.blocks > h_.c.groups.size() * r.blocks()) {
            wrong("though so much was not to be stored");
        }
        return;
    default: break;
    }
    once(r.has_outcome);
    r.outcome = e.kind;
    r.busy = e.busy;
    if ((e.kind == event_kind::failed) == e.status.ok()) {
        wrong("with a status that does not fit");
    }
    const bool by_engine = e.kind == event_kind::ready || e.kind == event_kind::detached;
    if (driven && !r.plan->prewarm ? by_engine : e.kind == event_kind::computed) {
        wrong("though the other side drives compute");
    }
    if (driven && e.kind == event_kind::computed && !r.loaded) {
        wrong("without having been loaded");
    }
    if (e.kind == event_kind::cancelled && !r.ended_early) {
        wrong("though nobody cancelled it");
    }
    if (e.kind == event_kind::failed && faultless_) {
        wrong("though nothing was to fail");
    }
    if (e.kind == event_kind::detached && faultless_) {
        wrong("though there was no timeout");
    }
    if (r.good()) {
        if (driven && !r.plan->prewarm && e.blocks != r.k) {
            wrong("with another number of blocks than the compute job");
        }
        r.k = e.blocks;
        // One that prewarms may find no memory in L2, or give it to what is written back.
        const bool has_all = !r.plan->prewarm;
        if (faultless_ && !h_.c.split && has_all && r.k < least_prefix(r)) {
            fail("k-too-small", fmt::format("request {} ends {} with {} blocks, but {} are cached",
                                            r.number, name_of(e.kind), r.k, least_prefix(r)));
        }
    }
    if (!h_.c.library_owned && !r.busy) {
        for (const transfer& t : transfers_) {
            if (t.in_flight && t.writes_page && page_owner(t.group, t.page) == &r) {
                fail("not-quiet", fmt::format("request {} is {} and not busy, but a copy of key {} "
                                              "still writes its page {} of group {}",
                                              r.number, name_of(e.kind), t.key, t.page, t.group));
            }
        }
    }
}

void checker::check_report(const watched& r) {
    const request_report& p = r.report;
    const auto ordered = [&](time_point a, const char* a_name, time_point b, const char* b_name) {
        if (a != never && b != never && a > b) {
            fail("report", fmt::format("request {}: {} at {} us is after {} at {} us", r.number,
                                       a_name, time_text(a), b_name, time_text(b)));
        }
    };
    const auto has = [&](time_point t, const char* name) {
        if (t == never) {
            fail("report", fmt::format("request {}: {} is not reported", r.number, name));
        }
    };
    if (p.arrival != r.arrival) {
        fail("report", fmt::format("request {}: another arrival", r.number));
    }
    ordered(r.submitted_at, "submit", p.looked_up, "looked_up");
    ordered(p.looked_up, "looked_up", p.first_fetch, "first_fetch");
    ordered(p.looked_up, "looked_up", p.granted, "granted");
    ordered(p.granted, "granted", p.loaded, "loaded");
    ordered(p.first_copy, "first_copy", p.loaded, "loaded");
    ordered(p.loaded, "loaded", p.compute_begin, "compute_begin");
    ordered(p.compute_begin, "compute_begin", p.first_token, "first_token");
    ordered(p.loaded, "loaded", p.first_token, "first_token");
    // Else pages may be given anew.
    if (faultless_ && counts(seam::get).missed == 0 && !r.plan->prewarm) {
        ordered(p.granted, "granted", p.first_copy, "first_copy");
        ordered(p.fetched, "fetched", p.loaded, "loaded");
    }
    if (r.good()) {
        has(p.looked_up, "looked_up");
        if (r.outcome != event_kind::detached) {
            if (!r.plan->prewarm) {
                has(p.granted, "granted");
            }
            has(p.loaded, "loaded");
        }
        if (r.outcome == event_kind::computed) {
            has(p.compute_begin, "compute_begin");
            has(p.first_token, "first_token");
        }
        if (p.loaded_blocks != r.k || p.planned_blocks < r.k || p.hit_blocks < p.planned_blocks) {
            fail("report",
                 fmt::format("request {}: hit {} >= planned {} >= loaded {} = {} does not "
                             "hold",
                             r.number, p.hit_blocks, p.planned_blocks, p.loaded_blocks, r.k));
        }
    }
}

void checker::check_counters(const pipeline_stats& s, bool closed) {
    const auto same = [&](const char* name, std::uint64_t told, std::uint64_t seen) {
        if (told != seen) {
            fail("counters", fmt::format("{}: the pipeline counts {}, at the seams there were {}",
                                         name, told, seen));
        }
    };
    const auto stage = [&](const char* name, const stage_counters& told, seam at) {
        const seam_counts& seen = counts(at);
        same(name, told.operations, seen.operations);
        if (at != seam::compute) {
            same(name, told.bytes, seen.bytes);
        }
    };
    stage("fetch", s.fetch, seam::get);
    stage("copy", s.copy, seam::copy_in);
    stage("compute", s.compute, seam::compute);
    stage("copy_out", s.copy_out, seam::copy_out);
    stage("put", s.put, seam::put);
    same("blocks_verified", s.blocks_verified, counts(seam::get).ok);
    seam_counts lost;
    for (const seam at : {seam::get, seam::stage, seam::copy_in, seam::copy_out}) {
        lost.missed += counts(at).missed;
        lost.corrupt += counts(at).corrupt;
        lost.failed += counts(at).failed;
    }
    same("blocks_missed", s.blocks_missed, lost.missed);
    same("blocks_corrupt", s.blocks_corrupt, lost.corrupt);
    same("blocks_failed", s.blocks_failed, lost.failed);
    same("stored_blocks", s.stored_blocks, counts(h_.c.has_store ? seam::put : seam::copy_out).ok);
    const seam_counts& puts = counts(seam::put);
    const seam_counts& outs = counts(seam::copy_out);
    if (s.store_drops < puts.operations - puts.ok + outs.operations - outs.ok) {
        fail("counters",
             fmt::format("store_drops: {} puts and {} copies out failed, {} counted",
                         puts.operations - puts.ok, outs.operations - outs.ok, s.store_drops));
    }
    std::uint64_t accepted = 0;
    std::uint64_t outcomes = 0;
    std::uint64_t fetched = 0;
    std::uint64_t deduplicated = 0;
    bool all_reported = true;
    for (const watched& r : requests_) {
        accepted += r.accepted;
        outcomes += r.has_outcome;
        all_reported &= !r.accepted || r.has_report;
        fetched += r.report.bytes_fetched;
        deduplicated += r.report.bytes_deduplicated;
    }
    same("submitted", s.submitted, accepted);
    same("outcomes", s.outcomes, accepted);
    if (!closed) {
        same("outcomes as events", s.outcomes, outcomes);
    }
    if (fetched > counts(seam::get).bytes || deduplicated > s.bytes_deduplicated ||
        (all_reported && deduplicated < s.bytes_deduplicated)) {
        fail("counters",
             fmt::format("reports: {} bytes fetched and {} deduplicated, in all there "
                         "were {} and {}",
                         fetched, deduplicated, counts(seam::get).bytes, s.bytes_deduplicated));
    }
    // Write-back drops nothing while its share of a plentiful L2 is enough.
    std::uint64_t blocks = 0;
    for (const watched& r : requests_) {
        blocks += r.blocks() * h_.c.groups.size();
    }
    if (faultless_ && !closed && h_.c.write_back_share == 1 && s.l2_slots > blocks &&
        s.store_drops > 0) {
        fail("counters", "a block was not stored for lack of memory, but there is plenty");
    }
    if (s.soft_timeouts == 0 && s.store_dead) {
        fail("store-dead", "the store counts as dead, but nothing was ever late");
    }
    // A block may be missed: what was only in L1 or L2 when it was planned can have been evicted.
    if (faultless_ && !closed && lost.corrupt + lost.failed > 0) {
        fail("harness", "a faultless history has lost a block");
    }
}

void checker::check_all_back(const pipeline_stats& s) {
    std::uint32_t l1_slots = 0;
    for (const group_config& g : h_.c.groups) {
        l1_slots += g.slots;
    }
    if (s.l2_free + s.l2_cold != s.l2_slots || s.l2_quarantined != 0) {
        fail("l2-lost", fmt::format("of {} L2 slots {} are free, {} cold, {} in quarantine",
                                    s.l2_slots, s.l2_free, s.l2_cold, s.l2_quarantined));
    }
    if (h_.c.library_owned && (s.l1_free + s.l1_cold != l1_slots || s.l1_quarantined != 0)) {
        fail("l1-lost", fmt::format("of {} L1 slots {} are free, {} cold, {} in quarantine",
                                    l1_slots, s.l1_free, s.l1_cold, s.l1_quarantined));
    }
    if (in_flight_ != 0) {
        fail("in-flight",
             fmt::format("{} operations are in flight, but no request is live", in_flight_));
    }
    if (s.live_requests != 0) {
        fail("lost", fmt::format("{} requests are live", s.live_requests));
    }
}

std::string checker::dump() const {
    std::string s;
    for (const watched& r : requests_) {
        if (!r.accepted) {
            continue;
        }
        s += fmt::format("  request {}: submitted at {} us{}{}{}{}", r.number,
                         time_text(r.submitted_at), r.wanted ? ", wants pages" : "",
                         r.bound ? ", bound" : "", r.loaded ? ", loaded" : "",
                         r.computing ? ", computing" : "");
        if (r.has_outcome) {
            s += fmt::format(", {}({}){}{}", name_of(r.outcome), r.k, r.busy ? " busy" : "",
                             r.quiesced ? ", quiesced" : "");
        } else {
            s += ", NO OUTCOME";
        }
        s += fmt::format("{}{}{}\n", r.stored ? ", stored" : "", r.released ? ", released" : "",
                         r.gone ? ", gone" : "");
    }
    for (const transfer& t : transfers_) {
        if (t.in_flight) {
            s += fmt::format("  in flight since {} us: {} of key {}\n", time_text(t.began),
                             histories::name_of(t.at), t.key);
        }
    }
    return s;
}

}  // namespace sluice::histories
