// SPDX-License-Identifier: Apache-2.0
// Random histories of a scheduler and its workers: plans that arrive late, reports that are merged,
// swapped and repeated. SLUICE_HISTORIES says how many; a failure prints its seed.
#include <sluice/sluice.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "split/message.hpp"
#include "support/split_rig.hpp"

namespace sluice {
namespace {

using test::capi_rig;
using test::message;
using test::split_rig;

constexpr std::uint32_t slots = 48;
constexpr std::uint32_t blocks_there = 24;

class history {
 public:
    explicit history(std::uint32_t seed)
        : dice_(seed),
          r_(1 + below(3), slots, "sjf", nullptr, 1000 * capi_rig::block_bytes),
          late_(r_.ranks.size()) {
        for (const auto& w : r_.ranks) {
            w->fill(1, 1 + below(blocks_there));
        }
    }

    /// What went wrong; empty: nothing.
    std::string run() {
        for (int i = 0; i < 120 && wrong_.empty(); ++i) {
            act();
        }
        for (int i = 0; i < 200 && wrong_.empty() && !over(); ++i) {
            closing_ = true;
            send_plan();
            for (std::uint32_t w = 0; w < r_.ranks.size(); ++w) {
                work(w, late_[w].size());
            }
            deliver(reports_.size());
            take_events();
            for (auto& [id, a] : asked_) {
                finish(id, a);
            }
        }
        if (wrong_.empty() && !over()) {
            complain("something is live at the end");
        }
        if (wrong_.empty() && !r_.good()) {
            complain("a call failed that may not");
        }
        return wrong_;
    }

 private:
    struct asked {
        std::uint64_t first = 0;
        std::uint32_t blocks = 0;
        std::uint32_t page = 0;  // the first of blocks + 1
        bool has_pages = false;
        bool bound = false;
        bool storing = false;
        bool ended = false;
        bool good = false;
        bool released = false;
        bool computed = false;
        bool busy = false;
        bool stored_due = false;
    };
    /// What the planner has been told that happened to a request, rank by rank.
    using told = std::map<std::pair<split::fact::kind, std::uint64_t>, split::fact>;

    std::uint32_t below(std::uint32_t n) {
        return static_cast<std::uint32_t>(dice_() % std::max(n, 1U));
    }
    void complain(const std::string& what) {
        if (wrong_.empty()) {
            wrong_ = what;
        }
    }
    bool over() {
        const bool quiet =
            std::ranges::all_of(r_.ranks, [this](const auto& w) { return r_.live(w->pipe) == 0; });
        return quiet && r_.live(r_.planner) == 0;
    }

    void act() {
        switch (below(10)) {
        case 0:
        case 1: submit(); break;
        case 2: send_plan(); break;
        case 3:
        case 4:
        case 5: {
            const std::uint32_t w = below(static_cast<std::uint32_t>(r_.ranks.size()));
            work(w, below(static_cast<std::uint32_t>(late_[w].size()) + 1));
            break;
        }
        case 6: deliver(1 + below(3)); break;
        case 7: take_events(); break;
        default:
            if (!asked_.empty()) {
                auto at = asked_.begin();
                std::advance(at, below(static_cast<std::uint32_t>(asked_.size())));
                meddle(at->first, at->second);
            }
            break;
        }
    }

    void submit() {
        asked a;
        a.first = 1 + below(blocks_there);
        a.blocks = 1 + below(5);
        sluice_request_id id = 0;
        if (r_.submit(a.first, a.blocks, &id) == SLUICE_OK) {
            asked_[id] = a;
            if (below(3) == 0) {
                bind(id, asked_[id]);
            }
        }
    }

    void bind(sluice_request_id id, asked& a) {
        if (a.bound || a.ended) {
            return;
        }
        // First fit.
        std::uint32_t page = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (const auto& [other, o] : asked_) {
                if (o.has_pages && page < o.page + o.blocks + 1 && o.page < page + a.blocks + 1) {
                    page = o.page + o.blocks + 1;
                    moved = true;
                }
            }
        }
        if (page + a.blocks + 1 > slots) {
            return;  // no room: later
        }
        a.page = page;
        const sluice_status status = r_.bind(id, page, a.blocks + 1);
        if (status == SLUICE_E_NOT_FOUND) {
            return;  // its outcome is among the events that have just been taken
        }
        if (status != SLUICE_OK) {
            complain(std::string("bind was refused: ") + sluice_last_error());
        }
        a.has_pages = a.bound = true;
    }

