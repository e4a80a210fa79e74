// SPDX-License-Identifier: Apache-2.0
#include <sluice/store/memory_store.hpp>

#include <atomic>
#include <mutex>
#include <utility>

#include <sluice/base/checksum.hpp>

#include "block_slabs.hpp"
#include "copy_bytes.hpp"
#include "serial_link.hpp"

namespace sluice {
namespace {

enum kind : std::uint32_t { kind_get, kind_put, kind_lookup, kind_remove };

// Relaxed: counters order nothing.
using counter = std::atomic<std::uint64_t>;

void count(counter& c) noexcept { c.fetch_add(1, std::memory_order_relaxed); }

absl::Status failed(absl::StatusCode code) noexcept { return {code, ""}; }

}  // namespace

struct memory_store::state final : detail::link_server {
    explicit state(const memory_store_options& o)
        : checksums(o.checksums), table(o.capacity, o.evict) {}

    void serve(detail::link_entry& e) noexcept override;
    void settle(detail::link_entry& e, bool aborted) noexcept override;

    absl::Status get(const store_get& op, std::uint64_t& passed) noexcept;
    absl::Status put(const store_put& op, std::uint64_t& passed, void*& reserved) noexcept;
    absl::Status lookup(const store_lookup& op) noexcept;
    void publish() noexcept;

    const bool checksums;
    counter blocks{0}, bytes{0}, gets{0}, misses{0}, corrupt{0}, puts{0}, refused{0}, evicted{0};

    std::mutex mutex;  // guards table, for the sake of `damage`: all else is on one loop
    detail::block_slabs table;

