// SPDX-License-Identifier: Apache-2.0
#include "batches.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <sluice/sched/ready_queue.hpp>

#include "read.hpp"
#include "status.hpp"
#include "text.hpp"

namespace sluice::capi {

namespace {

constexpr std::uint32_t most_live = 65536;
constexpr stage_limits limits{64, 4 * mib};

}  // namespace

struct batch_queue::batch {
    std::uint64_t ticket = 0;
    std::uint32_t kind = 0;
    std::vector<block_key> keys;
    std::vector<std::span<std::byte>> memory;  // get, put
    sluice_status* results = nullptr;
    std::vector<sluice_status> codes;  // of each key, where `results` may be NULL
    std::uint64_t rank = 0;
    std::uint64_t user = 0;
    std::uint32_t index = 0;  // in running_
    std::uint32_t order = 0;
    std::size_t next = 0;         // the first block that has not started
    std::uint32_t under_way = 0;  // operations
    std::vector<std::uint8_t> present;

    [[nodiscard]] bool moves() const noexcept { return kind <= SLUICE_BATCH_PUT; }
};

/// A block on its way, or the one operation of a batch that moves nothing.
struct batch_queue::batch_op {
    explicit batch_op(batch_queue& q) noexcept : queue(q) {}

    // Each of the seam's structs knows the operation that it is of.
    template <class Seam>
    struct part : Seam {
        batch_op* of = nullptr;
    };
    template <class Seam>
    Seam& prepare(part<Seam>& p, loop& home) noexcept {
        p.of = this;
        running = &p;
        p.on_completion(home, [](operation& o) noexcept {
            batch_op& self = *static_cast<part<Seam>&>(o).of;
            self.queue.op_done(self);
        });
        return p;
    }

    batch_queue& queue;
    std::uint64_t bytes = 0;
    double charge = 0;
    time_point started{};
    bool credited = false;
    batch* owner = nullptr;
    std::size_t at = 0;
    operation* running = nullptr;
    part<store_get> get;
    part<store_put> put;
    part<store_lookup> lookup;
    part<store_remove> remove;
};

batch_queue::turn::turn(batch_queue& queue) noexcept
    : work([](work& w) noexcept { static_cast<turn&>(w).owner.obey(); }), owner(queue) {}

absl::StatusOr<std::unique_ptr<batch_queue>> batch_queue::create(store& s, loop_object* on) {
    std::unique_ptr<thread_loop> own;
    if (on == nullptr) {
        own = std::make_unique<thread_loop>("sluice-batches");
        if (absl::Status status = own->start(); !status.ok()) {
            return status;
        }
    }
    loop& home = on != nullptr ? on->get() : static_cast<loop&>(*own);
    std::unique_ptr<batch_queue> q(new batch_queue(s, on, home));
    if (!q->readable_.valid()) {
        return absl::ResourceExhaustedError("no descriptor for events (eventfd failed)");
    }
    q->own_ = std::move(own);
    return q;
}

batch_queue::batch_queue(store& s, loop_object* on, loop& home)
    : store_(s),
      on_(on),
      home_(home),
      memory_(s),
      turn_(*this),
      use_{*this},
      blocks_(std::make_unique<stage<block_use>>(home, use_, limits)) {}

batch_queue::~batch_queue() {
    const auto over = [this] {
        const std::scoped_lock lock(mutex_);
        return live_ == 0 && !turn_posted_;
    };
    {
        const std::scoped_lock lock(mutex_);
        closing_ = true;
        post_turn();
    }
    if (on_ != nullptr) {
        on_->run_until(over);
    } else {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return live_ == 0 && !turn_posted_; });
    }
    if (own_) {
        own_->stop();
        own_->join();
    }
}

