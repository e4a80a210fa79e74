// SPDX-License-Identifier: Apache-2.0
#include "fetch_client.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "process_usage.hpp"
#include "quantile.hpp"

namespace sluice::bench {
namespace {

constexpr auto connect_timeout = std::chrono::seconds(10);

block_key key_of(std::uint64_t block_bytes, std::uint64_t offset) noexcept {
    return block_key::from_u64(block_bytes << 32 | offset / block_bytes);
}

}  // namespace

struct fetch_client::get_slot : store_get {
    explicit get_slot(fetch_client& c) noexcept : owner(&c) {
        on_completion(c.home_, [](operation& op) noexcept {
            auto& self = static_cast<get_slot&>(op);
            self.owner->ended(self);
        });
    }
    fetch_client* owner;
    time_point started{};
};

struct fetch_client::put_slot : store_put {
    put_slot(fetch_client& c, std::atomic<std::size_t>& others) noexcept
        : owner(&c), left(&others) {
        on_completion(c.home_, [](operation& op) noexcept {
            auto& self = static_cast<put_slot&>(op);
            if (--*self.left == 0) {
                self.owner->finished();
            }
        });
    }
    fetch_client* owner;
    std::atomic<std::size_t>* left;
};

/// An operation that is waited for.
template <class Op>
struct fetch_client::single : Op {
    explicit single(fetch_client& c) noexcept : owner(&c) {
        this->on_completion(
            c.home_, [](operation& op) noexcept { static_cast<single&>(op).owner->finished(); });
    }
    fetch_client* owner;
};

fetch_client::pump_work::pump_work(fetch_client& c) noexcept
    : work([](work& w) noexcept {
          fetch_client& self = *static_cast<pump_work&>(w).owner;
          self.pump_posted_ = false;
          self.pump();
      }),
      owner(&c) {}

fetch_client::fetch_client(const options& o) noexcept
    : options_(o), home_("fetch-caller"), pump_(*this) {
    for (std::uint32_t i = 0; i < raw_fabric::max_window; ++i) {
        slots_.push_back(std::make_unique<get_slot>(*this));
    }
}

fetch_client::~fetch_client() {
    store_.reset();
    home_.stop();
    home_.join();
}

absl::StatusOr<std::unique_ptr<fetch_client>> fetch_client::connect(const options& o,
                                                                    const bench_node& node,
                                                                    std::span<std::byte> local) {
    std::unique_ptr<fetch_client> c(new fetch_client(o));
    SLUICE_RETURN_IF_ERROR(c->open(node, local));
    return c;
}

absl::Status fetch_client::open(const bench_node& node, std::span<std::byte> local) {
    node_ = node.id();
    fabric_store_options o;
    o.nodes = {node.address()};
    o.secret_file = node.secret_file();
    o.provider = options_.provider;
    o.checksums = options_.checksum == fetch_checksum::on;
    o.connections = options_.connections;
    o.bytes_in_flight = options_.bytes_in_flight;
    o.soft_timeout = std::chrono::seconds(20);  // a busy machine is no fault of the node's
    o.connect_timeout = connect_timeout;
    auto made = fabric_store::create(o, drives() ? &home_ : nullptr);
    SLUICE_RETURN_IF_ERROR(made.status());
    store_ = *std::move(made);
    SLUICE_RETURN_IF_ERROR(store_->register_memory(local));
    if (!drives()) {
        SLUICE_RETURN_IF_ERROR(home_.start());
    }
    return await_node();
}

absl::Status fetch_client::await_node() {
    const auto give_up = std::chrono::steady_clock::now() + connect_timeout;
    for (;;) {
        single<fabric_inspect> op(*this);
        store_->inspect(op);
        SLUICE_RETURN_IF_ERROR(wait());
        const node_health& health = op.reports.front().health;
        if (health.state == node_state::ready) {
            return absl::OkStatus();
        }
        if (health.state == node_state::down || std::chrono::steady_clock::now() > give_up) {
            return absl::UnavailableError(
                fmt::format("{} cannot be reached: {}", health.node, health.error.ToString()));
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

/// Until `finished`.
absl::Status fetch_client::wait() {
    absl::Status status;
    if (drives()) {
        status = home_.run_until(done_);
    } else {
        done_.wait(false);
    }
    done_.store(false);
    return status;
}

void fetch_client::finished() noexcept {
    done_.store(true);
    done_.notify_one();
}

absl::Status fetch_client::put(const fetch_plan& plan, std::span<const std::byte> pool) {
    std::uint64_t first = 0;
    for (const std::uint32_t blocks : plan.groups) {
        SLUICE_RETURN_IF_ERROR(put_group(plan.block_bytes, first, blocks, pool));
        first += blocks;
    }
    return absl::OkStatus();
}

absl::Status fetch_client::put_group(std::uint64_t block_bytes, std::uint64_t first,
                                     std::size_t blocks, std::span<const std::byte> pool) {
    std::atomic<std::size_t> left{blocks};
    std::vector<std::unique_ptr<put_slot>> slots;
    std::vector<store_put*> ops;
    for (std::size_t i = 0; i < blocks; ++i) {
        slots.push_back(std::make_unique<put_slot>(*this, left));
        const std::uint64_t at = (first + i) * block_bytes;
        slots.back()->key = key_of(block_bytes, at);
        slots.back()->from = pool.subspan(at, block_bytes);
        ops.push_back(slots.back().get());
    }
    store_->put(ops);
    SLUICE_RETURN_IF_ERROR(wait());
    absl::Status worst;
    for (const auto& slot : slots) {
        worst.Update(slot->status());
    }
    return annotate(worst, fmt::format("put of {} blocks of {} bytes", blocks, block_bytes));
}

absl::Status fetch_client::look_up(const raw_reads& reads) {
    std::vector<block_key> keys;
    for (const std::uint64_t offset : reads.remote) {
        keys.push_back(key_of(reads.block_bytes, offset));
    }
    std::vector<std::uint8_t> present(keys.size());
    single<store_lookup> op(*this);
    op.keys = keys;
    op.present = present;
    store_->lookup(op);
    SLUICE_RETURN_IF_ERROR(wait());
    SLUICE_RETURN_IF_ERROR(op.status());
    const auto missing = std::count(present.begin(), present.end(), std::uint8_t{0});
    if (missing > 0) {
        return absl::NotFoundError(fmt::format("the node lacks {} of {} blocks of {} bytes",
                                               missing, keys.size(), reads.block_bytes));
    }
    return absl::OkStatus();
}

absl::StatusOr<raw_figures> fetch_client::read_blocks(const raw_reads& reads) {
    reads_ = reads;
    issued_ = ended_ = failed_ = 0;
    failure_ = absl::StatusCode::kOk;
    took_ns_.clear();
    took_ns_.reserve(reads.remote.size());
    free_.clear();
    for (std::uint32_t i = 0; i < reads.window; ++i) {
        free_.push_back(slots_[i].get());
    }
    const double node_cpu = cpu_seconds_of(node_);
    const double cpu = cpu_seconds_of(getpid());
    const time_point begin = home_.now();
    if (drives() && reads.window == 1) {
        SLUICE_RETURN_IF_ERROR(read_one_by_one(reads));
    } else {
        pump_posted_ = true;
        home_.post(pump_);
        SLUICE_RETURN_IF_ERROR(wait());
    }
    raw_figures out;
    out.seconds = to_seconds(home_.now() - begin);
    out.cpu_s = cpu_seconds_of(getpid()) - cpu;
    out.target_cpu_s = cpu_seconds_of(node_) - node_cpu;
    if (failed_ > 0) {
        return absl::UnavailableError(
            fmt::format("{} of {} blocks could not be read, the last one: {}", failed_,
                        reads.remote.size(), absl::StatusCodeToString(failure_)));
    }
    out.p50_us = quantile(took_ns_, 0.5) * 1e-3;
    out.p99_us = quantile(took_ns_, 0.99) * 1e-3;
    return out;
}

// What a thread sees that asks for one block and waits for it.
absl::Status fetch_client::read_one_by_one(const raw_reads& reads) {
    get_slot& slot = *slots_.front();
    store_get* const ops[] = {&slot};
    for (std::size_t i = 0; i < reads.remote.size(); ++i) {
        prepare(slot);
        slot.started = home_.now();
        store_->get(ops);
        SLUICE_RETURN_IF_ERROR(wait());
        took_ns_.push_back((home_.now() - slot.started).count());
    }
    return absl::OkStatus();
}

void fetch_client::prepare(get_slot& slot) noexcept {
    slot.key = key_of(reads_.block_bytes, reads_.remote[issued_]);
    slot.into = {reads_.local[issued_], reads_.block_bytes};
    ++issued_;
}

// Starts as many gets as the window has room for.
void fetch_client::pump() noexcept {
    std::array<store_get*, raw_fabric::max_window> batch;
    std::size_t count = 0;
    const time_point now = home_.now();
    while (!free_.empty() && issued_ < reads_.remote.size()) {
        get_slot& slot = *free_.back();
        free_.pop_back();
        prepare(slot);
        slot.started = now;
        batch[count++] = &slot;
    }
    if (count > 0) {
        store_->get(std::span(batch).first(count));
    }
}

void fetch_client::ended(get_slot& slot) noexcept {
    if (!slot.status().ok()) {
        ++failed_;
        failure_ = slot.status().code();
    }
    if (drives() && reads_.window == 1) {
        finished();
        return;
    }
    took_ns_.push_back((home_.now() - slot.started).count());
    free_.push_back(&slot);
    if (++ended_ == reads_.remote.size()) {
        finished();
    } else if (!std::exchange(pump_posted_, true)) {
        home_.post(pump_);  // after those that have ended too
    }
}

}  // namespace sluice::bench