    void meddle(sluice_request_id id, asked& a) {
        switch (below(6)) {
        case 0: sluice_cancel(r_.planner, id); break;
        case 1: sluice_detach(r_.planner, id); break;
        case 2:
            if (!a.released) {
                a.released = sluice_release(r_.planner, id) == SLUICE_OK;
            }
            break;
        case 3: finish(id, a); break;
        default: bind(id, a); break;
        }
    }

    /// What an engine does to be done with it.
    void finish(sluice_request_id id, asked& a) {
        bind(id, a);
        if (!a.bound && closing_ && !a.ended) {
            sluice_cancel(r_.planner, id);
        }
        if (a.good && !a.released) {
            if (!a.computed && below(4) != 0) {
                for (const auto& w : r_.ranks) {
                    for (std::uint32_t i = 0; i < a.blocks; ++i) {
                        write(*w, a.page + i, a.first + i);
                    }
                }
                if (sluice_compute_done(r_.planner, id, 1000) != SLUICE_OK) {
                    complain("compute_done was refused");
                }
                a.computed = a.stored_due = true;
            }
            if (sluice_release(r_.planner, id) != SLUICE_OK) {
                complain("release was refused");
            }
            a.released = true;
        }
        forget(a);
    }

    static void write(capi_rig& w, std::uint32_t slot, std::uint64_t id) {
        for (std::size_t i = 0; i < capi_rig::block_bytes; ++i) {
            w.memory[std::size_t{slot} * capi_rig::block_bytes + i] = capi_rig::content(id, i);
        }
    }

    void forget(asked& a) {
        if (a.ended && (!a.good || a.released) && !a.busy && !a.stored_due) {
            a.has_pages = false;
        }
    }

    void send_plan() {
        const message p = r_.plan();
        if (!p.empty()) {
            for (auto& queue : late_) {
                queue.push_back(p);
            }
        }
    }

    void work(std::uint32_t w, std::size_t plans) {
        for (; plans > 0; --plans) {
            if (r_.carry_out(w, late_[w].front()) != SLUICE_OK) {
                complain(std::string("a plan was refused: ") + sluice_last_error());
            }
            late_[w].pop_front();
        }
        if (below(4) == 0 || closing_) {
            r_.ranks[w]->run();
        } else {
            run_a_bit(*r_.ranks[w], below(12));
        }
        if (message m = r_.report(w); !m.empty()) {
            reports_.push_back(std::move(m));
        }
    }

    /// Leaves transfers under way.
    static void run_a_bit(capi_rig& w, std::uint32_t timers) {
        std::uint64_t next = 0;
        while (sluice_loop_run(w.loop, &next) == SLUICE_OK && next != UINT64_MAX && timers-- > 0) {
            w.now_ns = std::max(w.now_ns, next);
        }
    }

    void deliver(std::size_t n) {
        std::vector<message> some;
        for (; n > 0 && !reports_.empty(); --n) {
            const std::uint32_t i = below(static_cast<std::uint32_t>(reports_.size()));
            some.push_back(reports_[i]);
            if (below(3) != 0 || closing_) {  // else it comes once more
                reports_.erase(reports_.begin() + i);
            }
        }
        if (some.empty()) {
            return;
        }
        for (const message& m : some) {
            const auto r = split::decode_report(std::as_bytes(std::span(m)));
            for (const split::fact& f : r->facts) {
                told_[f.request][{f.what, f.ranks}] = f;
            }
        }
        if (below(2) == 0) {
            some = {r_.merge(some)};
        }
        for (const message& m : some) {
            if (r_.tell(m) != SLUICE_OK) {
                complain(std::string("a report was refused: ") + sluice_last_error());
            }
        }
    }

    void take_events() {
        for (const sluice_event& e : r_.poll()) {
            const auto at = asked_.find(e.request);
            if (at == asked_.end()) {
                complain("an event of nobody");
                return;
            }
            happened(at->first, at->second, e);
        }
    }

