// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "capi_rig.hpp"

namespace sluice::test {

using message = std::vector<unsigned char>;

/// A scheduler and its workers, each with a store, a device and a loop of its own, and the bytes
/// between them as the test carries them.
struct split_rig {
    explicit split_rig(std::uint32_t workers, std::uint32_t slots = 64, const char* policy = "sjf",
                       const sluice_policy* custom = nullptr, double rate = 0) {
        sluice_clock clock = SLUICE_CLOCK_INIT;
        clock.user = &now_ns;
        clock.now = [](void* user) { return *static_cast<std::uint64_t*>(user); };
        sluice_planner_options o = SLUICE_PLANNER_OPTIONS_INIT;
        o.workers = workers;
        o.n_groups = 1;
        o.pages = slots;
        o.block_tokens = capi_rig::block_tokens;
        o.block_bytes = capi_rig::block_bytes;
        o.policy = custom != nullptr ? nullptr : policy;
        o.custom_policy = custom;
        o.clock = &clock;
        codes.push_back(sluice_planner_open(&o, &planner));
        for (std::uint32_t w = 0; w < workers; ++w) {
            ranks.push_back(std::make_unique<capi_rig>(slots, rate));
            sluice_pipeline_options p = ranks.back()->options();
            p.flags = SLUICE_PIPELINE_ENGINE_OWNS_L1;
            p.policy = "external";
            codes.push_back(ranks.back()->open(p));
        }
    }
    ~split_rig() { sluice_pipeline_close(planner); }
    split_rig(const split_rig&) = delete;
    split_rig& operator=(const split_rig&) = delete;

    sluice_status submit(std::uint64_t first, std::uint32_t n, sluice_request_id* out,
                         void (*change)(sluice_request&) = nullptr) const {
        const std::vector<std::uint64_t> names = capi_rig::keys(first, n);
        sluice_request r = SLUICE_REQUEST_INIT;
        r.keys = names.data();
        r.key_size = sizeof(std::uint64_t);
        r.n_keys = n;
        r.prompt_tokens = std::uint64_t{n} * capi_rig::block_tokens + 1;
        if (change != nullptr) {
            change(r);
        }
        return sluice_submit(planner, &r, out);
    }
    sluice_status bind(sluice_request_id id, std::uint32_t first, std::uint32_t n) const {
        std::vector<std::uint32_t> pages;
        for (std::uint32_t p = first; p < first + n; ++p) {
            pages.push_back(p);
        }
        return sluice_bind(planner, id, pages.data(), n);
    }

    message plan() {
        message m(1 << 18);
        std::uint64_t needed = 0;
        codes.push_back(sluice_plan_export(planner, m.data(), m.size(), &needed));
        m.resize(needed);
        return m;
    }
    sluice_status carry_out(std::uint32_t rank, const message& plan,
                            std::string_view suffix = {}) const {
        return sluice_plan_import(ranks[rank]->pipe, plan.data(), plan.size(), suffix.data(),
                                  static_cast<std::uint32_t>(suffix.size()));
    }
    message report(std::uint32_t rank) {
        message m(1 << 18);
        std::uint64_t needed = 0;
        codes.push_back(
            sluice_worker_report_export(ranks[rank]->pipe, rank, m.data(), m.size(), &needed));
        m.resize(needed);
        return m;
    }
    message merge(const std::vector<message>& reports) {
        std::vector<const void*> at;
        std::vector<std::uint64_t> sizes;
        for (const message& r : reports) {
            at.push_back(r.data());
            sizes.push_back(r.size());
        }
        message m(1 << 18);
        std::uint64_t needed = 0;
        codes.push_back(sluice_report_merge(at.data(), sizes.data(),
                                            static_cast<std::uint32_t>(at.size()), m.data(),
                                            m.size(), &needed));
        m.resize(needed);
        return m;
    }
    sluice_status tell(const message& report) const {
        return sluice_report_import(planner, report.data(), report.size());
    }

    /// One step of the engine: a plan to all, as much work as there is, one report back.
    void step() {
        const message p = plan();
        std::vector<message> reports;
        for (std::uint32_t w = 0; w < ranks.size(); ++w) {
            codes.push_back(carry_out(w, p));
            ranks[w]->run();
            reports.push_back(report(w));
        }
        codes.push_back(tell(merge(reports)));
    }
    std::vector<sluice_event> poll() const {
        std::vector<sluice_event> out(256);
        std::uint32_t n = 0;
        sluice_poll(planner, out.data(), 256, &n);
        out.resize(n);
        return out;
    }
    std::vector<sluice_event> step_and_poll() {
        step();
        return poll();
    }
    [[nodiscard]] std::uint32_t live(sluice_pipeline* p) const {
        sluice_stats s = SLUICE_STATS_INIT;
        sluice_pipeline_stats(p, &s);
        return s.live_requests;
    }
    /// Whether all that the rig did itself went well.
    [[nodiscard]] bool good() const {
        bool all = std::ranges::all_of(codes, [](sluice_status s) { return s == SLUICE_OK; });
        for (const auto& r : ranks) {
            all = all && r->good();
        }
        return all;
    }

    std::uint64_t now_ns = 1'000'000'000;
    std::vector<sluice_status> codes;
    sluice_pipeline* planner = nullptr;
    std::vector<std::unique_ptr<capi_rig>> ranks;
};

}  // namespace sluice::test
