// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/unit_visit.hpp>

#include <algorithm>

namespace sluice::demand {

unit_visit visit_of(const unit_record& unit) noexcept {
    unit_visit out;
    out.calls = static_cast<std::uint32_t>(unit.calls.size());
    for (const call_record& c : unit.calls) {
        out.prompt_tokens += c.prompt_tokens;
        out.cached_tokens += c.cached_tokens;
        out.completion_tokens += c.completion_tokens;
        out.seconds += c.seconds;
        out.max_prompt_tokens = std::max<std::uint64_t>(out.max_prompt_tokens, c.prompt_tokens);
        out.max_cached_tokens = std::max<std::uint64_t>(out.max_cached_tokens, c.cached_tokens);
        out.max_completion_tokens =
            std::max<std::uint64_t>(out.max_completion_tokens, c.completion_tokens);
        out.max_seconds = std::max(out.max_seconds, c.seconds);
    }
    return out;
}

namespace {

double seconds_of(const service_rates& rates, std::uint64_t prompt, std::uint64_t cached,
                  std::uint64_t completion, double seconds) noexcept {
    const std::uint64_t computed = prompt > cached ? prompt - cached : 0;
    return rates.load_s_per_token * static_cast<double>(cached) +
           rates.prefill_s_per_token * static_cast<double>(computed) +
           rates.decode_s_per_token * static_cast<double>(completion) + seconds;
}

}  // namespace

double service_seconds(const unit_visit& visit, const service_rates& rates) noexcept {
    return seconds_of(rates, visit.prompt_tokens, visit.cached_tokens, visit.completion_tokens,
                      visit.seconds);
}

double path_seconds(const unit_visit& visit, const service_rates& rates) noexcept {
    return seconds_of(rates, visit.max_prompt_tokens, visit.max_cached_tokens,
                      visit.max_completion_tokens, visit.max_seconds);
}

double service_seconds(const run_record& run, const service_rates& rates) noexcept {
    double sum = 0;
    for (const unit_record& unit : run.units) {
        sum += service_seconds(visit_of(unit), rates);
    }
    return sum;
}

double path_seconds(const run_record& run, const service_rates& rates) noexcept {
    double sum = 0;
    for (const unit_record& unit : run.units) {
        sum += path_seconds(visit_of(unit), rates);
    }
    return sum;
}

}  // namespace sluice::demand