absl::StatusOr<std::uint64_t> batch_queue::submit(const sluice_batch& given) {
    auto b = std::make_unique<batch>();
    if (given.kind > SLUICE_BATCH_REMOVE) {
        return invalid("kind is {}; SLUICE_BATCH_* are possible", given.kind);
    }
    if (given.n == 0) {
        return invalid("n is 0; a batch has at least one key");
    }
    if (std::isnan(given.rank)) {
        return invalid("rank is not a number");
    }
    if (absl::Status s = read_keys(given.keys, given.key_size, given.n, b->keys); !s.ok()) {
        return s;
    }
    b->kind = given.kind;
    b->results = given.results;
    b->codes.assign(given.n, SLUICE_E_CANCELLED);
    b->rank = pack_rank(given.rank);
    b->user = given.user;
    if (b->moves()) {
        for (const auto& [array, name] :
             {std::pair<const void*, std::string_view>{given.memory, "memory"},
              {given.bytes, "bytes"}}) {
            if (absl::Status s = check_array(array, given.n, name); !s.ok()) {
                return s;
            }
        }
        b->memory.reserve(given.n);
        for (std::uint32_t i = 0; i < given.n; ++i) {
            auto* const at = static_cast<std::byte*>(given.memory[i]);
            if (at == nullptr || given.bytes[i] == 0 ||
                given.bytes[i] > UINTPTR_MAX - reinterpret_cast<std::uintptr_t>(at)) {
                return invalid("block {} is {} bytes at {}", i, given.bytes[i], given.memory[i]);
            }
            b->memory.emplace_back(at, given.bytes[i]);
        }
        for (std::size_t i = 0; i < b->memory.size(); ++i) {
            if (absl::Status s = memory_.begin_use(b->memory[i]); !s.ok()) {
                while (i-- > 0) {
                    memory_.end_use(b->memory[i]);
                }
                return s;
            }
        }
    }
    absl::Status refused;
    {
        const std::scoped_lock lock(mutex_);
        if (closing_) {
            refused = absl::FailedPreconditionError("the store is closing");
        } else if (live_ >= most_live) {
            refused = absl::ResourceExhaustedError(
                fmt::format("{} batches are under way; wait for some", live_));
        } else {
            b->ticket = next_ticket_++;
            known_.try_emplace(b->ticket);
            ++live_;
            const std::uint64_t ticket = b->ticket;
            submitted_.push_back(std::move(b));
            post_turn();
            return ticket;
        }
    }
    for (const std::span<std::byte> block : b->memory) {
        memory_.end_use(block);
    }
    return refused;
}

absl::Status batch_queue::cancel(std::uint64_t ticket) {
    const std::scoped_lock lock(mutex_);
    const auto it = known_.find(ticket);
    if (it == known_.end()) {
        return absl::NotFoundError(
            fmt::format("there is no batch {}, or it has been taken", ticket));
    }
    if (!it->second.ended) {
        cancelled_.push_back(ticket);
        post_turn();
    }
    return absl::OkStatus();
}

std::uint32_t batch_queue::poll(std::span<sluice_batch_result> out) {
    const std::scoped_lock lock(mutex_);
    std::uint32_t n = 0;
    while (n < out.size() && !ended_.empty()) {
        const auto it = known_.find(ended_.front());
        ended_.pop_front();
        out[n++] = it->second.result;
        known_.erase(it);
    }
    readable_.set(!ended_.empty());
    return n;
}

absl::StatusOr<sluice_batch_result> batch_queue::wait(std::uint64_t ticket,
                                                      std::uint64_t timeout_ns) {
    constexpr std::uint64_t for_ever = 1ULL << 62;  // ns
    std::unique_lock lock(mutex_);
    const auto it = known_.find(ticket);
    if (it == known_.end() || it->second.waited_for) {
        return absl::NotFoundError(fmt::format(
            "there is no batch {}, or it has been taken, or another thread waits for it", ticket));
    }
    known& k = it->second;  // stays where it is, unlike the iterator
    k.waited_for = true;
    std::erase(ended_, ticket);
    readable_.set(!ended_.empty());
    const auto over = [&] { return woken_ || k.ended; };
    const bool in_time = timeout_ns < for_ever
                             ? changed_.wait_for(lock, std::chrono::nanoseconds(timeout_ns), over)
                             : (changed_.wait(lock, over), true);
    if (k.ended) {
        const sluice_batch_result result = k.result;
        known_.erase(ticket);
        return result;
    }
    k.waited_for = false;
    if (in_time) {
        return absl::CancelledError("the store is being closed");
    }
    return absl::DeadlineExceededError(fmt::format("batch {} goes on", ticket));
}

void batch_queue::wake_waiters() noexcept {
    const std::scoped_lock lock(mutex_);
    woken_ = true;
    changed_.notify_all();
}

void batch_queue::post_turn() {
    if (!turn_posted_) {
        turn_posted_ = true;
        home_.post(turn_);
    }
}

// ---- on the loop

void batch_queue::obey() {
    std::vector<std::unique_ptr<batch>> fresh;
    std::vector<std::uint64_t> stopped;
    bool closing = false;
    {
        const std::scoped_lock lock(mutex_);
        fresh.swap(submitted_);
        stopped.swap(cancelled_);
        closing = closing_;
    }
    for (auto& b : fresh) {
        begin(std::move(b));
    }
    for (const auto& b : running_) {
        if (b && (closing || std::ranges::find(stopped, b->ticket) != stopped.end())) {
            skip_rest(*b);
        }
    }
    if (closing) {
        for (batch_op& op : ops_) {
            if (op.owner != nullptr) {
                store_.abort(*op.running);
            }
        }
    }
    for (std::size_t i = 0; i < running_.size(); ++i) {
        if (running_[i]) {
            end_if_over(*running_[i]);
        }
    }
    const std::scoped_lock lock(mutex_);
    turn_posted_ = false;
    if (!submitted_.empty() || !cancelled_.empty() || closing_ != closing) {
        post_turn();
    }
    changed_.notify_all();
}

