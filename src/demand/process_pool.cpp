// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/process_pool.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include <unistd.h>

#include <fmt/format.h>

#include "process_pool_core.hpp"

namespace sluice::demand {
namespace {

constexpr std::size_t longest_line = 4096;
constexpr double newest_share = 0.2;                             // of a start in what is learned
constexpr duration look_again = std::chrono::milliseconds{100};  // where exits make no event

}  // namespace

process_pool::core::worker::worker(core& c, warm_key k, worker_process p) noexcept
    : timer([](timer& t) noexcept {
          auto& self = static_cast<worker&>(t);
          self.owner.timed_out(self);
      }),
      owner(c),
      key(k),
      process(std::move(p)),
      since(c.loop_.now()) {}

process_pool::core::~core() {
    workers all;
    all.swap(workers_);
    for (auto& [key, w] : all) {
        unwatch(*w);
        loop_.disarm(*w);
        if (w->then) {
            w->then(absl::CancelledError("the process pool is gone"));
        }
    }
    for (const auto& w : ending_) {
        unwatch(*w);
        loop_.disarm(*w);
    }
}

absl::StatusOr<std::uint32_t> process_pool::core::add(worker_kind kind) {
    if (kind.command.empty() || kind.command[0].empty()) {
        return absl::InvalidArgumentError("a kind of worker needs a command");
    }
    if (!warm_cost{kind.seconds, kind.seconds, kind.hold}.valid() ||
        kind.start_limit <= duration{0}) {
        return absl::InvalidArgumentError(
            fmt::format("worker '{}': seconds and hold must be finite and not negative, the start "
                        "limit positive",
                        kind.command[0]));
    }
    kinds_.push_back(std::move(kind));
    return static_cast<std::uint32_t>(kinds_.size() - 1);
}

absl::StatusOr<process_pool::core::worker*> process_pool::core::start(warm_key key) {
    const worker_kind* const kind = kind_of(key);
    if (kind == nullptr) {
        return absl::InvalidArgumentError(
            fmt::format("key {:#x} names a kind of worker that was not added", key));
    }
    if (processes() >= options_.max_processes) {
        return absl::ResourceExhaustedError(
            fmt::format("{} worker processes run already, which is max_processes", processes()));
    }
    absl::StatusOr<worker_process> process = worker_process::start(kind->command, kind->greeting);
    if (!process.ok()) {
        return process.status();
    }
    auto made = std::make_unique<worker>(*this, key, std::move(*process));
    worker& w = *made;
    w.output_watch.emplace(w, w.process.output(), [](fd_watch& f, std::uint32_t) noexcept {
        auto& of = static_cast<worker::watch&>(f).of;
        of.owner.heard(of);
    });
    if (absl::Status watched = loop_.watch(*w.output_watch); !watched.ok()) {
        return watched;  // ends with `made`
    }
    w.output = &*w.output_watch;
    loop_.arm(w, saturating_add(w.since, kind->start_limit));
    workers_[key] = std::move(made);
    return &w;
}

void process_pool::core::warm(warm_key key, warm_done done) {
    if (const auto known = workers_.find(key); known != workers_.end()) {
        worker& w = *known->second;
        if (w.ready) {
            done(absl::OkStatus());
        } else {
            w.done = std::move(done);
        }
        return;
    }
    const absl::StatusOr<worker*> started = start(key);
    if (!started.ok()) {
        done(started.status());
        return;
    }
    (*started)->done = std::move(done);
    if (kind_of(key)->ready_line.empty()) {
        became_ready(**started);
    }
}

void process_pool::core::take(warm_key key, taken then) {
    auto known = workers_.find(key);
    if (known == workers_.end()) {
        const absl::StatusOr<worker*> started = start(key);
        if (!started.ok()) {
            then(started.status());
            return;
        }
        if (kind_of(key)->ready_line.empty()) {
            became_ready(**started);
        }
        known = workers_.find(key);
        if (known->second->ready) {
            known->second->then = std::move(then);
            hand_over(*known->second, false);
            return;
        }
    }
    worker& w = *known->second;
    if (w.then) {
        then(absl::AlreadyExistsError(fmt::format("somebody waits for worker {:#x} already", key)));
        return;
    }
    w.then = std::move(then);
    if (w.ready) {
        hand_over(w, true);
    }
}

void process_pool::core::drop(warm_key key, const absl::Status& why) noexcept {
    const auto known = workers_.find(key);
    if (known != workers_.end()) {
        fail(*known->second, why);
    }
}

// It has written something, or closed its output. When it is ready that is its user's business,
// but not its end.
void process_pool::core::heard(worker& w) {
    const std::string& wanted = kind_of(w.key)->ready_line;
    // Byte by byte: what comes after the line is for whoever takes it.
    for (;;) {
        char c = 0;
        const ssize_t n = read(w.process.output(), &c, 1);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN) {
                return;
            }
        }
        if (n <= 0) {
            const bool over = w.process.ended();
            fail(w, absl::UnavailableError(fmt::format(
                        "worker '{}' {} before it was ready", kind_of(w.key)->command[0],
                        over ? "ended (" + w.process.how_it_ended() + ")" : "closed its output")));
            return;
        }
        if (c == '\n') {
            break;
        }
        w.line.push_back(c);
        if (w.line.size() > longest_line) {
            break;
        }
    }
    if (w.line == wanted) {
        became_ready(w);
        return;
    }
    // What it has said is not repeated: it may be anything.
    fail(w, absl::UnavailableError(fmt::format("worker '{}' said something else than '{}' first",
                                               kind_of(w.key)->command[0], wanted)));
}

