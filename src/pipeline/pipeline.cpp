// SPDX-License-Identifier: Apache-2.0
#include <sluice/pipeline.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/cost/linear_cost_model.hpp>
#include <sluice/demand/app_tracker.hpp>
#include <sluice/device/device.hpp>
#include <sluice/sched/policy_registry.hpp>
#include <sluice/stage/block_stage.hpp>
#include <sluice/store/store.hpp>

#include "control.hpp"
#include "event_queue.hpp"
#include "metrics_text.hpp"
#include "mover.hpp"
#include "options_check.hpp"
#include "rank_key.hpp"
#include "request.hpp"

namespace sluice {

using detail::request;
namespace tell = detail::tell;

/// The parts, and the table of handles that the engine's threads look into.
class pipeline::impl {
 public:
    explicit impl(pipeline_options o) : options_(std::move(o)) {}
    ~impl();

    absl::Status open();

    absl::StatusOr<request_handle> submit(const request_spec& spec);
    absl::Status bind(request_handle h, std::span<const slot_id> pages);
    absl::Status compute_done(request_handle h, double seconds);
    absl::Status tell_io(request_handle h, std::uint32_t what);
    absl::Status set_rank(request_handle h, rank_value rank);
    absl::StatusOr<request_handle> store_blocks(std::span<const block_key> keys,
                                                std::span<const slot_id> pages, void* user);
    absl::StatusOr<request_progress> progress(request_handle h) const;
    absl::StatusOr<std::vector<slot_id>> pages(request_handle h) const;
    absl::StatusOr<request_report> report(request_handle h) const;
    void sort_by_rank(std::span<request_handle> requests) const;
    void begin_close();
    [[nodiscard]] bool closed() const noexcept;
    [[nodiscard]] pipeline_stats stats() const;
    [[nodiscard]] std::string metrics_text() const;

    detail::event_queue events;

 private:
    /// A step of closing, on some loop.
    struct step : work {
        step(impl& i, void (impl::*d)()) noexcept
            : work([](work& w) noexcept {
                  auto& self = static_cast<step&>(w);
                  (self.owner.*self.run_step)();
              }),
              owner(i),
              run_step(d) {}
        impl& owner;
        void (impl::*run_step)();
    };

    /// The request of a live handle; under the lock.
    [[nodiscard]] request* find(request_handle h) const noexcept {
        if (h.epoch == 0 || h.index >= requests_.size()) {
            return nullptr;
        }
        request& r = requests_[h.index];
        return r.epoch == h.epoch && live_[h.index] ? &r : nullptr;
    }
    /// A fresh request; under the lock.
    [[nodiscard]] absl::StatusOr<request*> take_request();
    request_handle begin(request& r);
    static absl::Status stale() {
        return absl::NotFoundError(
            "the handle names no live request: it was released, or never "
            "submitted here");
    }
    /// Of a live application, any thread.
    [[nodiscard]] absl::StatusOr<time_point> deadline_of(app_handle a) const;
    bool buried(request& r);
    void close_on_io();
    void maybe_leave();
    void leave_control();
    void leave_io();

    pipeline_options options_;
    std::unique_ptr<thread_loop> own_control_;
    std::unique_ptr<thread_loop> own_io_;
    std::span<std::byte> l2_;
    bool registered_ = false;
    std::optional<detail::mover> mover_;
    std::optional<detail::control> control_;
    // Closing: io cancels what is left; when all is quiet, control lets go of its timers, and io,
    // last, of everything. Nothing is posted to either loop after that.
    step close_on_io_{*this, &impl::close_on_io};
    step leave_control_{*this, &impl::leave_control};
    step leave_io_{*this, &impl::leave_io};
    bool closing_on_io_ = false;  // of io
    bool leaving_ = false;        // of io
    bool left_ = false;           // under the lock
    std::atomic<bool> closed_{false};
    detail::request_signal::target to_io_;
    detail::request_signal::target to_control_;