    detail::link_host link;  // last: its thread uses all of the above
};

void memory_store::state::serve(detail::link_entry& e) noexcept {
    const std::lock_guard lock(mutex);
    e.bytes = 0;
    switch (e.kind) {
    case kind_get: e.status = get(static_cast<store_get&>(*e.op), e.bytes); break;
    case kind_put: e.status = put(static_cast<store_put&>(*e.op), e.bytes, e.data); break;
    case kind_lookup: e.status = lookup(static_cast<store_lookup&>(*e.op)); break;
    default:
        for (const block_key& key : static_cast<store_remove&>(*e.op).keys) {
            if (detail::stored_block* const b = table.find(key); b != nullptr) {
                table.drop(*b);
            }
        }
    }
    publish();
}

void memory_store::state::settle(detail::link_entry& e, bool aborted) noexcept {
    if (e.data == nullptr) {
        return;
    }
    auto& reserved = *static_cast<detail::stored_block*>(std::exchange(e.data, nullptr));
    const std::lock_guard lock(mutex);
    if (aborted) {
        table.abandon(reserved);
    } else {
        table.commit(reserved);
    }
    publish();
}

absl::Status memory_store::state::get(const store_get& op, std::uint64_t& passed) noexcept {
    count(gets);
    if (op.key.empty()) {
        return failed(absl::StatusCode::kInvalidArgument);
    }
    detail::stored_block* const b = table.find(op.key);
    if (b == nullptr) {
        count(misses);
        return failed(absl::StatusCode::kNotFound);
    }
    if (b->length != op.into.size()) {
        return failed(absl::StatusCode::kInvalidArgument);
    }
    passed = b->length;
    detail::copy_bytes(op.into.data(), b->data, op.into.size());
    // What has landed is what counts, and it is warm now.
    if (checksums && checksum64(op.into) != b->checksum) {
        count(corrupt);
        table.drop(*b);
        return failed(absl::StatusCode::kDataLoss);
    }
    table.touch(*b);
    return absl::OkStatus();
}

absl::Status memory_store::state::put(const store_put& op, std::uint64_t& passed,
                                      void*& reserved) noexcept {
    count(puts);
    if (op.key.empty() || op.from.empty()) {
        return failed(absl::StatusCode::kInvalidArgument);
    }
    if (detail::stored_block* const there = table.find(op.key); there != nullptr) {
        table.touch(*there);
        return absl::OkStatus();
    }
    detail::stored_block* const b = table.reserve(op.key, op.from.size());
    if (b == nullptr) {
        count(refused);
        return failed(absl::StatusCode::kResourceExhausted);
    }
    detail::copy_bytes(b->data, op.from.data(), op.from.size());
    b->checksum = checksums ? checksum64(b->bytes()) : 0;
    passed = b->length;
    reserved = b;
    return absl::OkStatus();
}

absl::Status memory_store::state::lookup(const store_lookup& op) noexcept {
    if (op.present.size() < op.keys.size()) {
        return failed(absl::StatusCode::kInvalidArgument);
    }
    for (std::size_t i = 0; i < op.keys.size(); ++i) {
        detail::stored_block* const b = table.find(op.keys[i]);
        op.present[i] = b != nullptr ? 1 : 0;
        if (b != nullptr) {
            table.touch(*b);  // a get is likely to follow
        }
    }
    return absl::OkStatus();
}

void memory_store::state::publish() noexcept {
    blocks.store(table.blocks(), std::memory_order_relaxed);
    bytes.store(table.bytes(), std::memory_order_relaxed);
    evicted.store(table.evicted(), std::memory_order_relaxed);
}

absl::StatusOr<std::unique_ptr<memory_store>> memory_store::create(
    const memory_store_options& options, loop* on) {
    if (options.capacity == 0) {
        return absl::InvalidArgumentError("a memory store has a capacity of at least one byte");
    }
    auto s = std::make_unique<state>(options);
    if (absl::Status opened = s->link.open(on, "sluice-store", *s,
                                           {.rate = options.link_rate,
                                            .per_operation = options.per_operation,
                                            .latency = options.latency});
        !opened.ok()) {
        return opened;
    }
    return std::unique_ptr<memory_store>(new memory_store(std::move(s)));
}

memory_store::memory_store(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}

memory_store::~memory_store() = default;

absl::Status memory_store::register_memory(std::span<std::byte> memory) {
    if (memory.empty()) {
        return absl::InvalidArgumentError("there is no memory to register");
    }
    return absl::OkStatus();
}

void memory_store::unregister_memory(std::span<std::byte> /*memory*/) noexcept {}

void memory_store::lookup(store_lookup& op) noexcept {
    state_->link->post_message(op, kind_lookup);
}

void memory_store::get(std::span<store_get* const> ops) noexcept {
    state_->link->post(ops, kind_get, [](const store_get& op) { return op.into.size(); });
}

void memory_store::put(std::span<store_put* const> ops) noexcept {
    state_->link->post(ops, kind_put, [](const store_put& op) { return op.from.size(); });
}

void memory_store::remove(store_remove& op) noexcept {
    state_->link->post_message(op, kind_remove);
}

void memory_store::abort(operation& op) noexcept { state_->link->abort(op); }

absl::Status memory_store::set_link_rate(double bytes_per_second) noexcept {
    if (absl::Status s = detail::serial_link::check({.rate = bytes_per_second}); !s.ok()) {
        return s;
    }
    state_->link->set_rate(bytes_per_second);
    return absl::OkStatus();
}

bool memory_store::damage(const block_key& key) noexcept {
    const std::lock_guard lock(state_->mutex);
    detail::stored_block* const b = state_->table.find(key);
    if (b == nullptr) {
        return false;
    }
    b->data[b->length / 2] ^= std::byte{0xff};
    return true;
}

memory_store_stats memory_store::stats() const noexcept {
    const state& s = *state_;
    const auto read = [](const counter& c) { return c.load(std::memory_order_relaxed); };
    return {.blocks = read(s.blocks),
            .bytes = read(s.bytes),
            .gets = read(s.gets),
            .misses = read(s.misses),
            .corrupt = read(s.corrupt),
            .puts = read(s.puts),
            .refused = read(s.refused),
            .evicted = read(s.evicted),
            .busy_seconds = s.link->busy_seconds()};
}

}  // namespace sluice
