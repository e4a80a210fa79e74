// SPDX-License-Identifier: Apache-2.0
// Which slot comes next: neighbours for blocks that are loaded one after the other.
#include <sluice/kv/slot_pool.hpp>

namespace sluice {
namespace {

/// How far from a slot a run is looked for: more makes runs no longer under churn.
constexpr std::uint32_t reach = 32;

}  // namespace

slot_id slot_pool::next(slot_id last) const noexcept {
    if (last != no_slot && last + 1 < size() && may_take(last + 1)) {
        return last + 1;
    }
    const slot_id s = free_.empty() ? victim() : free_.back();
    return s == no_slot ? no_slot : begin_run(s);
}

/// Whether a slot that is not the next in order may be taken in its place. While any slot is free
/// nothing is given up.
bool slot_pool::may_take(slot_id s) const noexcept {
    return is_free(s) || (free_.empty() && is_cold(s) && order_->may_go_early(s));
}

/// Where to begin if `at` is the next in order: at the first slot of the run around it.
slot_id slot_pool::begin_run(slot_id at) const noexcept {
    slot_id first = at;
    while (first > 0 && at - first < reach && may_take(first - 1)) {
        --first;
    }
    if (first == 0 || users(first - 1) == 0) {
        return first;
    }
    // Whoever uses the slot before may want to go on: the nearer half is left to them. It is not
    // lost to others, since `at` stays the next in order until it is taken.
    slot_id end = at + 1;
    while (end < size() && end - first < reach && may_take(end)) {
        ++end;
    }
    return first + (end - first) / 2;
}

}  // namespace sluice
