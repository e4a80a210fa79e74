// SPDX-License-Identifier: Apache-2.0
#include "metrics_text.hpp"

#include <algorithm>

#include <sluice/demand/app_tracker.hpp>
#include <sluice/observe/metrics.hpp>

namespace sluice {

namespace {

// Writes a snapshot: the hot path keeps its own counters, and a scrape pays for the text.
class snapshot {
 public:
    void total(std::string_view name, std::string_view help, std::uint64_t value,
               metric_labels labels = {}) {
        if (auto c = registry_.add_counter(name, help, std::move(labels)); c.ok()) {
            (*c)->add(value);
        }
    }
    void total_seconds(std::string_view name, std::string_view help, double seconds,
                       metric_labels labels = {}) {
        constexpr double micro = 1e-6;  // totals are kept as integers
        constexpr double most = 1e13;   // what they hold, also of many slots for years
        if (auto c = registry_.add_counter(name, help, std::move(labels), micro); c.ok()) {
            (*c)->add(static_cast<std::uint64_t>(std::clamp(seconds, 0.0, most) / micro + 0.5));
        }
    }
    void level(std::string_view name, std::string_view help, double value,
               metric_labels labels = {}) {
        if (auto g = registry_.add_gauge(name, help, std::move(labels)); g.ok()) {
            (*g)->set(value);
        }
    }
    [[nodiscard]] std::string text() const { return registry_.text(); }

 private:
    metrics_registry registry_;
};

double number(std::uint64_t n) { return static_cast<double>(n); }

void write_applications(snapshot& out, const demand::app_tracker_stats& s) {
    out.level("sluice_applications_live", "Applications begun and not ended.", number(s.live));
    out.total("sluice_applications_total", "Applications begun.", s.begun);
    out.total("sluice_application_runs_learned_total", "Runs that became samples of their class.",
              s.learned);
    out.total("sluice_application_refreshes_total", "Times that a rank was worked out.",
              s.refreshed);
    out.total("sluice_application_ranks_total", "Ranks that changed and went to requests.",
              s.ranked);
    const std::pair<const char*, std::uint64_t> refused[] = {{"unknown", s.refused_unknown},
                                                             {"order", s.refused_order},
                                                             {"value", s.refused_value},
                                                             {"full", s.refused_full}};
    for (const auto& [why, n] : refused) {
        out.total("sluice_application_events_refused_total",
                  "Events of applications that cannot be.", n, {{"why", why}});
    }
    const std::pair<const char*, std::uint64_t> fallbacks[] = {{"unknown_class", s.unknown_class},
                                                               {"irregular", s.irregular},
                                                               {"unconditioned", s.unconditioned}};
    for (const auto& [why, n] : fallbacks) {
        out.total("sluice_application_fallbacks_total",
                  "Times that less was known of an application than could be.", n, {{"why", why}});
    }
}

}  // namespace

std::string detail::metrics_text(const pipeline_stats& s, const demand::app_tracker* applications) {
    snapshot out;
    out.total("sluice_requests_submitted_total", "Requests submitted.", s.submitted);
    out.total("sluice_requests_ended_total", "Requests that have had their outcome.", s.outcomes);
    out.total("sluice_requests_prewarm_total", "Requests that only prewarm, and have ended.",
              s.prewarm_requests);
    out.level("sluice_requests_live", "Requests submitted and not released.",
              number(s.live_requests));
    const std::pair<const char*, const stage_counters*> stages[] = {
        {"fetch", &s.fetch},       {"copy", &s.copy}, {"compute", &s.compute},
        {"copy_out", &s.copy_out}, {"put", &s.put},   {"inbound", &s.inbound}};
    for (const auto& [name, c] : stages) {
        out.total("sluice_stage_operations_total", "Operations that have ended.", c->operations,
                  {{"stage", name}});
        const bool moves = c != &s.compute;
        out.total("sluice_stage_bytes_total", "Bytes moved.", moves ? c->bytes : 0,
                  {{"stage", name}});
        out.total_seconds("sluice_stage_busy_seconds_total",
                          "Time with at least one operation in flight.", to_seconds(c->busy),
                          {{"stage", name}});
    }
    const std::pair<const char*, double> errors[] = {{"fetch", s.relative_error.fetch},
                                                     {"copy", s.relative_error.copy},
                                                     {"compute", s.relative_error.compute}};
    for (const auto& [name, e] : errors) {
        out.level("sluice_prediction_relative_error",
                  "Running mean of |predicted - actual| / actual.", e, {{"stage", name}});
    }
    out.total("sluice_bytes_deduplicated_total",
              "Bytes that came by a transfer which another request had started.",
              s.bytes_deduplicated);
    const std::pair<const char*, std::uint64_t> blocks[] = {
        {"l1_hit", s.l1_hits},           {"l2_hit", s.l2_hits},
        {"verified", s.blocks_verified}, {"missed", s.blocks_missed},
        {"corrupt", s.blocks_corrupt},   {"failed", s.blocks_failed},
        {"stored", s.stored_blocks},     {"store_dropped", s.store_drops},
        {"l1_evicted", s.l1_evictions},  {"l2_evicted", s.l2_evictions},
        {"l2_stolen", s.l2_steals},      {"prewarmed", s.prewarmed_blocks}};
    for (const auto& [what, n] : blocks) {
        out.total("sluice_blocks_total", "Blocks by what became of them.", n, {{"what", what}});
    }
    out.total("sluice_timeouts_total", "Timeouts.", s.soft_timeouts, {{"kind", "soft"}});
    out.total("sluice_timeouts_total", "Timeouts.", s.hard_timeouts, {{"kind", "hard"}});
    out.total("sluice_revocations_total", "L1 reservations taken back for a better request.",
              s.revocations);
    out.total("sluice_faults_total", "Ranks or predictions that were not usable numbers.",
              s.policy_faults, {{"of", "policy"}});
    out.total("sluice_faults_total", "Ranks or predictions that were not usable numbers.",
              s.cost_faults, {{"of", "cost_model"}});
    out.total_seconds("sluice_l1_idle_slot_seconds_total",
                      "Slot-seconds of L1 held before the holder's first copy.",
                      s.l1_idle_slot_seconds);
    const std::pair<const char*, std::uint32_t> l2[] = {{"free", s.l2_free},
                                                        {"cold", s.l2_cold},
                                                        {"quarantined", s.l2_quarantined},
                                                        {"all", s.l2_slots}};
    for (const auto& [state, n] : l2) {
        out.level("sluice_l2_slots", "Slots of L2 by state.", number(n), {{"state", state}});
    }
    const std::pair<const char*, std::uint32_t> l1[] = {
        {"free", s.l1_free}, {"cold", s.l1_cold}, {"quarantined", s.l1_quarantined}};
    for (const auto& [state, n] : l1) {
        out.level("sluice_l1_slots", "Slots of library-owned L1 by state.", number(n),
                  {{"state", state}});
    }
    out.level("sluice_store_dead", "1 if the store is not asked any more.", s.store_dead ? 1 : 0);
    if (applications != nullptr) {
        write_applications(out, applications->stats());
    }
    return out.text();
}

}  // namespace sluice
