// SPDX-License-Identifier: Apache-2.0
#include "profile.hpp"

#include <algorithm>
#include <cmath>

namespace sluice::demand::detail {
namespace {

double part(double x, double of) noexcept { return of > 0 ? x / of : 0; }

std::uint64_t rounded(double x) noexcept {
    return static_cast<std::uint64_t>(std::llround(std::max(x, 0.0)));
}

/// The largest of calls with this sum, if it is so many times the mean.
std::uint64_t peak_of(std::uint64_t sum, double calls, double peak) noexcept {
    const double mean = static_cast<double>(sum) / calls;
    return std::clamp(rounded(mean * peak), rounded(std::ceil(mean)), sum);
}

}  // namespace

quantity_row quantities_of(const unit_visit& visit) noexcept {
    const double calls = std::max(visit.calls, 1u);
    const auto of_sum = [calls](auto sum) { return static_cast<double>(sum) / calls; };
    const auto peak = [&of_sum](auto most, auto sum) {
        return sum > 0 ? static_cast<double>(most) / of_sum(sum) : 1;
    };
    return {
        calls,
        of_sum(visit.prompt_tokens),
        of_sum(visit.completion_tokens),
        of_sum(visit.seconds),
        part(static_cast<double>(visit.cached_tokens), static_cast<double>(visit.prompt_tokens)),
        peak(visit.max_prompt_tokens, visit.prompt_tokens),
        peak(visit.max_completion_tokens, visit.completion_tokens),
        peak(visit.max_seconds, visit.seconds)};
}

unit_visit visit_of(const quantity_row& row) noexcept {
    const auto at = [&row](quantity q) { return row[static_cast<std::size_t>(q)]; };
    unit_visit out;
    const double calls = std::max(std::round(at(quantity::calls)), 1.0);
    out.calls = static_cast<std::uint32_t>(calls);
    out.prompt_tokens = rounded(at(quantity::prompt_tokens) * calls);
    out.completion_tokens = rounded(at(quantity::completion_tokens) * calls);
    out.cached_tokens =
        std::min(out.prompt_tokens,
                 rounded(at(quantity::cached_part) * static_cast<double>(out.prompt_tokens)));
    out.seconds = at(quantity::seconds) * calls;
    out.max_prompt_tokens = peak_of(out.prompt_tokens, calls, at(quantity::prompt_peak));
    out.max_cached_tokens = peak_of(out.cached_tokens, calls, at(quantity::prompt_peak));
    out.max_completion_tokens =
        peak_of(out.completion_tokens, calls, at(quantity::completion_peak));
    out.max_seconds =
        std::min(at(quantity::seconds) * std::max(at(quantity::seconds_peak), 1.0), out.seconds);
    return out;
}

double least_of(quantity q) noexcept {
    return q == quantity::calls || q >= quantity::prompt_peak ? 1 : 0;
}

double most_of(quantity q) noexcept {
    switch (q) {
    case quantity::prompt_tokens:
    case quantity::completion_tokens: return max_call_tokens;
    case quantity::seconds: return max_call_seconds;
    case quantity::cached_part: return 1;
    default: return max_calls_per_unit;
    }
}

double quantile_table::at(double probability) const noexcept {
    if (values.size() == 1) {
        return values.front();
    }
    const double place = std::clamp(probability, 0.0, 1.0) * static_cast<double>(values.size() - 1);
    const auto low = std::min(static_cast<std::size_t>(place), values.size() - 2);
    const double between = place - static_cast<double>(low);
    return values[low] + between * (values[low + 1] - values[low]);
}

}  // namespace sluice::demand::detail
