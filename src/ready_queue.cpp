// SPDX-License-Identifier: Apache-2.0
#include <sluice/sched/ready_queue.hpp>

#include <algorithm>
#include <bit>
#include <cmath>

namespace sluice {

std::uint64_t pack_rank(rank_value rank) noexcept {
    constexpr std::uint64_t sign = std::uint64_t{1} << 63;
    constexpr std::uint64_t last = (std::uint64_t{1} << 62) - 1;
    const auto tier = std::min<std::uint64_t>(static_cast<std::uint64_t>(rank.tier),
                                              static_cast<std::uint64_t>(rank_tier::background));
    std::uint64_t image = last;
    if (!std::isnan(rank.value)) {
        const auto bits = rank.value == 0 ? 0 : std::bit_cast<std::uint64_t>(rank.value);
        image = ((bits & sign) != 0 ? ~bits : bits | sign) >> 2;
    }
    return tier << 62 | image;
}

std::uint32_t ready_queue::group_of(std::uint32_t tier, bool holder) noexcept {
    switch (static_cast<rank_tier>(tier)) {
    case rank_tier::overdue: return overdue_group;
    case rank_tier::normal: return holder ? 0 : 2;
    case rank_tier::hopeless: return holder ? 1 : 3;
    case rank_tier::background: break;
    }
    return holder ? 4 : 5;
}

ready_queue::ready_queue() { last_slot_ = add_flow(0); }

void ready_queue::set(std::uint32_t id, const entry& e) {
    if (id >= items_.size()) {
        items_.resize(std::size_t{id} + 1);
    }
    const auto tier = static_cast<std::uint32_t>(e.rank >> 62);
    const std::uint32_t group = group_of(tier, e.holder);
    const std::uint32_t slot = slot_of(e.flow);
    flow_state& f = flows_[slot];
    f.weight = e.weight > 0 ? std::clamp(e.weight, 1e-9, 1e9) : 1;
    const node n{e.rank, e.arrival_order, id};

    item& it = items_[id];
    if (it.at == absent) {
        if (f.queued == 0) {
            f.tag = std::max(f.tag, virtual_time_);
            ++active_flows_;
        }
        insert(id, n, slot, group);
        return;
    }
    if (it.slot_group != (slot << 3 | group)) {
        const std::uint32_t old = it.slot();
        // A flow that only moves work between groups has had work all the time: its tag stays.
        if (old != slot) {
            active_flows_ -= flows_[old].queued == 1;
            if (f.queued == 0) {
                f.tag = std::max(f.tag, virtual_time_);
                ++active_flows_;
            }
        }
        remove(id);
        insert(id, n, slot, group);
        return;
    }
    heap& h = heap_of(it);
    const bool was_best = it.at == 0;
    detail::heap_fix(h.data(), h.size(), it.at, n, node_before,
                     [this](const node& p, std::size_t at) noexcept {
                         items_[p.id].at = static_cast<std::uint32_t>(at);
                     });
    if (was_best || it.at == 0) {
        refresh(slot, group);
    }
}

void ready_queue::erase(std::uint32_t id) noexcept {
    if (!contains(id)) {
        return;
    }
    const std::uint32_t slot = items_[id].slot();
    remove(id);
    active_flows_ -= flows_[slot].queued == 0;
}

void ready_queue::charge(std::uint32_t id, double seconds) noexcept {
    if (!contains(id) || !(seconds > 0) || !std::isfinite(seconds)) {
        return;
    }
    const item it = items_[id];
    flow_state& f = flows_[it.slot()];
    // The virtual time is the start tag of what is in service. Work that went first because it was
    // overdue may be far ahead of the others; newcomers must not start behind it.
    double start = f.tag;
    if (it.group() != overdue_group) {
        start = std::min(start, flows_[order_[it.group()].top()].tag);
    } else {
        for (const flow_heap& order : order_) {
            start = order.empty() ? start : std::min(start, flows_[order.top()].tag);
        }
    }
    virtual_time_ = std::max(virtual_time_, start);
    f.tag += seconds / f.weight;
    for (std::size_t g = 0; g < groups; ++g) {
        if (!f.heaps[g].empty()) {
            refresh(it.slot(), g);
        }
    }
}

std::uint32_t ready_queue::slot_of(std::uint32_t flow) {
    if (flows_[last_slot_].flow == flow) {
        return last_slot_;
    }
    const auto found = slots_.find(flow);
    last_slot_ = found != slots_.end() ? found->second : add_flow(flow);
    return last_slot_;
}

std::uint32_t ready_queue::add_flow(std::uint32_t flow) {
    if (slots_.size() >= sweep_at_) {
        forget_idle_flows();
        sweep_at_ = std::max<std::size_t>(64, 2 * slots_.size());
    }
    if (free_slots_.empty()) {
        flows_.emplace_back();
        free_slots_.reserve(flows_.capacity());  // so that forgetting never allocates
        free_slots_.push_back(static_cast<std::uint32_t>(flows_.size() - 1));
    }
    const std::uint32_t slot = free_slots_.back();
    slots_.emplace(flow, slot);
    free_slots_.pop_back();
    flows_[slot].flow = flow;
    return slot;
}

void ready_queue::forget_idle_flows() noexcept {
    // One that was charged beyond the virtual time still owes the difference, mostly less than one
    // operation: worth some memory, not any amount.
    const bool forgive = slots_.size() > 1024 + 2 * active_flows_;
    for (auto at = slots_.begin(); at != slots_.end();) {
        flow_state& f = flows_[at->second];
        if (f.queued == 0 && (forgive || f.tag <= virtual_time_) && at->second != last_slot_) {
            f = flow_state{};
            free_slots_.push_back(at->second);
            at = slots_.erase(at);
        } else {
            ++at;
        }
    }
}

void ready_queue::insert(std::uint32_t id, const node& n, std::uint32_t slot, std::uint32_t group) {
    items_[id].slot_group = slot << 3 | group;
    heap& h = heap_of(items_[id]);
    h.push_back(n);
    detail::heap_up(h.data(), h.size() - 1, n, node_before,
                    [this](const node& p, std::size_t at) noexcept {
                        items_[p.id].at = static_cast<std::uint32_t>(at);
                    });
    ++flows_[slot].queued;
    ++size_;
    if (items_[id].at == 0) {
        refresh(slot, group);
    }
}

void ready_queue::remove(std::uint32_t id) noexcept {
    item& it = items_[id];
    heap& h = heap_of(it);
    const std::size_t hole = it.at;
    const node last = h.back();
    h.pop_back();
    it.at = absent;
    if (hole < h.size()) {
        detail::heap_fix(h.data(), h.size(), hole, last, node_before,
                         [this](const node& p, std::size_t at) noexcept {
                             items_[p.id].at = static_cast<std::uint32_t>(at);
                         });
    }
    --flows_[it.slot()].queued;
    --size_;
    if (hole == 0) {
        refresh(it.slot(), it.group());
    }
}

// Brings the order of the flows in line with the best request of one of them.
void ready_queue::refresh(std::uint32_t slot, std::size_t group) noexcept {
    if (group == overdue_group) {
        return;
    }
    flow_heap& order = order_[group];
    if (flows_[slot].heaps[group].empty()) {
        order.erase(slot);
        return;
    }
    const auto key = [&](std::uint32_t s) {
        return flow_key{flows_[s].tag, flows_[s].heaps[group].front()};
    };
    if (order.size() == 1) {
        const std::uint32_t alone = order.top();
        if (alone == slot) {
            return;
        }
        order.set(alone, key(alone));
    }
    order.set(slot, key(slot));
}

}  // namespace sluice
