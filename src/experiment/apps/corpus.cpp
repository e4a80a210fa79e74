// SPDX-License-Identifier: Apache-2.0
#include "corpus.hpp"

#include <cmath>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "../../workload/random.hpp"

namespace sluice::experiment {
namespace {

constexpr std::uint64_t split_stream = 32;

// What the published replay does with the records of an application.
void as_replayed(std::vector<demand::run_record>& runs, std::string_view application) {
    if (application == "code_feedback") {
        std::erase_if(runs, [](const demand::run_record& r) { return r.units.size() < 2; });
    } else if (application == "factool_code") {
        for (demand::run_record& r : runs) {
            for (demand::unit_record& u : r.units) {
                for (demand::call_record& c : u.calls) {
                    c.seconds = u.backend == "docker" ? 1 : c.seconds;
                }
            }
        }
    } else if (application == "got_docmerge") {
        constexpr double share = 0.8;
        const auto shorter = [](std::uint32_t& tokens) {
            tokens = static_cast<std::uint32_t>(std::lround(share * tokens));
        };
        std::erase_if(runs, [](const demand::run_record& r) { return r.run >= 50; });
        for (demand::run_record& r : runs) {
            for (demand::unit_record& u : r.units) {
                for (demand::call_record& c : u.calls) {
                    shorter(c.prompt_tokens);
                    shorter(c.completion_tokens);
                }
            }
        }
    }
}

}  // namespace

absl::StatusOr<app_corpus> app_corpus::read(const std::string& folder, const app_mix& mix) {
    app_corpus out;
    for (const app_mix::share& s : mix.shares) {
        const std::string file =
            (std::filesystem::path(folder) / (s.application + ".jsonl")).string();
        auto runs = demand::read_runs(file);
        if (!runs.ok()) {
            return runs.status();
        }
        as_replayed(*runs, s.application);
        if (runs->size() < 2) {
            return absl::InvalidArgumentError(
                fmt::format("{}: {} runs of {}; at least two are needed, one to learn from and one "
                            "to serve",
                            file, runs->size(), s.application));
        }
        out.runs[s.application] = *std::move(runs);
    }
    return out;
}

split_runs split_halves(const std::vector<demand::run_record>& runs, std::uint64_t seed) {
    std::vector<const demand::run_record*> order;
    for (const demand::run_record& r : runs) {
        order.push_back(&r);
    }
    for (std::size_t i = order.size(); i > 1; --i) {
        std::swap(order[i - 1], order[workload::draw(seed, split_stream, i) % i]);
    }
    const auto half = order.begin() + static_cast<std::ptrdiff_t>(order.size() / 2);
    split_runs out;
    for (auto it = order.begin(); it != half; ++it) {
        out.learned.push_back(**it);
    }
    out.served.assign(half, order.end());
    return out;
}

}  // namespace sluice::experiment