void process_pool::core::became_ready(worker& w) {
    w.ready = true;
    unwatch(w);
    loop_.disarm(w);
    worker_kind& kind = kinds_[w.key >> 32];
    kind.seconds += newest_share * (to_seconds(loop_.now() - w.since) - kind.seconds);
    if (w.then) {
        hand_over(w, false);
        return;
    }
    watch_end(w);  // which is all of it that interests us from now on
    std::exchange(w.done, {})(absl::OkStatus());
}

// \param again  if it has died since it was ready, another one is started
void process_pool::core::hand_over(worker& w, bool again) {
    const taken then = std::exchange(w.then, {});
    const warm_done done = std::exchange(w.done, {});
    unwatch(w);
    loop_.disarm(w);
    const bool over = again && w.process.ended();
    worker_process process = std::move(w.process);
    const warm_key key = w.key;
    workers_.erase(key);
    done(absl::OkStatus());
    if (over) {
        take(key, then);
        return;
    }
    then(std::move(process));
}

void process_pool::core::timed_out(worker& w) {
    if (!w.ending) {
        fail(w, absl::DeadlineExceededError(fmt::format("worker '{}' was not ready within {:.3g} s",
                                                        kind_of(w.key)->command[0],
                                                        to_seconds(kind_of(w.key)->start_limit))));
        return;
    }
    if (!w.killed) {
        w.killed = true;
        w.process.signal(SIGKILL);
    }
    look_for_end(w);
}

void process_pool::core::look_for_end(worker& w) {
    if (!w.process.ended()) {
        if (w.ending && w.exit == nullptr) {
            loop_.arm(w, saturating_add(loop_.now(), look_again));
        }
        return;
    }
    unwatch(w);
    loop_.disarm(w);
    if (!w.ending) {
        workers_.erase(w.key);  // it died ready: whoever takes it gets a new one
        return;
    }
    ending_.erase(std::find_if(ending_.begin(), ending_.end(),
                               [&w](const auto& held) { return held.get() == &w; }));
}

void process_pool::core::fail(worker& w, const absl::Status& why) {
    const taken then = std::exchange(w.then, {});
    std::exchange(w.done, {})(why);
    begin_end(w);
    if (then) {
        then(why);
    }
}

void process_pool::core::begin_end(worker& w) {
    unwatch(w);
    loop_.disarm(w);
    const auto held = workers_.find(w.key);
    ending_.push_back(std::move(held->second));
    workers_.erase(held);
    w.ending = true;
    w.process.close_input();
    w.process.signal(SIGTERM);
    watch_end(w);
    loop_.arm(w, saturating_add(loop_.now(), options_.grace));
}

void process_pool::core::watch_end(worker& w) {
    if (const int end = w.process.exit_event(); end >= 0) {
        w.exit_watch.emplace(w, end, [](fd_watch& f, std::uint32_t) noexcept {
            auto& of = static_cast<worker::watch&>(f).of;
            of.owner.look_for_end(of);
        });
        if (loop_.watch(*w.exit_watch).ok()) {
            w.exit = &*w.exit_watch;
        }
    }
}

void process_pool::core::unwatch(worker& w) noexcept {
    for (fd_watch** watched : {&w.output, &w.exit}) {
        if (*watched != nullptr) {
            loop_.unwatch(**watched);
            *watched = nullptr;
        }
    }
}

process_pool::process_pool(loop& on, const process_pool_options& options)
    : core_(std::make_unique<core>(on, options)) {}

process_pool::~process_pool() = default;

absl::StatusOr<std::uint32_t> process_pool::add(worker_kind kind) {
    return core_->add(std::move(kind));
}

void process_pool::take(warm_key key, taken then) { core_->take(key, std::move(then)); }

void process_pool::drop(warm_key key) noexcept {
    core_->drop(key, absl::CancelledError("the worker was dropped"));
}

std::uint32_t process_pool::processes() const noexcept { return core_->processes(); }

std::uint32_t process_pool::ready() const noexcept { return core_->ready(); }

double process_pool::seconds(std::uint32_t kind) const noexcept {
    const worker_kind* const known = core_->kind_of(key(kind, 0));
    return known == nullptr ? 0 : known->seconds;
}

warm_cost process_pool::cost(warm_key key) noexcept {
    const worker_kind* const kind = core_->kind_of(key);
    return kind == nullptr ? warm_cost{} : warm_cost{kind->seconds, kind->seconds, kind->hold};
}

void process_pool::warm(warm_key key, warm_done done) noexcept {
    core_->warm(key, std::move(done));
}

void process_pool::cool(warm_key key) noexcept {
    core_->drop(key, absl::CancelledError("the worker is not wanted any more"));
}

}  // namespace sluice::demand
