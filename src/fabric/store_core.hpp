// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <sluice/coro/loop.hpp>
#include <sluice/fabric/fabric_store.hpp>
#include <sluice/stage/rate_limiter.hpp>

#include "../placement.hpp"
#include "local_memory.hpp"
#include "peer.hpp"
#include "spot_cache.hpp"

namespace sluice::fabric {

/// What a fabric_store does on its loop: which node is asked for which block, and what becomes of
/// the answers.
class store_core final : peer::user {
 public:
    /// \param nodes  parsed from `options.nodes`, in their order
    store_core(loop& on, const fabric_store_options& options, wire::shared_secret secret,
               std::vector<wire::address> nodes);
    ~store_core();

    enum class kind : std::uint8_t { get, put, lookup, remove, inspect, abort };
    /// Queues operations; any thread.
    template <class Op>
    void post(std::span<Op* const> ops, kind k) noexcept {
        add(k, ops.size(), [ops](std::size_t i) -> operation* { return ops[i]; });
    }
    void post(operation& op, kind k) noexcept {
        add(k, 1, [&op](std::size_t) { return &op; });
    }
    /// Any thread.
    void set_link_rate(double bytes_per_second) noexcept;
    [[nodiscard]] std::vector<node_health> health() const;
    [[nodiscard]] fabric_store_stats stats() const noexcept;

    [[nodiscard]] local_memory& memory() noexcept { return memory_; }

    /// Frees a core on which nothing is under way: on its loop or when that does not run.
    struct orphan {
        void operator()(store_core* core) const noexcept;
    };
    using pointer = std::unique_ptr<store_core, orphan>;

 private:
    struct posted {
        operation* op;
        kind what;
    };
    // A store's put and what its nodes make of it.
    struct put_job {
        store_put* op = nullptr;
        std::uint32_t left = 0;
        absl::StatusCode best = absl::StatusCode::kUnavailable;
        time_point since{};
        std::array<put_item, detail::max_replicas> items;
    };
    struct lookup_job;
    // A remove or inspect: one message to each of several nodes.
    struct spread_job {
        operation* op = nullptr;  // null: it has ended
        fabric_inspect* inspect = nullptr;
        std::uint32_t messages = 0;
    };
    struct wake : work {
        explicit wake(store_core& c) noexcept : work(&store_core::on_wake), owner(&c) {}
        store_core* owner;
    };
    struct gate : timer {
        explicit gate(store_core& c) noexcept
            : timer([](timer& t) noexcept { static_cast<gate&>(t).owner->open_gate(); }),
              owner(&c) {}
        store_core* owner;
    };

    template <class OpAt>
    void add(kind k, std::size_t count, OpAt op_at) noexcept {
        if (count == 0) {
            return;
        }
        const std::lock_guard lock(mutex_);
        for (std::size_t i = 0; i < count; ++i) {
            inbox_.push_back({op_at(i), k});
        }
        if (!awake_) {
            awake_ = true;
            loop_.post(wake_);
        }
    }
    static void on_wake(work& w) noexcept;
    void take_inbox();

    // store_core.cpp: gets
    void start_get(store_get& op);
    void try_next(read_item& item);
    void next_node(read_item& item, absl::StatusCode why);
    void on_located(peer& p, read_item& item, const wire::placement& at, time_point asked) override;
    void on_landed(peer& p, read_item& item) override;
    void on_failed(peer& p, read_item& item, absl::StatusCode why) override;
    void end_get(read_item& item, absl::StatusCode how);
    void end(operation& op, absl::StatusCode how, std::uint64_t bytes, time_point since);
    void open_gate();
    read_item& new_item(store_get& op);
    void free_item(read_item& item) noexcept;

    // store_core_ops.cpp: the rest
    void start_put(store_put& op);
    void on_put(peer& p, put_item& item, absl::StatusCode how) override;
    void put_ended(put_job& job, absl::StatusCode how);
    void start_lookup(store_lookup& op);
    void ask_round(const std::shared_ptr<lookup_job>& job);
    void answered(const std::shared_ptr<lookup_job>& job, peer& p,
                  const std::vector<std::uint32_t>& which,
                  const absl::StatusOr<wire::found>& answer, time_point asked);
    void lookup_step(const std::shared_ptr<lookup_job>& job);
    void start_inspect(fabric_inspect& op);
    void start_remove(store_remove& op);
    void spread_step(const std::shared_ptr<spread_job>& job);
    void abort_now(operation& op);
    void on_health(peer& p) override;
    [[nodiscard]] bool learn(peer& p, const block_key& key, const wire::placement& at,
                             time_point asked, spot& out);

    loop& loop_;
    const fabric_store_options options_;
    local_memory memory_;
    peer_settings settings_;
    detail::placement placement_;
    std::vector<std::unique_ptr<peer>> peers_;
    spot_cache spots_;
    rate_limiter limiter_;
    double rate_;
    bool started_ = false;

    std::deque<read_item> items_;
    std::vector<read_item*> free_items_;
    std::deque<put_job> jobs_;
    std::vector<put_job*> free_jobs_;
    struct paced_end {
        operation* op;
        absl::StatusCode how;
        time_point due;
    };
    std::deque<paced_end> paced_;  // by due
    std::vector<std::shared_ptr<lookup_job>> lookups_;
    std::vector<std::shared_ptr<spread_job>> spread_;
    std::vector<posted> taken_;
    gate gate_;
    wake wake_;

    store_counts counts_;

    // Guards what follows. Held while the wake-up is posted.
    mutable std::mutex mutex_;
    std::vector<posted> inbox_;
    bool awake_ = false;
    bool orphaned_ = false;
    double new_rate_ = -1;  // negative: none
    std::vector<node_health> health_;
};

}  // namespace sluice::fabric
