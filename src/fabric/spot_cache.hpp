// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>

#include <sluice/base/clock.hpp>
#include <sluice/kv/block_key.hpp>

namespace sluice::fabric {

/// Where a block is, as its node said.
struct spot {
    std::uint32_t node = 0;
    std::uint32_t session = 0;  ///< of that node: another one, another pool
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::uint64_t generation = 0;
    std::uint64_t checksum = 0;
    time_point until = never;  ///< the lease
};

/// What lookups have learnt, until the leases pass. Used on one loop.
class spot_cache {
 public:
    /// The spot of a block whose lease has not passed at `now`, or null.
    [[nodiscard]] const spot* find(const block_key& key, time_point now) const {
        const auto at = spots_.find(key);
        return at == spots_.end() || at->second.until <= now ? nullptr : &at->second;
    }

    void learn(const block_key& key, const spot& s, time_point now) {
        forget_old(now);
        spots_.insert_or_assign(key, s);
        ages_.push_back({s.until, key});
    }

    void forget(const block_key& key) { spots_.erase(key); }

    [[nodiscard]] std::size_t size() const noexcept { return spots_.size(); }

 private:
    // Leases of one node all last equally long, so the order of learning is nearly that of ending.
    static constexpr std::size_t most = std::size_t{1} << 20;
    struct age {
        time_point until;
        block_key key;
    };

    void forget_old(time_point now) {
        while (!ages_.empty() && (ages_.front().until <= now || ages_.size() >= most)) {
            const auto at = spots_.find(ages_.front().key);
            // Learnt anew meanwhile: a later entry of the queue speaks for it.
            if (at != spots_.end() && at->second.until <= ages_.front().until) {
                spots_.erase(at);
            }
            ages_.pop_front();
        }
    }

    std::unordered_map<block_key, spot> spots_;
    std::deque<age> ages_;
};

}  // namespace sluice::fabric
