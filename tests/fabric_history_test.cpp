// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/fabric/fabric_store.hpp>

#include "support/fabric_rig.hpp"

// Random histories of a store and three nodes that die, hang and come back: every operation ends
// once, what ends well is right, and nothing touches memory after its operation has ended.

namespace {

using namespace std::chrono_literals;
using absl::StatusCode;
using sluice::kib;
using sluice::store_get;
using sluice::store_put;
using sluice::test::block_of;
using sluice::test::test_client;
using sluice::test::test_node;

constexpr std::size_t block_bytes = 24 * kib;
constexpr std::uint64_t keys = 40;
constexpr std::byte untouched{0xa5};

class history {
 public:
    explicit history(std::uint64_t seed)
        : random_(seed), client_(options(nodes_, seed)), memory_(slots * block_bytes, untouched) {
        REQUIRE(client_->register_memory(memory_).ok());
        for (std::uint64_t k = 0; k < keys; ++k) {
            blocks_.push_back(block_of(k, block_bytes));
        }
    }
    ~history() { client_->unregister_memory(memory_); }

    void run(int steps) {
        for (int i = 0; i < steps; ++i) {
            step();
        }
        for (test_node& n : nodes_) {
            n.resume();
        }
        while (!gets_.empty() || !puts_.empty()) {
            end_oldest();
        }
        check_slots();
        for (std::size_t n = 0; n < nodes_.size(); ++n) {
            if (dead_[n]) {
                nodes_[n].start();
                dead_[n] = false;
            }
            client_.wait_for(n, sluice::node_state::ready);
        }
        // With all nodes back everything works again.
        CHECK(client_.put(keys + 1, blocks_[0]) == StatusCode::kOk);
        std::vector<std::byte> into(block_bytes);
        CHECK(client_.get(keys + 1, into) == StatusCode::kOk);
        CHECK(into == blocks_[0]);
        const auto s = client_->stats();
        CHECK(s.gets == ended_gets_ + 1);
        CHECK(s.puts == ended_puts_ + 1);
    }

    int right = 0;

 private:
    static constexpr std::size_t slots = 48;
    struct get_op : test_client::waited<store_get> {
        using waited::waited;
        std::uint64_t block = 0;
        std::size_t slot = 0;
    };
    struct put_op : test_client::waited<store_put> {
        using waited::waited;
    };

    static sluice::fabric_store_options options(std::deque<test_node>& nodes, std::uint64_t seed) {
        nodes.resize(3);
        auto o = test_client::of({&nodes[0], &nodes[1], &nodes[2]});
        o.replicas = static_cast<std::uint32_t>(1 + seed % 3);
        o.checksums = seed % 4 != 0;
        o.connections = static_cast<std::uint32_t>(1 + seed % 2);
        // So that hanging costs little time.
        o.soft_timeout = 20ms;
        o.connect_timeout = 100ms;
        return o;
    }

    std::uint64_t pick(std::uint64_t n) { return random_() % n; }

    void step() {
        switch (pick(20)) {
        case 0: {
            const std::size_t n = pick(3);
            if (!dead_[n]) {
                nodes_[n].resume();
                nodes_[n].hang();
            }
            break;
        }
        case 1:
        case 2: nodes_[pick(3)].resume(); break;
        case 3: {
            const std::size_t n = pick(3);
            if (dead_[n]) {
                nodes_[n].start();
            } else {
                nodes_[n].stop();
            }
            dead_[n] = !dead_[n];
            break;
        }
        case 4: abort_one(); break;
        case 5: {
            const auto present = client_.lookup({pick(keys), pick(keys), pick(keys)});
            CHECK(std::ranges::all_of(present, [](std::uint8_t p) { return p <= 1; }));
            break;
        }
        case 6: client_.remove(pick(keys)); break;
        case 7:
        case 8:
        case 9:
        case 10: start_puts(); break;
        case 11: check_slots(); break;
        case 12:
        case 13:
        case 14: end_oldest(); break;
        default: start_gets();
        }
    }

    void start_gets() {
        std::vector<store_get*> started;
        for (std::uint64_t n = 1 + pick(8); n > 0 && free_.size() > 0; --n) {
            auto& op = *gets_.emplace_back(std::make_unique<get_op>(client_));
            op.block = pick(keys);
            op.slot = free_.back();
            free_.pop_back();
            op.key = sluice::block_key::from_u64(op.block);
            op.into = slot(op.slot);
            started.push_back(&op);
        }
        client_->get(started);
    }

    void start_puts() {
        std::vector<store_put*> started;
        for (std::uint64_t n = 1 + pick(8); n > 0; --n) {
            auto& op = *puts_.emplace_back(std::make_unique<put_op>(client_));
            const std::uint64_t block = pick(keys);
            op.key = sluice::block_key::from_u64(block);
            op.from = blocks_[block];
            started.push_back(&op);
        }
        client_->put(started);
    }

    void abort_one() {
        if (!gets_.empty() && pick(2) == 0) {
            client_->abort(*gets_[pick(gets_.size())]);
        } else if (!puts_.empty()) {
            client_->abort(*puts_[pick(puts_.size())]);
        }
    }

    void end_oldest() {
        if (!puts_.empty()) {
            const StatusCode how = client_.wait(*puts_.front());
            CHECK((how == StatusCode::kOk || how == StatusCode::kUnavailable ||
                   how == StatusCode::kDeadlineExceeded));
            ++ended_puts_;
            puts_.pop_front();
        }
        if (!gets_.empty()) {
            get_op& op = *gets_.front();
            const StatusCode how = client_.wait(op);
            if (how == StatusCode::kOk) {
                CHECK(std::ranges::equal(op.into, blocks_[op.block]));
                ++right;
            } else {
                CHECK((how == StatusCode::kNotFound || how == StatusCode::kUnavailable ||
                       how == StatusCode::kDeadlineExceeded));
            }
            ++ended_gets_;
            // From now on nobody may write there.
            std::ranges::fill(op.into, untouched);
            free_.push_back(op.slot);
            gets_.pop_front();
        }
    }

    void check_slots() {
        for (const std::size_t s : free_) {
            CHECK(std::ranges::all_of(slot(s), [](std::byte b) { return b == untouched; }));
        }
    }

    std::span<std::byte> slot(std::size_t i) {
        return std::span(memory_).subspan(i * block_bytes, block_bytes);
    }

    std::mt19937_64 random_;
    std::deque<test_node> nodes_;
    std::array<bool, 3> dead_{};
    test_client client_;
    std::vector<std::byte> memory_;
    std::vector<std::vector<std::byte>> blocks_;
    std::vector<std::size_t> free_ = [] {
        std::vector<std::size_t> all(slots);
        for (std::size_t i = 0; i < slots; ++i) {
            all[i] = i;
        }
        return all;
    }();
    std::deque<std::unique_ptr<get_op>> gets_;
    std::deque<std::unique_ptr<put_op>> puts_;
    std::uint64_t ended_gets_ = 0;
    std::uint64_t ended_puts_ = 0;
};

TEST_CASE("fabric_store: random histories with nodes that die and hang") {
    std::uint64_t first = std::random_device()();
    int count = 12;
    if (const char* const seed = std::getenv("SLUICE_SEED"); seed != nullptr) {
        first = std::strtoull(seed, nullptr, 10);
        count = 1;
    }
    int right = 0;
    for (int i = 0; i < count; ++i) {
        const std::uint64_t seed = first + static_cast<std::uint64_t>(i);
        INFO("SLUICE_SEED=" << seed);
        history h(seed);
        h.run(150);
        right += h.right;
    }
    CHECK(right > 0);
}

}  // namespace
