// SPDX-License-Identifier: Apache-2.0
#include "fetch_plan.hpp"

#include <algorithm>
#include <deque>
#include <numeric>
#include <utility>

#include <sluice/base/bytes.hpp>
#include <sluice/kv/slot_pool.hpp>

#include "../workload/random.hpp"

namespace sluice::bench {
namespace {

using workload::random_source;

constexpr std::uint32_t shortest_prefix = 16;
constexpr std::uint32_t longest_prefix = 64;

template <class T>
void shuffle(std::vector<T>& values, random_source& random) {
    for (std::size_t i = values.size(); i > 1; --i) {
        std::swap(values[i - 1], values[random.below(i)]);
    }
}

std::uint32_t prefix_length(random_source& random) {
    return shortest_prefix +
           static_cast<std::uint32_t>(random.below(longest_prefix - shortest_prefix + 1));
}

/// Staging memory in front of a cache, as the pipeline uses it.
class churned_pool {
 public:
    churned_pool(std::uint32_t slots, random_source& random) : pool_(slots), random_(random) {
        constexpr std::uint64_t turns = 64;
        for (std::uint64_t through = 0; through < turns * slots;) {
            through += load(prefix_length(random_)).size();
        }
    }

    /// The slots of the next prefix. They are another's some calls later.
    std::vector<slot_id> load(std::uint32_t blocks) {
        constexpr std::size_t at_once = 8;
        while (loading_.size() == at_once ||
               (!loading_.empty() && in_use() + blocks > pool_.size() / 2)) {
            finish(random_.below(loading_.size()));
        }
        if (random_.below(2) == 0) {
            hit();
        }
        std::vector<slot_id> slots;
        for (std::uint32_t i = 0; i < blocks; ++i) {
            const slot_id s = pool_.next(slots.empty() ? no_slot : slots.back());
            pool_.take(s, 0);
            pool_.set_whole(s, true);
            slots.push_back(s);
        }
        loading_.push_back(slots);
        return slots;
    }

 private:
    [[nodiscard]] std::uint32_t in_use() const noexcept {
        return pool_.size() - pool_.free() - pool_.cold();
    }

    void finish(std::size_t which) {
        std::vector<slot_id> slots = std::move(loading_[which]);
        loading_.erase(loading_.begin() + static_cast<std::ptrdiff_t>(which));
        release(slots);
        loaded_.push_back(std::move(slots));
        if (loaded_.size() > 4 * pool_.size() / longest_prefix) {
            loaded_.pop_front();
        }
    }

    /// Uses a prefix again that was loaded before, as far as it is still there.
    void hit() {
        if (loaded_.empty()) {
            return;
        }
        std::vector<slot_id> slots;
        for (const slot_id s : loaded_[random_.below(loaded_.size())]) {
            if (pool_.users(s) == 0) {
                pool_.retain(s);
                slots.push_back(s);
            }
        }
        release(slots);
    }

    void release(const std::vector<slot_id>& slots) {
        for (const slot_id s : slots) {
            pool_.release(s);
        }
    }

    slot_pool pool_;
    random_source& random_;
    std::vector<std::vector<slot_id>> loading_;
    std::deque<std::vector<slot_id>> loaded_;
};

void scatter(fetch_plan& plan, std::span<std::byte> pool, random_source& random) {
    const std::size_t n = pool.size() / plan.block_bytes;
    for (std::size_t k = 0; k < n; ++k) {
        plan.remote.push_back(k * plan.block_bytes);
        plan.local.push_back(pool.data() + k * plan.block_bytes);
    }
    shuffle(plan.remote, random);
    shuffle(plan.local, random);
    const std::size_t group = std::clamp<std::size_t>(4 * mib / plan.block_bytes, 1, 64);
    for (std::size_t k = 0; k < n; k += group) {
        plan.groups.push_back(static_cast<std::uint32_t>(std::min(group, n - k)));
    }
}

void line_up(fetch_plan& plan, std::span<std::byte> pool, random_source& random) {
    const auto n = static_cast<std::uint32_t>(pool.size() / plan.block_bytes);
    std::vector<std::pair<std::uint32_t, std::uint32_t>> prefixes;  // first block, blocks
    for (std::uint32_t k = 0; k < n; k += prefixes.back().second) {
        prefixes.emplace_back(k, std::min(prefix_length(random), n - k));
        plan.groups.push_back(prefixes.back().second);
    }
    shuffle(prefixes, random);
    churned_pool slots(n, random);
    for (const auto& [first, blocks] : prefixes) {
        const std::vector<slot_id> places = slots.load(blocks);
        for (std::uint32_t i = 0; i < blocks; ++i) {
            plan.remote.push_back((first + i) * plan.block_bytes);
            plan.local.push_back(pool.data() + places[i] * plan.block_bytes);
        }
    }
}

}  // namespace

fetch_plan make_fetch_plan(fetch_placement placement, std::uint64_t block_bytes,
                           std::span<std::byte> pool, std::uint64_t seed) {
    fetch_plan plan;
    plan.block_bytes = block_bytes;
    random_source random(workload::draw(seed, static_cast<std::uint64_t>(placement), block_bytes));
    if (placement == fetch_placement::scattered) {
        scatter(plan, pool, random);
    } else {
        line_up(plan, pool, random);
    }
    std::size_t runs = 1;
    for (std::size_t i = 1; i < plan.blocks(); ++i) {
        runs += plan.local[i] != plan.local[i - 1] + block_bytes ? 1 : 0;
    }
    plan.local_run = static_cast<double>(plan.blocks()) / static_cast<double>(runs);
    return plan;
}

raw_reads fetch_walk::next(std::size_t count) noexcept {
    if (at_ + count > plan_->blocks()) {
        at_ = 0;
    }
    raw_reads reads;
    reads.block_bytes = plan_->block_bytes;
    reads.remote = std::span(plan_->remote).subspan(at_, count);
    reads.local = std::span(plan_->local).subspan(at_, count);
    at_ += count;
    return reads;
}

}  // namespace sluice::bench
