// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include <sluice/pipeline.hpp>

#include "applications.hpp"
#include "faults.hpp"
#include "faulty_store.hpp"

namespace sluice::histories {

/// The engine of a history: submits, binds, computes and releases as planned, and tells the checker
/// what it sees.
class engine {
 public:
    /// \param apps  may be null
    engine(seam_world& w, faulty_store* l3, pipeline& pipe, applications* apps);

    /// Sets the planned actions up.
    void begin();
    /// Takes events, if the time for it has come. \return whether anything was done.
    bool poll();
    /// No more actions will come: pages that nobody was going to bind are given up.
    void drain();
    /// Every accepted request has ended and its handle is stale.
    [[nodiscard]] bool all_gone();
    /// Nothing depends on the engine: no page, computation or release is outstanding.
    [[nodiscard]] bool owes_nothing();
    [[nodiscard]] bool closing() const noexcept { return closing_; }
    [[nodiscard]] std::uint64_t events() const noexcept { return events_; }
    [[nodiscard]] std::uint64_t outcomes() const noexcept { return outcomes_; }

 private:
    void act(const action& a);
    void submit(watched& r);
    void cancel(watched& r);
    void release(watched& r);
    void poke(watched& r);
    void close();
    void take(const request_event& e);
    void had_outcome(watched& r);
    void bind_soon(watched& r);
    bool bind_waiting();
    bool bind(watched& r);
    void bound_early(watched& r);
    void compute_soon(watched& r);
    void compute(watched& r);
    void release_soon(watched& r);
    void give_pages_back(watched& r);
    void watch_handle(watched& r);
    void check_gone();
    void expect(const char* call, const watched& r, absl::StatusCode got,
                std::initializer_list<absl::StatusCode> of);

    seam_world& w_;
    checker& check_;
    faulty_store* l3_;
    pipeline& pipe_;
    applications* const apps_;
    bool closing_ = false;
    bool draining_ = false;
    std::uint64_t events_ = 0;
    std::uint64_t outcomes_ = 0;
    std::uint32_t promises_ = 0;                    ///< things that the engine is going to do
    std::vector<std::vector<slot_id>> free_pages_;  ///< engine-owned, by group
    std::deque<std::uint32_t> want_pages_;          ///< requests, oldest first
    time_point next_poll_{};
};

}  // namespace sluice::histories