void batch_queue::begin(std::unique_ptr<batch> b) {
    if (free_.empty()) {
        free_.push_back(static_cast<std::uint32_t>(running_.size()));
        running_.emplace_back();
    }
    b->index = free_.back();
    free_.pop_back();
    b->order = next_order_++;
    ready_queue::entry entry;
    entry.rank = b->rank;
    entry.arrival_order = b->order;
    batch& started = *b;
    running_[started.index] = std::move(b);
    blocks_->ready(started.index, entry);
}

void batch_queue::skip_rest(batch& b) {
    blocks_->withdraw(b.index);
    for (; b.next < b.keys.size(); ++b.next) {
        if (b.moves()) {
            memory_.end_use(b.memory[b.next]);  // its code says already that it was cancelled
        }
    }
}

taken batch_queue::block_use::take(std::uint32_t index, batch_op*& op) {
    batch& b = *q.running_[index];
    if (b.next == b.keys.size()) {
        return taken::nothing;
    }
    if (q.free_ops_.empty()) {
        q.free_ops_.push_back(&q.ops_.emplace_back(q));
    }
    op = q.free_ops_.back();
    q.free_ops_.pop_back();
    op->owner = &b;
    op->at = b.next;
    op->bytes = b.moves() ? b.memory[b.next].size() : 1;
    b.next = b.moves() ? b.next + 1 : b.keys.size();
    ++b.under_way;
    return taken::started;
}

void batch_queue::block_use::start(std::span<batch_op* const> ops) {
    std::vector<store_get*> gets;
    std::vector<store_put*> puts;
    for (batch_op* const op : ops) {
        batch& b = *op->owner;
        switch (b.kind) {
        case SLUICE_BATCH_GET: {
            store_get& get = op->prepare(op->get, q.home_);
            get.key = b.keys[op->at];
            get.into = b.memory[op->at];
            gets.push_back(&get);
            break;
        }
        case SLUICE_BATCH_PUT: {
            store_put& put = op->prepare(op->put, q.home_);
            put.key = b.keys[op->at];
            put.from = b.memory[op->at];
            puts.push_back(&put);
            break;
        }
        case SLUICE_BATCH_EXISTS: {
            store_lookup& lookup = op->prepare(op->lookup, q.home_);
            b.present.assign(b.keys.size(), 0);
            lookup.keys = b.keys;
            lookup.present = b.present;
            q.store_.lookup(lookup);
            break;
        }
        default: {
            store_remove& remove = op->prepare(op->remove, q.home_);
            remove.keys = b.keys;
            q.store_.remove(remove);
            break;
        }
        }
    }
    if (!gets.empty()) {
        q.store_.get(gets);
    }
    if (!puts.empty()) {
        q.store_.put(puts);
    }
}

void batch_queue::op_done(batch_op& op) {
    blocks_->finished(op);
    batch& b = *std::exchange(op.owner, nullptr);
    const sluice_status code = code_of(op.running->status());
    if (b.moves()) {
        b.codes[op.at] = code;
        memory_.end_use(b.memory[op.at]);
    } else {
        for (std::size_t i = 0; i < b.keys.size(); ++i) {
            const bool absent = b.kind == SLUICE_BATCH_EXISTS && b.present[i] == 0;
            b.codes[i] = code == SLUICE_OK && absent ? SLUICE_E_NOT_FOUND : code;
        }
    }
    --b.under_way;
    free_ops_.push_back(&op);
    end_if_over(b);
}

void batch_queue::end_if_over(batch& b) {
    if (b.next < b.keys.size() || b.under_way > 0) {
        return;
    }
    blocks_->withdraw(b.index);
    sluice_batch_result r{};
    r.ticket = b.ticket;
    r.user = b.user;
    r.kind = b.kind;
    bool leading = true;
    for (std::size_t i = 0; i < b.codes.size(); ++i) {
        const sluice_status code = b.codes[i];
        const bool ok = code == SLUICE_OK;
        leading = leading && ok;
        r.succeeded += ok ? 1 : 0;
        r.leading += leading ? 1 : 0;
        r.status = r.status == SLUICE_OK ? code : r.status;
        if (b.results != nullptr) {
            b.results[i] = code;
        }
    }
    const std::uint32_t index = b.index;
    running_[index].reset();
    free_.push_back(index);
    const std::scoped_lock lock(mutex_);
    --live_;
    known& k = known_[r.ticket];
    k.ended = true;
    k.result = r;
    if (!k.waited_for) {
        ended_.push_back(r.ticket);
        readable_.set(true);
    }
    changed_.notify_all();
}

}  // namespace sluice::capi