    /// Whether it is so at all ranks, or at those that are meant.
    bool so(sluice_request_id id, split::fact::kind what, std::uint64_t ranks = ~std::uint64_t{0}) {
        for (std::uint32_t w = 0; w < r_.ranks.size(); ++w) {
            if ((ranks & split::bit_of(w)) != 0 && !told_[id].contains({what, split::bit_of(w)})) {
                return false;
            }
        }
        return true;
    }

    void check_outcome(sluice_request_id id, const sluice_event& e) {
        using kind = split::fact::kind;
        if (e.kind == SLUICE_EVENT_CANCELLED && told_[id].empty()) {
            return;  // the workers never knew of it
        }
        if (!so(id, kind::outcome)) {
            return complain("an outcome before all ranks had theirs");
        }
        std::uint32_t blocks = UINT32_MAX;
        std::uint32_t worst = 0;
        std::uint64_t busy = 0;
        for (const auto& [what, f] : told_[id]) {
            if (what.first == kind::outcome) {
                blocks = std::min(blocks, f.blocks);
                worst = std::max(worst, static_cast<std::uint32_t>(f.end));
                busy |= f.busy;
            }
        }
        if (e.kind != worst || (worst <= SLUICE_EVENT_DETACHED && e.blocks != blocks)) {
            complain("an outcome that is not the worst of the ranks'");
        }
        // A report says both, or the planner has been told of the quiet since.
        if (busy == 0 && (e.flags & SLUICE_EVENT_BUSY) != 0) {
            complain("busy, though no rank is");
        }
        if ((e.flags & SLUICE_EVENT_BUSY) == 0 && !so(id, kind::quiesced, busy)) {
            complain("not busy, though a rank is");
        }
    }

    void happened(sluice_request_id id, asked& a, const sluice_event& e) {
        const bool outcome = e.kind >= SLUICE_EVENT_READY && e.kind <= SLUICE_EVENT_FAILED;
        if (outcome && a.ended) {
            complain("two outcomes");
        }
        if (!outcome && a.ended != (e.kind >= SLUICE_EVENT_QUIESCED)) {
            complain("event " + std::to_string(e.kind) + " at the wrong time");
        }
        if (e.kind == SLUICE_EVENT_WANT_PAGES) {
            bind(id, a);
        } else if (e.kind == SLUICE_EVENT_QUIESCED) {
            if (!a.busy) {
                complain("quiesced, but it was not busy");
            }
            for (const auto& [what, f] : told_[id]) {
                if (what.first == split::fact::kind::outcome &&
                    !so(id, split::fact::kind::quiesced, f.busy)) {
                    complain("quiesced, though a rank is busy");
                }
            }
            a.busy = false;
        } else if (e.kind == SLUICE_EVENT_STORED) {
            if (!a.stored_due) {
                complain("stored, but nothing was computed");
            }
            if (!so(id, split::fact::kind::stored)) {
                complain("stored before all ranks had stored");
            }
            a.stored_due = false;
        } else if (outcome) {
            a.ended = true;
            a.busy = (e.flags & SLUICE_EVENT_BUSY) != 0;
            a.good = e.kind <= SLUICE_EVENT_DETACHED;
            if (e.kind == SLUICE_EVENT_FAILED) {
                complain(std::string("failed: ") + e.text);
            }
            check_outcome(id, e);
            for (std::uint32_t i = 0; a.good && i < e.blocks; ++i) {
                for (const auto& w : r_.ranks) {
                    if (!w->page_holds(a.page + i, a.first + i)) {
                        complain("a page does not hold its block");
                    }
                }
            }
        }
        forget(a);
    }

    std::mt19937 dice_;
    split_rig r_;
    std::vector<std::deque<message>> late_;
    std::vector<message> reports_;
    std::map<sluice_request_id, asked> asked_;
    std::map<sluice_request_id, told> told_;
    bool closing_ = false;
    std::string wrong_;
};

TEST_CASE("random histories of a scheduler and its workers") {
    const char* const given = std::getenv("SLUICE_HISTORIES");
    const auto n =
        static_cast<std::uint32_t>(given != nullptr ? std::strtoul(given, nullptr, 10) : 1000);
    for (std::uint32_t seed = 1; seed <= n; ++seed) {
        const std::string wrong = history(seed).run();
        if (!wrong.empty()) {
            FAIL("seed " << seed << ": " << wrong);
        }
    }
    SUCCEED();
}

}  // namespace
}  // namespace sluice
