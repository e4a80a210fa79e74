// SPDX-License-Identifier: Apache-2.0
// Random histories of a slot pool against a model, and what churn does to neighbours.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/kv/slot_pool.hpp>

namespace {

using sluice::eviction_order;
using sluice::least_recently_used;
using sluice::no_slot;
using sluice::slot_id;
using sluice::slot_pool;
using left = slot_pool::left;

/// Least recently used without exception.
class strict_order final : public eviction_order {
 public:
    explicit strict_order(std::uint32_t slots) : inner_(slots) {}
    void became_cold(slot_id slot) override { inner_.became_cold(slot); }
    void no_longer_cold(slot_id slot) noexcept override { inner_.no_longer_cold(slot); }
    [[nodiscard]] slot_id victim() const noexcept override { return inner_.victim(); }

 private:
    least_recently_used inner_;
};

/// Requests for prefixes go through a pool, as through the pipeline's L2: eight hold their slots at
/// a time and end in random order, some name the head of a prefix only, and the often used ones
/// are mostly there.
class churn {
 public:
    static constexpr std::uint32_t slots = 2048;

    explicit churn(std::unique_ptr<eviction_order> order)
        : pool_(slots, std::move(order)), at_(std::size_t{prefixes} * longest, no_slot) {
        constexpr int rounds = 6000;
        for (int i = 0; i < rounds; ++i) {
            count_ = i > rounds / 2;
            request();
        }
    }

    [[nodiscard]] double hit_rate() const { return hits_ / asked_; }
    /// Blocks that a request loaded into neighbouring slots, on average.
    [[nodiscard]] double run() const { return loads_ / runs_; }

 private:
    static constexpr std::uint32_t prefixes = 256;
    static constexpr std::uint32_t longest = 64;

    std::uint32_t below(std::uint32_t bound) {
        return static_cast<std::uint32_t>(random_() % bound);
    }

    void request() {
        if (holding_.size() == 8) {
            const auto which = holding_.begin() + below(8);
            for (const slot_id s : *which) {
                pool_.release(s);
            }
            holding_.erase(which);
        }
        const std::uint32_t prefix = below(1 + below(prefixes));
        const std::uint32_t length = 16 + prefix * 7 % (longest - 15);
        const std::uint32_t blocks = below(4) == 0 ? 1 + below(length) : length;
        std::vector<slot_id> mine(blocks);
        for (std::uint32_t i = 0; i < blocks; ++i) {
            mine[i] = at_[prefix * longest + i];
            if (mine[i] != no_slot) {
                pool_.retain(mine[i]);
                hits_ += count_;
            }
            asked_ += count_;
        }
        slot_id last = no_slot;
        for (std::uint32_t i = 0; i < blocks; ++i) {
            if (mine[i] == no_slot) {
                mine[i] = load(prefix * longest + i, i == 0 ? no_slot : mine[i - 1]);
                loads_ += count_;
                runs_ += count_ && (last == no_slot || mine[i] != last + 1);
                last = mine[i];
            }
        }
        holding_.push_back(std::move(mine));
    }

    slot_id load(std::uint32_t block, slot_id before) {
        const slot_id s = pool_.next(before);
        REQUIRE(s != no_slot);
        if (pool_.is_cold(s)) {
            at_[pool_.owner(s)] = no_slot;
        }
        pool_.take(s, block);
        pool_.set_whole(s, true);
        at_[block] = s;
        return s;
    }

    slot_pool pool_;
    std::vector<slot_id> at_;  // by block
    std::deque<std::vector<slot_id>> holding_;
    std::mt19937 random_{1};
    bool count_ = false;
    double asked_ = 0, hits_ = 0, loads_ = 0, runs_ = 0;
};

TEST_CASE("slot pool: churn leaves runs, and costs few hits", "[slot_pool]") {
    const churn strict(std::make_unique<strict_order>(churn::slots));
    const churn plain(nullptr);
    CAPTURE(strict.run(), plain.run(), strict.hit_rate(), plain.hit_rate());
    CHECK(strict.run() < 1.5);
    CHECK(plain.run() > 5);
    CHECK(plain.hit_rate() > strict.hit_rate() - 0.015);
}

/// Does random things to a pool of some slots and knows what must come of them.
class history {
 public:
    explicit history(std::uint32_t seed)
        : random_(seed), slots_(1 + below(40)), pool_(static_cast<std::uint32_t>(slots_.size())) {}

