// SPDX-License-Identifier: Apache-2.0
#include "serial_link.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <sluice/base/bytes.hpp>

namespace sluice::detail {
namespace {

// One on the wire and the next one ready: more would be cold again when it is handed over.
constexpr std::size_t served_ahead = 2;
// Completions are posted together, so that their loop wakes once, up to this much work.
constexpr std::size_t batch_operations = 16;
constexpr std::uint64_t batch_bytes = 256 * kib;
// The loop may not be ours alone.
constexpr int serves_per_run = 32;

}  // namespace

absl::Status serial_link::check(const options& o) {
    // What takes for ever never ends, and who closes waits for it.
    constexpr duration longest = std::chrono::hours(24);
    if ((o.rate != 0 && !(o.rate >= 1)) || std::isinf(o.rate)) {
        return absl::InvalidArgumentError(
            fmt::format("a link of {} bytes per second; at least 1, or 0 for no limit", o.rate));
    }
    if (o.per_operation < duration{0} || o.latency < duration{0} || o.per_operation > longest ||
        o.latency > longest) {
        return absl::InvalidArgumentError(fmt::format(
            "a link that takes {} ns per operation and has a latency of {} ns; up to a day each",
            o.per_operation.count(), o.latency.count()));
    }
    return absl::OkStatus();
}

serial_link::serial_link(loop& on, link_server& server, const options& o) noexcept
    : loop_(on), server_(server), latency_(o.latency), limiter_(o.rate, o.per_operation) {}

void serial_link::orphan::operator()(serial_link* link) const noexcept {
    link->loop_.disarm(link->timer_);
    {
        const std::lock_guard lock(link->mutex_);
        if (link->awake_) {
            link->orphaned_ = true;
            return;
        }
    }
    delete link;
}

void serial_link::post_message(operation& op, std::uint32_t kind) noexcept {
    const time_point now = loop_.now();
    const std::lock_guard lock(mutex_);
    inbox_.push_back({&op, 0, now, kind | message_flag});
    wake();
}

void serial_link::abort(operation& op) noexcept {
    // In the order of the inbox, so it cannot hit an operation that is started again at `op`.
    const std::lock_guard lock(mutex_);
    inbox_.push_back({&op, 0, never, kind_abort});
    wake();
}

void serial_link::set_rate(double rate) noexcept {
    const std::lock_guard lock(mutex_);
    new_rate_ = rate;
    wake();
}

double serial_link::busy_seconds() const noexcept {
    return to_seconds(duration{busy_ns_.load(std::memory_order_relaxed)});
}

// Posts under the lock: once it is released, the operations may complete and the link may die.
void serial_link::wake() noexcept {
    if (!awake_) {
        awake_ = true;
        loop_.post(wake_);
    }
}

void serial_link::on_wake(work& w) noexcept {
    serial_link& self = static_cast<wake_work&>(w).link;
    {
        std::unique_lock lock(self.mutex_);
        self.awake_ = false;
        if (self.orphaned_) {
            lock.unlock();
            delete &self;
            return;
        }
    }
    self.run();
}

void serial_link::on_timer(timer& t) noexcept { static_cast<due_timer&>(t).link.run(); }

void serial_link::run() noexcept {
    take_inbox();
    int serves = serves_per_run;
    for (;;) {
        deliver_due(loop_.now());
        if (wire_.served == wire_.entries.size() || wire_.served - wire_.head >= served_ahead) {
            break;
        }
        if (serves-- == 0) {
            const std::lock_guard lock(mutex_);
            wake();
            break;
        }
        serve_next();
    }
    flush();
    arm_timer();
}

void serial_link::take_inbox() noexcept {
    {
        const std::lock_guard lock(mutex_);
        taken_.swap(inbox_);
        if (new_rate_) {
            limiter_.set_rate(*new_rate_);
            new_rate_.reset();
        }
    }
    for (const posted& p : taken_) {
        if (p.kind == kind_abort) {
            abort_now(p.op);
            continue;
        }
        link_entry e;
        e.op = p.op;
        e.kind = p.kind & ~message_flag;
        e.bytes = p.bytes;
        e.arrival = p.arrival;
        if ((p.kind & message_flag) != 0) {
            e.due = saturating_add(p.arrival, latency_);
            messages_.entries.push_back(std::move(e));
        } else {
            wire_.entries.push_back(std::move(e));
        }
    }
    taken_.clear();
}

void serial_link::abort_now(const operation* op) noexcept {
    for (lane* const l : {&wire_, &messages_}) {
        link_entry* const e = l->find(op);
        if (e == nullptr) {
            continue;
        }
        if (e < l->entries.data() + l->served) {
            server_.settle(*e, true);
        }
        done_.emplace_back(std::exchange(e->op, nullptr),
                           absl::Status(absl::StatusCode::kDeadlineExceeded, ""));
        return;
    }
}

void serial_link::serve_next() noexcept {
    link_entry& e = wire_.entries[wire_.served];
    ++wire_.served;
    if (e.op == nullptr) {
        e.due = time_point::min();  // aborted before its turn: nothing passes the link
        return;
    }
    // While one is on the wire there is no hurry to serve the next, so nobody shall wait for that.
    const bool on_time = wire_.head + 1 < wire_.served;
    if (on_time || done_bytes_ + e.bytes > batch_bytes) {
        flush();
    }
    const time_point begun = loop_.now();
    server_.serve(e);
    const duration measured = loop_.now() - begun;
    e.due = saturating_add(limiter_.admit(e.arrival, e.bytes), latency_);
    busy_ns_.fetch_add(std::max(limiter_.last(), measured).count(), std::memory_order_relaxed);
}

void serial_link::deliver_due(time_point now) noexcept {
    while (wire_.head < wire_.served && wire_.entries[wire_.head].due <= now) {
        settle(wire_);
    }
    while (!messages_.empty() && messages_.entries[messages_.head].due <= now) {
        link_entry& e = messages_.entries[messages_.head];
        if (e.op != nullptr) {
            server_.serve(e);
        }
        ++messages_.served;
        settle(messages_);
    }
}

void serial_link::settle(lane& l) noexcept {
    link_entry& e = l.entries[l.head];
    if (e.op != nullptr) {
        server_.settle(e, false);
        done_.emplace_back(e.op, std::move(e.status));
        done_bytes_ += e.bytes;
    }
    l.pop();
    if (done_.size() >= batch_operations || done_bytes_ >= batch_bytes) {
        flush();
    }
}

void serial_link::flush() noexcept {
    done_bytes_ = 0;
    for (auto& [op, status] : done_) {
        op->complete(std::move(status));
    }
    done_.clear();
}

void serial_link::arm_timer() noexcept {
    time_point at = never;
    if (wire_.head < wire_.served) {
        at = wire_.entries[wire_.head].due;
    }
    if (!messages_.empty()) {
        at = std::min(at, messages_.entries[messages_.head].due);
    }
    if (at == never) {
        loop_.disarm(timer_);
    } else if (!timer_.armed() || timer_.due() != at) {
        loop_.arm(timer_, at);
    }
}

void serial_link::lane::pop() noexcept {
    ++head;
    if (head == entries.size()) {
        entries.clear();
        head = 0;
        served = 0;
    } else if (head >= 64 && head * 2 >= entries.size()) {
        entries.erase(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(head));
        served -= head;
        head = 0;
    }
}

link_entry* serial_link::lane::find(const operation* op) noexcept {
    const auto from = entries.begin() + static_cast<std::ptrdiff_t>(head);
    const auto at =
        std::find_if(from, entries.end(), [op](const link_entry& e) { return e.op == op; });
    return at == entries.end() ? nullptr : &*at;
}

link_host::~link_host() {
    if (own_ != nullptr) {
        own_->stop();
        own_->join();
    }
}

absl::Status link_host::open(loop* given, std::string_view name, link_server& server,
                             const serial_link::options& o) {
    if (absl::Status s = serial_link::check(o); !s.ok()) {
        return s;
    }
    if (given == nullptr) {
        own_ = std::make_unique<thread_loop>(name);
        if (absl::Status s = own_->start(); !s.ok()) {
            own_.reset();
            return s;
        }
        given = own_.get();
    }
    link_.reset(new serial_link(*given, server, o));
    return absl::OkStatus();
}

}  // namespace sluice::detail