    mutable std::mutex mutex_;  // the table, and raising `to_io` of what is in it
    std::condition_variable all_left_;
    mutable std::deque<request> requests_;  // by index
    std::vector<bool> live_;
    std::vector<std::uint32_t> free_;
    std::uint32_t live_count_ = 0;
    std::uint32_t next_order_ = 0;
    std::uint64_t submitted_ = 0;
    bool closing_ = false;
};

absl::Status pipeline::impl::open() {
    SLUICE_RETURN_IF_ERROR(detail::check_options(options_));
    if (!events.valid()) {
        return absl::ResourceExhaustedError("pipeline: no descriptor for events (eventfd failed)");
    }
    if (!options_.policy) {
        auto made = make_policy("sjf");
        if (!made.ok()) {
            return made.status();
        }
        options_.policy = *std::move(made);
    }
    if (!options_.cost) {
        linear_cost_options fixed;
        fixed.refit = false;
        options_.cost = std::make_unique<linear_cost_model>(fixed);
    }
    SLUICE_RETURN_IF_ERROR(
        annotate(options_.device->register_layout(*options_.l1), "pipeline: the device"));
    const std::uint64_t stride = round_up(options_.l1->max_block_bytes(), 64);
    auto memory = options_.device->allocate_pinned(options_.l2_bytes / stride * stride);
    if (!memory.ok()) {
        return annotate(memory.status(), "pipeline: L2 memory");
    }
    l2_ = *memory;
    if (options_.store != nullptr) {
        SLUICE_RETURN_IF_ERROR(
            annotate(options_.store->register_memory(l2_), "pipeline: the store"));
        registered_ = true;
    }
    loop* control = options_.control;
    loop* io = options_.io;
    if (control == nullptr) {
        own_control_ = std::make_unique<thread_loop>("sluice-control");
        SLUICE_RETURN_IF_ERROR(own_control_->start());
        control = own_control_.get();
    }
    if (io == nullptr) {
        own_io_ = std::make_unique<thread_loop>("sluice-io");
        SLUICE_RETURN_IF_ERROR(own_io_->start());
        io = own_io_.get();
    }
    options_.control = control;
    options_.io = io;
    // A device may round up: what was asked for is used.
    mover_.emplace(options_, *io, *control, events, l2_.first(options_.l2_bytes / stride * stride),
                   stride, std::move(options_.l2_eviction));
    control_.emplace(options_, *options_.policy, *options_.cost, *control, *mover_);
    if (const absl::Status started = control_->start(); !started.ok()) {
        control_.reset();
        mover_.reset();
        return annotate(started, "pipeline: applications");
    }
    to_io_ = {io, &*mover_, &detail::mover::look};
    to_control_ = {control, &*control_, &detail::control::look};
    mover_->on_buried = [this](request& r) { return buried(r); };
    mover_->on_quiet = [this] { maybe_leave(); };
    return absl::OkStatus();
}

pipeline::impl::~impl() {
    if (mover_) {
        begin_close();
        if (own_io_ && own_control_) {
            std::unique_lock lock(mutex_);
            all_left_.wait(lock, [this] { return left_; });
        }
    }
    // Loops end after what is posted to them has run.
    for (const auto* own : {&own_control_, &own_io_}) {
        if (*own) {
            (*own)->stop();
            (*own)->join();
        }
    }
    own_control_.reset();
    own_io_.reset();
    control_.reset();
    mover_.reset();
    if (registered_) {
        options_.store->unregister_memory(l2_);
    }
    if (!l2_.empty()) {
        options_.device->free_pinned(l2_);
    }
}

absl::StatusOr<request_handle> pipeline::impl::submit(const request_spec& spec) {
    auto shape = detail::check_spec(options_, spec);
    if (!shape.ok()) {
        return shape.status();
    }
    const time_point now = options_.control->now();
    detail::compact_array<block_key> keys;
    keys.assign(spec.keys);
    const absl::StatusOr<time_point> application_deadline = deadline_of(spec.application);
    const std::scoped_lock lock(mutex_);
    const absl::StatusOr<request*> fresh = take_request();
    if (!fresh.ok()) {
        return fresh.status();
    }
    request& r = **fresh;
    r.blocks = shape->blocks;
    r.per_group = shape->per_group;
    r.resident = std::min(spec.resident_blocks, shape->blocks);
    r.max_load = std::min(spec.max_load_blocks, shape->loadable);
    r.write_back = spec.write_back;
    r.load_timeout = spec.load_timeout > duration{0} ? spec.load_timeout : options_.load_timeout;
    r.keys = std::move(keys);
    r.tell_lookup = spec.tell_lookup;
    r.rank_told = spec.rank.value;
    r.tier_told = spec.rank.tier;
    detail::describe(spec, now, r.view);
    if (application_deadline.ok()) {
        r.view.application = spec.application;
        r.view.deadline = std::min(r.view.deadline, *application_deadline);
    }
    if (spec.prewarm) {
        r.prewarm = r.view.prewarm = true;
        r.view.prompt_tokens = std::uint64_t{r.blocks} * options_.block_tokens;
        r.write_back = false;
        for (std::atomic<std::uint64_t>& rank : r.ranks) {
            rank.store(detail::unranked(rank_tier::background), std::memory_order_relaxed);
        }
    }
    return begin(r);
}

absl::StatusOr<time_point> pipeline::impl::deadline_of(app_handle a) const {
    if (options_.applications == nullptr || a == app_handle{}) {
        return absl::NotFoundError("no application");
    }
    return options_.applications->deadline(a);
}

absl::StatusOr<request_handle> pipeline::impl::store_blocks(std::span<const block_key> keys,
                                                            std::span<const slot_id> pages,
                                                            void* user) {
    const absl::StatusOr<std::uint32_t> blocks = detail::check_stored(options_, keys, pages);
    if (!blocks.ok()) {
        return blocks.status();
    }
    detail::compact_array<block_key> names;
    names.assign(keys);
    detail::compact_array<slot_id> from;
    from.assign(pages);
    const time_point now = options_.control->now();
    const std::scoped_lock lock(mutex_);
    const absl::StatusOr<request*> fresh = take_request();
    if (!fresh.ok()) {
        return fresh.status();
    }
    request& r = **fresh;
    r.storing = true;
    r.blocks = r.per_group = r.max_load = *blocks;
    r.keys = std::move(names);
    r.bound = std::move(from);
    r.has_bound = true;
    r.view.user = user;
    r.view.arrival = now;
    return begin(r);
}

// Both loops at once: loading does not wait for the policy.
request_handle pipeline::impl::begin(request& r) {
    const request_handle h = r.handle();
    r.to_control.raise(tell::submitted);
    r.to_io.raise(tell::attach);
    return h;
}

absl::StatusOr<request*> pipeline::impl::take_request() {
    if (closing_) {
        return absl::FailedPreconditionError("submit: the pipeline is closing");
    }
    if (live_count_ >= options_.max_requests) {
        return absl::ResourceExhaustedError(fmt::format(
            "submit: {} requests are live, the limit of max_requests; release some", live_count_));
    }
    if (free_.empty()) {
        const auto index = static_cast<std::uint32_t>(requests_.size());
        requests_.emplace_back(index, 1);
        live_.push_back(false);
        free_.push_back(index);
    }
    request& r = requests_[free_.back()];
    free_.pop_back();
    live_[r.index] = true;
    ++live_count_;
    ++submitted_;

    r.order = next_order_++;
    r.view.id = r.handle();
    r.to_io.bind(to_io_);
    r.to_control.bind(to_control_);
    for (std::atomic<std::uint64_t>& rank : r.ranks) {
        rank.store(detail::unranked(), std::memory_order_relaxed);
    }
    return &r;
}

absl::Status pipeline::impl::bind(request_handle h, std::span<const slot_id> pages) {
    if (options_.owner != l1_owner::engine) {
        return absl::FailedPreconditionError("bind: the library owns the pages of L1");
    }
    const std::scoped_lock lock(mutex_);
    request* const r = find(h);
    if (r == nullptr) {
        return stale();
    }
    SLUICE_RETURN_IF_ERROR(detail::check_pages("bind", *options_.l1, r->per_group, pages));
    if (r->prewarm) {
        return absl::FailedPreconditionError("bind: a request that prewarms takes no pages");
    }
    if (r->has_bound) {
        return absl::FailedPreconditionError("bind: the request has its pages already");
    }
    r->bound.assign(pages);
    r->has_bound = true;
    r->to_io.raise(tell::bind);
    return absl::OkStatus();
}

absl::Status pipeline::impl::compute_done(request_handle h, double seconds) {
    if (options_.compute != nullptr) {
        return absl::FailedPreconditionError("compute_done: the library drives compute");
    }
    const std::scoped_lock lock(mutex_);
    request* const r = find(h);
    if (r == nullptr) {
        return stale();
    }
    if (!r->pages_known.load(std::memory_order_acquire)) {
        return absl::FailedPreconditionError("compute_done: the request is not ready");
    }
    if (r->compute_reported.exchange(true)) {
        return absl::FailedPreconditionError("compute_done: reported before");
    }
    if (!std::isfinite(seconds) || seconds < 0) {
        seconds = 0;  // not known
    }
    r->first_token_ns = options_.io->now().time_since_epoch().count();
    r->compute_seconds_told = static_cast<float>(std::min(seconds, 1e9));
    r->to_io.raise(tell::done);
    return absl::OkStatus();
}

absl::Status pipeline::impl::tell_io(request_handle h, std::uint32_t what) {
    const std::scoped_lock lock(mutex_);
    request* const r = find(h);
    if (r == nullptr) {
        return stale();
    }
    r->to_io.raise(what);
    return absl::OkStatus();
}

absl::Status pipeline::impl::set_rank(request_handle h, rank_value rank) {
    if (std::isnan(rank.value)) {
        return absl::InvalidArgumentError("set_rank: the rank is not a number");
    }
    const std::scoped_lock lock(mutex_);
    request* const r = find(h);
    if (r == nullptr) {
        return stale();
    }
    r->rank_told.store(rank.value, std::memory_order_relaxed);
    r->tier_told.store(rank.tier, std::memory_order_relaxed);
    r->to_io.raise(tell::rank);
    return absl::OkStatus();
}

absl::StatusOr<request_progress> pipeline::impl::progress(request_handle h) const {
    const std::scoped_lock lock(mutex_);
    const request* const r = find(h);
    if (r == nullptr) {
        return stale();
    }
    request_progress p;
    const std::uint32_t hits = r->hits;
    p.looked_up = hits > 0;
    p.hit_blocks = p.looked_up ? hits - 1 : 0;
    p.planned_blocks = r->plan;
    p.fetching = r->fetching;
    p.loading = r->waiting;
    p.predicted = r->predicted_seconds();
    return p;
}

absl::StatusOr<std::vector<slot_id>> pipeline::impl::pages(request_handle h) const {
    const std::scoped_lock lock(mutex_);
    const request* const r = find(h);
    if (r == nullptr) {
        return stale();
    }
    if (!r->pages_known.load(std::memory_order_acquire)) {
        return absl::FailedPreconditionError("pages: the request is not loaded yet");
    }
    std::vector<slot_id> pages = mover_->pages(*r);
    if (pages.empty() && options_.owner == l1_owner::library) {
        return absl::FailedPreconditionError("pages: the request has given its pages back");
    }
    return pages;
}

absl::StatusOr<request_report> pipeline::impl::report(request_handle h) const {
    const std::scoped_lock lock(mutex_);
    const request* const r = find(h);
    if (r == nullptr) {
        return stale();
    }
    if (!r->outcome_known.load(std::memory_order_acquire)) {
        return absl::FailedPreconditionError("report: the request has had no outcome yet");
    }
    const detail::story& s = r->report;
    request_report out;
    out.arrival = r->view.arrival;
    out.looked_up = s.looked_up;
    out.first_fetch = s.first_fetch;
    out.fetched = s.fetched;
    out.granted = s.granted;
    out.first_copy = s.first_copy;
    out.loaded = s.loaded;
    out.compute_begin = time_point{duration{r->counts.compute_begin}};
    out.predicted = r->predicted_seconds();
    out.attained = {to_seconds(duration{r->counts.fetch_ns}),
                    to_seconds(duration{r->counts.copy_ns}),
                    to_seconds(duration{r->counts.compute_ns})};
    out.hit_blocks = s.hit_blocks;
    out.planned_blocks = s.planned_blocks;
    out.loaded_blocks = s.loaded_blocks;
    out.bytes_fetched = s.bytes_fetched;
    out.bytes_deduplicated = s.bytes_deduplicated;
    if (const std::int64_t ns = r->first_token_ns.load(); ns >= 0) {
        out.first_token = time_point{duration{ns}};
    }
    return out;
}

void pipeline::impl::sort_by_rank(std::span<request_handle> requests) const {
    struct keyed {
        bool stale;
        detail::rank_key key;
        request_handle handle;
    };
    std::vector<keyed> keys;
    keys.reserve(requests.size());
    {
        const std::scoped_lock lock(mutex_);
        for (const request_handle h : requests) {
            const request* const r = find(h);
            keys.push_back({r == nullptr, {}, h});
            if (r != nullptr) {
                keys.back().key = {r->ranks[detail::rank_compute].load(std::memory_order_relaxed),
                                   r->order};
            }
        }
    }
    std::ranges::stable_sort(keys, [](const keyed& a, const keyed& b) {
        return a.stale != b.stale ? b.stale : a.key < b.key;
    });
    std::ranges::transform(keys, requests.begin(), &keyed::handle);
}

bool pipeline::impl::buried(request& r) {
    const std::scoped_lock lock(mutex_);
    if (r.to_io.pending()) {
        return false;
    }
    live_[r.index] = false;
    --live_count_;
    free_.push_back(r.index);
    r.recycle();
    return true;
}

void pipeline::impl::begin_close() {
    events.close();
    const std::scoped_lock lock(mutex_);
    if (std::exchange(closing_, true)) {
        return;
    }
    for (request& r : requests_) {
        if (live_[r.index]) {
            r.to_io.raise(tell::release);
        }
    }
    options_.io->post(close_on_io_);
}

void pipeline::impl::close_on_io() {
    closing_on_io_ = true;
    mover_->begin_close();
}

void pipeline::impl::maybe_leave() {
    if (!closing_on_io_ || leaving_) {
        return;
    }
    {
        const std::scoped_lock lock(mutex_);
        if (live_count_ > 0) {
            return;
        }
    }
    leaving_ = true;
    options_.control->post(leave_control_);
}

void pipeline::impl::leave_control() {
    if (!control_->stop()) {
        options_.control->post(leave_control_);  // behind what is posted yet
        return;
    }
    options_.io->post(leave_io_);
}

void pipeline::impl::leave_io() {
    {
        const std::scoped_lock lock(mutex_);
        left_ = true;
        all_left_.notify_all();
    }
    // With loops of the caller's this is the last touch: the pipeline may die at once.
    if (!own_io_ || !own_control_) {
        closed_.store(true, std::memory_order_release);
    }
}

bool pipeline::impl::closed() const noexcept { return closed_.load(std::memory_order_acquire); }

pipeline_stats pipeline::impl::stats() const {
    pipeline_stats s = mover_->stats();
    control_->add_to(s);
    const std::scoped_lock lock(mutex_);
    s.submitted = submitted_;
    s.live_requests = live_count_;
    return s;
}

std::string pipeline::impl::metrics_text() const {
    return detail::metrics_text(stats(), options_.applications);
}

// ---- pipeline

absl::StatusOr<std::unique_ptr<pipeline>> pipeline::create(pipeline_options options) {
    auto i = std::make_unique<impl>(std::move(options));
    SLUICE_RETURN_IF_ERROR(i->open());
    return std::unique_ptr<pipeline>(new pipeline(std::move(i)));
}

pipeline::pipeline(std::unique_ptr<impl> i) noexcept : impl_(std::move(i)) {}
pipeline::~pipeline() = default;

absl::StatusOr<request_handle> pipeline::submit(const request_spec& spec) {
    return impl_->submit(spec);
}
absl::Status pipeline::bind(request_handle request, std::span<const slot_id> pages) {
    return impl_->bind(request, pages);
}
absl::Status pipeline::detach(request_handle request) {
    return impl_->tell_io(request, tell::detach);
}
absl::Status pipeline::cancel(request_handle request) {
    return impl_->tell_io(request, tell::cancel);
}
absl::Status pipeline::set_rank(request_handle request, rank_value rank) {
    return impl_->set_rank(request, rank);
}
absl::StatusOr<request_handle> pipeline::store_blocks(std::span<const block_key> keys,
                                                      std::span<const slot_id> pages, void* user) {
    return impl_->store_blocks(keys, pages, user);
}
absl::Status pipeline::compute_done(request_handle request, double compute_seconds) {
    return impl_->compute_done(request, compute_seconds);
}
absl::Status pipeline::release(request_handle request) {
    return impl_->tell_io(request, tell::release);
}
std::size_t pipeline::poll_events(std::span<request_event> out) { return impl_->events.poll(out); }
int pipeline::event_fd() const noexcept { return impl_->events.fd(); }
absl::StatusOr<std::vector<slot_id>> pipeline::pages(request_handle request) const {
    return impl_->pages(request);
}
absl::StatusOr<request_progress> pipeline::progress(request_handle request) const {
    return impl_->progress(request);
}
absl::StatusOr<request_report> pipeline::report(request_handle request) const {
    return impl_->report(request);
}
void pipeline::sort_by_rank(std::span<request_handle> requests) const {
    impl_->sort_by_rank(requests);
}
request_handle pipeline::next_ready() { return impl_->events.take(); }
void pipeline::begin_close() { impl_->begin_close(); }
bool pipeline::closed() const noexcept { return impl_->closed(); }
pipeline_stats pipeline::stats() const { return impl_->stats(); }
std::string pipeline::metrics_text() const { return impl_->metrics_text(); }

}  // namespace sluice
