// SPDX-License-Identifier: Apache-2.0
#include "applications.hpp"

#include <cmath>

#include <fmt/format.h>

namespace sluice::histories {

void applications::expect(const char* what, const absl::Status& got, absl::StatusCode code) {
    refused_ += code == absl::StatusCode::kOk ? 0 : 1;
    if (got.code() != code) {
        check_.fail("applications",
                    fmt::format("{} says {}, not {}", what, static_cast<int>(got.code()),
                                static_cast<int>(code)));
    }
}

void applications::happens(const app_event& e) {
    using enum absl::StatusCode;
    known& k = known_[e.app];
    const auto unless = [&](bool possible) {
        return !k.live ? kNotFound : possible ? kOk : kFailedPrecondition;
    };
    switch (e.verb) {
    case app_verb::begin: {
        demand::app_spec spec;
        spec.application = e.app % 2 == 0 ? "even" : "odd";
        spec.tenant = e.app;
        spec.deadline =
            e.value % 3 == 0 ? check_.now() + duration{std::int64_t{e.value} * 100'000} : never;
        const auto made = tracker_.begin(spec);
        expect("begin", made.status(), kOk);
        if (made.ok()) {
            k = {};
            k.handle = *made;
            k.live = true;
            ++begun_;
        }
        break;
    }
    case app_verb::begin_unit: {
        demand::unit_begin unit;
        unit.unit = e.value % 2 == 0 ? "think" : "write";
        unit.prompt_tokens = e.value;
        const absl::StatusCode code = unless(!k.open);
        expect("begin_unit", tracker_.begin_unit(k.handle, unit), code);
        if (code == kOk) {
            k.open = true;
            k.prompt = e.value;
            k.so_far = 0;
        }
        break;
    }
    case app_verb::progress: {
        absl::StatusCode code = unless(k.open);
        if (code == kOk && e.value < k.so_far) {
            code = kInvalidArgument;
        }
        demand::unit_progress so_far;
        so_far.completion_tokens = e.value;
        expect("progress", tracker_.progress(k.handle, so_far), code);
        k.so_far = code == kOk ? e.value : k.so_far;
        break;
    }
    case app_verb::end_unit: {
        const absl::StatusCode code = unless(k.open);
        demand::unit_end unit;
        unit.completion_tokens = e.value;
        expect("end_unit", tracker_.end_unit(k.handle, unit), code);
        if (code == kOk) {
            const demand::service_rates rates;
            k.service_s += rates.prefill_s_per_token * static_cast<double>(k.prompt) +
                           rates.decode_s_per_token * static_cast<double>(e.value);
            k.open = false;
            k.so_far = 0;
        }
        break;
    }
    default:
        expect("end", tracker_.end(k.handle, e.verb == app_verb::end), unless(true));
        ended_ += k.live ? 1 : 0;
        k.live = false;
        break;
    }
}

void applications::check_at_end() {
    const demand::app_tracker_stats s = tracker_.stats();
    const std::uint64_t refused =
        s.refused_unknown + s.refused_order + s.refused_value + s.refused_full;
    if (s.begun != begun_ || s.ended != ended_ || s.live != begun_ - ended_ ||
        refused != refused_) {
        check_.fail(
            "applications",
            fmt::format("{} begun, {} ended, {} live, {} refused; there were {}, {}, {}, {}",
                        s.begun, s.ended, s.live, refused, begun_, ended_, begun_ - ended_,
                        refused_));
    }
    const bool by_service = check_.of().c.policy == "las" || check_.of().c.policy == "fair(las)";
    for (const known& k : known_) {
        if (!k.live) {
            continue;
        }
        const auto rank = tracker_.rank(k.handle);
        const double expected = k.service_s + demand::service_rates{}.decode_s_per_token *
                                                  static_cast<double>(k.so_far);
        if (!rank.ok() || !std::isfinite(rank->value) ||
            (by_service && std::abs(rank->value - expected) > 1e-9)) {
            check_.fail("applications", "a live application is not ranked by what was reported");
        }
    }
}

}  // namespace sluice::histories