    void run() {
        for (int step = 0; step < 400; ++step) {
            const slot_id s = below(pool_.size());
            switch (below(6)) {
            case 0:
            case 1: take(below(4) == 0 ? no_slot : s); break;
            case 2: use(s); break;
            case 3: transfer(s); break;
            default: leave(s); break;
            }
            check();
        }
    }

 private:
    struct known {
        std::uint32_t owner = slot_pool::no_owner;
        std::uint32_t users = 0, transfers = 0;
        bool whole = false;
        std::uint64_t cold_since = 0;
        [[nodiscard]] bool idle() const { return users == 0 && transfers == 0; }
        [[nodiscard]] bool free() const { return idle() && !whole; }
        [[nodiscard]] bool cold() const { return idle() && whole; }
    };

    std::uint32_t below(std::uint32_t bound) {
        return static_cast<std::uint32_t>(random_() % bound);
    }
    template <class What>
    [[nodiscard]] std::uint32_t count(What what) const {
        return static_cast<std::uint32_t>(std::count_if(slots_.begin(), slots_.end(), what));
    }
    [[nodiscard]] static bool is_free(const known& k) { return k.free(); }
    [[nodiscard]] static bool is_cold(const known& k) { return k.cold(); }

    [[nodiscard]] slot_id oldest() const {
        slot_id found = no_slot;
        for (slot_id s = 0; s < slots_.size(); ++s) {
            if (slots_[s].cold() &&
                (found == no_slot || slots_[s].cold_since < slots_[found].cold_since)) {
                found = s;
            }
        }
        return found;
    }
    [[nodiscard]] bool may_go(slot_id s) const {
        if (count(is_free) > 0) {
            return slots_[s].free();
        }
        return slots_[s].cold() &&
               3 * (turns_ - slots_[s].cold_since) >= turns_ - slots_[oldest()].cold_since;
    }

    void take(slot_id last) {
        const slot_id s = pool_.next(last);
        if (count(is_free) + count(is_cold) == 0) {
            REQUIRE(s == no_slot);
            return;
        }
        REQUIRE(s < slots_.size());
        REQUIRE(may_go(s));
        if (last != no_slot && last + 1 < slots_.size() && may_go(last + 1)) {
            REQUIRE(s == last + 1);
        }
        if (slots_[s].cold()) {
            REQUIRE(pool_.owner(s) == slots_[s].owner);
        }
        slots_[s] = {.owner = below(1000), .users = 1};
        pool_.take(s, slots_[s].owner);
    }
    void use(slot_id s) {
        known& k = slots_[s];
        if (k.free()) {
            return;
        }
        if (!k.cold() && below(2) == 0) {
            k.whole = !k.whole;
            pool_.set_whole(s, k.whole);
            return;
        }
        ++k.users;
        pool_.retain(s);
    }
    void transfer(slot_id s) {
        known& k = slots_[s];
        if (k.users > 0 && below(2) == 0) {
            ++k.transfers;
            pool_.transfer_begins(s);
        } else if (k.transfers > 0) {
            --k.transfers;
            settled(s, pool_.transfer_ends(s));
        }
    }
    void leave(slot_id s) {
        if (slots_[s].users > 0) {
            --slots_[s].users;
            settled(s, pool_.release(s));
        }
    }
    void settled(slot_id s, left what) {
        known& k = slots_[s];
        const left expected = k.users > 0       ? left::in_use
                              : k.transfers > 0 ? left::quarantined
                              : k.whole         ? left::cold
                                                : left::freed;
        REQUIRE(what == expected);
        if (what == left::cold) {
            k.cold_since = ++turns_;
        } else if (what == left::freed) {
            k.owner = slot_pool::no_owner;
        }
    }
    void check() {
        REQUIRE(pool_.free() == count(is_free));
        REQUIRE(pool_.cold() == count(is_cold));
        REQUIRE(pool_.quarantined() ==
                count([](const known& k) { return k.users == 0 && k.transfers > 0; }));
        REQUIRE(pool_.victim() == oldest());
        for (slot_id s = 0; s < slots_.size(); ++s) {
            REQUIRE(pool_.owner(s) == slots_[s].owner);
            REQUIRE(pool_.users(s) == slots_[s].users);
        }
    }

    std::mt19937 random_;
    std::vector<known> slots_;
    slot_pool pool_;
    std::uint64_t turns_ = 0;
};

TEST_CASE("slot pool: random histories", "[slot_pool]") {
    const std::uint32_t first = std::random_device{}();
    for (std::uint32_t i = 0; i < 200; ++i) {
        const std::uint32_t seed = i < 100 ? i : first + i;
        CAPTURE(seed);
        history(seed).run();
    }
}

}  // namespace
