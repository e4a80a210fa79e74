// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/thread_loop.hpp>
#include <sluice/fabric/fabric_store.hpp>
#include <sluice/fabric/memory_node.hpp>

namespace sluice::test {

inline const std::string test_secret = "a secret of the tests, not of anybody";

/// A memory node on a thread of its own, which can be made to hang as by SIGSTOP.
class test_node {
 public:
    explicit test_node(memory_node_options options = small()) : options_(std::move(options)) {
        // Below the ports that the system gives to outgoing connections, so that nobody has it when
        // the node comes back.
        static std::atomic<unsigned> next{static_cast<unsigned>(::getpid()) * 37u};
        absl::Status status = absl::AlreadyExistsError("");
        while (status.code() == absl::StatusCode::kAlreadyExists) {
            options_.listen = "tcp://127.0.0.1:" + std::to_string(15'000 + next++ % 17'000);
            status = open();
        }
        REQUIRE(status.ok());
        REQUIRE(loop_->start().ok());
    }
    ~test_node() { stop(); }

    static memory_node_options small() {
        memory_node_options o;
        o.memory = 16 * mib;
        o.secret = test_secret;
        return o;
    }

    /// Starts where it was.
    void start() {
        const absl::Status status = open();
        INFO(status.ToString());
        REQUIRE(status.ok());
        REQUIRE(loop_->start().ok());
    }
    void stop() {
        resume();
        if (loop_ != nullptr) {
            loop_->stop();
            loop_->join();
            node_.reset();
            loop_.reset();
        }
    }
    /// Nothing happens at the node any more until `resume`.
    void hang() {
        block_.emplace();
        loop_->post(*block_);
        block_->reached.acquire();
    }
    void resume() {
        if (block_) {
            block_->go.release();
            block_->left.acquire();
            block_.reset();
        }
    }

    void post(work& w) { loop_->post(w); }
    [[nodiscard]] const std::string& address() const { return options_.listen; }
    memory_node& operator*() { return *node_; }
    memory_node* operator->() { return node_.get(); }

 private:
    absl::Status open() {
        loop_ = std::make_unique<thread_loop>("test-node");
        absl::StatusOr<std::unique_ptr<memory_node>> node =
            memory_node::create(options_, loop_.get());
        if (node.ok()) {
            node_ = *std::move(node);
        }
        return node.status();
    }

    struct block : work {
        block()
            : work([](work& w) noexcept {
                  auto& self = static_cast<block&>(w);
                  self.reached.release();
                  self.go.acquire();
                  self.left.release();
              }) {}
        std::binary_semaphore reached{0}, go{0}, left{0};
    };

    memory_node_options options_;
    std::unique_ptr<thread_loop> loop_;
    std::unique_ptr<memory_node> node_;
    std::optional<block> block_;
};

/// A store on a loop that the test's thread drives while it waits.
class test_client {
 public:
    explicit test_client(const fabric_store_options& options) {
        absl::StatusOr<std::unique_ptr<fabric_store>> s = fabric_store::create(options, &loop_);
        INFO(s.status().ToString());
        REQUIRE(s.ok());
        store_ = *std::move(s);
    }

    static fabric_store_options of(std::initializer_list<const test_node*> nodes) {
        fabric_store_options o;
        for (const test_node* n : nodes) {
            o.nodes.push_back(n->address());
        }
        o.secret = test_secret;
        // Only tests of timeouts want any; others run on busy machines.
        o.soft_timeout = std::chrono::seconds(30);
        o.connect_timeout = std::chrono::seconds(30);
        return o;
    }

    absl::StatusCode put(std::uint64_t key, std::span<const std::byte> bytes) {
        waited<store_put> op(*this);
        op.key = block_key::from_u64(key);
        op.from = bytes;
        store_put* const ops[] = {&op};
        store_->put(ops);
        return wait(op);
    }
    absl::StatusCode get(std::uint64_t key, std::span<std::byte> into) {
        waited<store_get> op(*this);
        op.key = block_key::from_u64(key);
        op.into = into;
        store_get* const ops[] = {&op};
        store_->get(ops);
        return wait(op);
    }
    std::vector<std::uint8_t> lookup(const std::vector<std::uint64_t>& ids) {
        std::vector<block_key> keys;
        for (const std::uint64_t id : ids) {
            keys.push_back(block_key::from_u64(id));
        }
        std::vector<std::uint8_t> present(keys.size(), 9);
        waited<store_lookup> op(*this);
        op.keys = keys;
        op.present = present;
        store_->lookup(op);
        CHECK(wait(op) == absl::StatusCode::kOk);
        return present;
    }
    void remove(std::uint64_t id) {
        const block_key key = block_key::from_u64(id);
        waited<store_remove> op(*this);
        op.keys = {&key, 1};
        store_->remove(op);
        CHECK(wait(op) == absl::StatusCode::kOk);
    }

    /// An operation whose end the test's thread waits for.
    template <class Op>
    struct waited : Op {
        explicit waited(test_client& c) { this->on_completion(c.loop_, &waited::ended); }
        static void ended(operation& op) noexcept {
            auto& self = static_cast<waited&>(op);
            ++self.times;
            self.done.store(true);
        }
        std::atomic<bool> done{false};
        int times = 0;
    };
    template <class Op>
    absl::StatusCode wait(waited<Op>& op) {
        REQUIRE(loop_.run_until(op.done).ok());
        REQUIRE(op.times == 1);
        return op.status().code();
    }
    /// Drives the loop until a node is in a state.
    void wait_for(std::size_t node, node_state state) {
        while (store_->health()[node].state != state) {
            waited<fabric_inspect> op(*this);
            store_->inspect(op);
            wait(op);
            if (store_->health()[node].state != state) {
                pause();
            }
        }
    }
    /// Lets timers of the loop run.
    void pause() {
        struct short_timer : timer {
            explicit short_timer(std::atomic<bool>& f)
                : timer([](timer& t) noexcept { static_cast<short_timer&>(t).flag->store(true); }),
                  flag(&f) {}
            std::atomic<bool>* flag;
        };
        struct arming : work {
            arming(loop& l, timer& t)
                : work([](work& w) noexcept {
                      auto& self = static_cast<arming&>(w);
                      self.on->arm(*self.what, self.on->now() + std::chrono::milliseconds(1));
                  }),
                  on(&l),
                  what(&t) {}
            loop* on;
            timer* what;
        };
        std::atomic<bool> fired{false};
        short_timer t(fired);
        arming a(loop_, t);
        loop_.post(a);
        REQUIRE(loop_.run_until(fired).ok());
    }

    fabric_store& operator*() { return *store_; }
    fabric_store* operator->() { return store_.get(); }

 private:
    thread_loop loop_;
    std::unique_ptr<fabric_store> store_;
};

inline std::vector<std::byte> block_of(std::uint64_t key, std::size_t size) {
    std::vector<std::byte> out(size);
    std::uint64_t x = key * 0x9e3779b97f4a7c15u + 1;
    for (std::size_t i = 0; i < size; ++i) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out[i] = static_cast<std::byte>(x);
    }
    return out;
}

}  // namespace sluice::test
