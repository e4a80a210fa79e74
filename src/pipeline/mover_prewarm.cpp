// SPDX-License-Identifier: Apache-2.0
// Requests that nobody waits for: they take what is idle, and give it up to whoever needs it.
#include <algorithm>
#include <vector>

#include "mover.hpp"

namespace sluice::detail {

// A request that prewarms ends as soon as nothing is left to bring near.
void mover::check_warm(request& r) {
    const std::uint32_t left = library_owned() ? r.waiting : r.fetching;
    if (r.at != phase::loading || left > 0) {
        return;
    }
    r.report.loaded = io_.now();
    r.report.loaded_blocks = r.plan;
    ++stats_.prewarm_requests;
    stats_.prewarmed_blocks +=
        std::uint64_t{groups()} * (r.plan - std::min<std::uint32_t>(r.plan, r.resident));
    settle(r, r.timed_out ? event_kind::detached : event_kind::ready);
}

// Who prewarms stands for nobody: it goes, whether that is enough or not. \return whether it was
bool mover::revoke_warm(const request& r) {
    bool enough = false;
    std::vector<std::uint32_t> passed_over;
    while (warm_holders_ > 0 && !enough) {
        request& worst = at(revocable_.top());
        if (!worst.prewarm) {
            passed_over.push_back(worst.index);
            revocable_.pop();
            continue;
        }
        ++stats_.revocations;
        ungrant(worst);
        want_l1(worst);
        enough = can_grant(r);
    }
    for (const std::uint32_t index : passed_over) {
        revocable_.set(index, key_of(at(index), rank_copy));
    }
    return enough;
}

// Its blocks in L2 wait for pages, or for the rest of them: what is to be kept goes before a guess.
// The worst one ends with what it has. \return whether there was one
bool mover::stop_warming() {
    if (warm_ == 0 || victims_.empty()) {
        return false;
    }
    request& worst = at(victims_.top());
    if (!worst.prewarm || worst.holder) {
        return false;
    }
    const auto landed = [&](std::uint32_t i) {
        for (std::uint32_t g = 0; g < groups(); ++g) {
            if (is_waiting(worst.refs()[g * worst.blocks + i].state) &&
                worst.refs()[g * worst.blocks + i].state != want::landed) {
                return false;
            }
        }
        return true;
    };
    std::uint32_t near = 0;
    while (!library_owned() && near < worst.plan && landed(near)) {
        ++near;
    }
    shorten(worst, near);
    return worst.settled();
}

// Whether a request that somebody waits for waits for the block.
bool mover::is_counted_on(std::uint32_t entry) {
    for (const block_ref* w = table_[entry].waiters; w != nullptr; w = w->next) {
        if (!at(request_index(*w)).prewarm) {
            return true;
        }
    }
    return false;
}

}  // namespace sluice::detail
