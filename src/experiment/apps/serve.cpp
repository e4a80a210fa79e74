// SPDX-License-Identifier: Apache-2.0
#include "serve.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/sched/policy_registry.hpp>

#include "../cluster.hpp"
#include "../testbed.hpp"
#include "external_queue.hpp"

namespace sluice::experiment {
namespace {

// Places of the external backends: 20 cores of which each takes 2, GPUs, connections.
constexpr std::array<std::uint32_t, app_backends> all_places{0, 10, 15, 100, 0};

class app_server {
 public:
    explicit app_server(const app_setting& s) : s_(s) {}
    ~app_server();
    app_server(const app_server&) = delete;
    app_server& operator=(const app_server&) = delete;

    absl::Status assemble();
    absl::StatusOr<app_run> run();

 private:
    struct live_task {
        std::uint32_t visit = 0;
        std::uint32_t open_calls = 0;
        double remaining_s = 0;  // known
        double remaining_path_s = 0;
        bool ended = false;
    };
    struct call_timer : timer {
        call_timer(app_server& o, std::uint32_t i) noexcept
            : timer([](timer& t) noexcept {
                  auto& self = static_cast<call_timer&>(t);
                  self.owner.submit(self.call);
              }),
              owner(o),
              call(i) {}
        app_server& owner;
        std::uint32_t call;
    };
    struct task_timer : timer {
        explicit task_timer(app_server& o) noexcept
            : timer([](timer& t) noexcept { static_cast<task_timer&>(t).owner.arrive(); }),
              owner(o) {}
        app_server& owner;
    };

    void arrive();
    void begin_visit(std::uint32_t task);
    void end_visit(std::uint32_t task);
    void submit(std::uint32_t call);
    std::size_t collect();
    void take(const request_event& e);
    void part_ended(std::uint32_t call);
    void call_ended(std::uint32_t call);
    rank_value rank_of(std::uint32_t task);

    const app_setting& s_;
    std::unique_ptr<cluster> cluster_;
    std::unique_ptr<testbed> bed_;
    std::unique_ptr<pipeline> pipe_;
    std::array<std::unique_ptr<external_queue>, app_backends> queues_;
    std::vector<live_task> live_;
    std::vector<std::unique_ptr<call_timer>> timers_;
    std::vector<request_handle> handles_;
    std::vector<std::uint8_t> parts_;
    std::optional<task_timer> arrivals_;
    std::size_t next_task_ = 0;
    std::size_t open_ = 0;
    std::vector<block_key> keys_;
    absl::Status failure_;
    app_run out_;
    enum class how { request, app_fifo, sum, path } how_ = how::request;
    double P_ = 1e-4, D_ = 0.06;
};

double visit_sum(const app_visit& v, double P, double D) {
    if (v.at != app_backend::llm) return v.seconds;
    double out = 0;
    for (const auto& c : v.record->calls) out += P * c.prompt_tokens + D * c.completion_tokens;
    return out;
}
double visit_path(const app_visit& v, double P, double D) {
    if (v.at != app_backend::llm) return v.seconds;
    double p = 0, d = 0;
    for (const auto& c : v.record->calls) {
        p = std::max<double>(p, c.prompt_tokens);
        d = std::max<double>(d, c.completion_tokens);
    }
    return P * p + D * d;
}

app_server::~app_server() {
    if (pipe_ != nullptr) {
        timers_.clear();
        arrivals_.reset();
        pipe_->begin_close();
        bed_->home().run_until_idle();
    }
}

absl::Status app_server::assemble() {
    auto shared = cluster::create({s_.hardware.nodes, s_.hardware.replicas, s_.seed});
    SLUICE_RETURN_IF_ERROR(annotate(shared.status(), s_.hardware.name));
    cluster_ = *std::move(shared);
    auto bed = testbed::create(*cluster_, s_.hardware, s_.model, s_.draw.calls, {},
                               [this](std::size_t i) { part_ended(static_cast<std::uint32_t>(i)); });
    SLUICE_RETURN_IF_ERROR(bed.status());
    bed_ = *std::move(bed);
    std::string name = s_.options.policy;
    if (name.find("@") != std::string::npos) {
        auto rest = name.substr(name.find("@") + 1);
        name = name.substr(0, name.find("@"));
        P_ = std::stod(rest.substr(0, rest.find(":")));
        D_ = std::stod(rest.substr(rest.find(":") + 1));
    }
    if (name == "app_fifo") how_ = how::app_fifo;
    if (name == "oracle") how_ = how::sum;
    if (name == "oracle_path") how_ = how::path;
    auto order = make_policy(how_ == how::request ? name : "external");
    SLUICE_RETURN_IF_ERROR(order.status());
    pipeline_options o;
    o.l1 = &bed_->l1();
    o.block_tokens = s_.draw.calls.block_tokens;
    o.compute = &bed_->model();
    o.device = &bed_->gpu();
    o.l2_bytes = bed_->block_bytes() * 4;
    o.policy = *std::move(order);
    o.max_requests = static_cast<std::uint32_t>(s_.draw.calls.requests.size()) + 1;
    o.control = &bed_->home();
    o.io = &bed_->home();
    auto pipe = pipeline::create(std::move(o));
    SLUICE_RETURN_IF_ERROR(annotate(pipe.status(), s_.hardware.name));
    pipe_ = *std::move(pipe);

    live_.resize(s_.draw.tasks.size());
    out_.tasks.resize(live_.size());
    out_.seed = s_.seed;
    open_ = live_.size();
    handles_.resize(s_.draw.calls.requests.size());
    parts_.assign(handles_.size(), 2);
    for (std::uint32_t i = 0; i < handles_.size(); ++i) {
        timers_.push_back(std::make_unique<call_timer>(*this, i));
    }
    for (std::size_t b = 1; b < app_backends; ++b) {
        const std::uint32_t places = s_.mix.external_queues ? all_places[b] : 0;
        queues_[b] = std::make_unique<external_queue>(
            external_queue::options{places, s_.options.external_fifo || how_ == how::request},
            [this](std::uint32_t task) { return rank_of(task); },
            [this](std::uint32_t task) { end_visit(task); }, bed_->home());
    }
    arrivals_.emplace(*this);
    bed_->home().arm(*arrivals_, time_point{from_seconds(s_.draw.tasks[0].arrival_s)});
    return absl::OkStatus();
}

void app_server::arrive() {
    const auto& tasks = s_.draw.tasks;
    const time_point now = bed_->home().now();
    const auto at = [&] { return time_point{from_seconds(tasks[next_task_].arrival_s)}; };
    for (; next_task_ < tasks.size() && at() <= now; ++next_task_) {
        live_task& t = live_[next_task_];
        for (const app_visit& v : tasks[next_task_].visits) {
            t.remaining_s += visit_sum(v, P_, D_);
            t.remaining_path_s += visit_path(v, P_, D_);
        }
        begin_visit(static_cast<std::uint32_t>(next_task_));
    }
    if (next_task_ < tasks.size()) {
        bed_->home().arm(*arrivals_, at());
    }
}

rank_value app_server::rank_of(std::uint32_t task) {
    switch (how_) {
    case how::request: return 0;
    case how::app_fifo: return task;
    case how::sum: return live_[task].remaining_s;
    case how::path: return live_[task].remaining_path_s;
    }
    return 0;
}

void app_server::begin_visit(std::uint32_t task) {
    live_task& t = live_[task];
    const app_visit& v = s_.draw.tasks[task].visits[t.visit];
    if (v.at != app_backend::llm) {
        queues_[static_cast<std::size_t>(v.at)]->add(task, v.seconds);
        return;
    }
    t.open_calls = static_cast<std::uint32_t>(v.record->calls.size());
    for (std::uint32_t i = v.first_call; i < v.first_call + t.open_calls; ++i) {
        bed_->home().arm(*timers_[i], saturating_add(bed_->home().now(),
                                                     from_seconds(s_.draw.gap_s[i])));
    }
}

void app_server::end_visit(std::uint32_t task) {
    live_task& t = live_[task];
    const app_task& from = s_.draw.tasks[task];
    t.remaining_path_s -= visit_path(from.visits[t.visit], P_, D_);
    if (from.visits[t.visit].at != app_backend::llm) t.remaining_s -= from.visits[t.visit].seconds;
    if (++t.visit < from.visits.size()) {
        begin_visit(task);
        return;
    }
    const double now = to_seconds(bed_->home().now().time_since_epoch());
    out_.tasks[task] = {from.run->application, from.arrival_s, now - from.arrival_s,
                        from.deadline_multiple, from.deadline_multiple * from.ideal_s};
    out_.makespan_s = std::max(out_.makespan_s, now);
    --open_;
}

void app_server::submit(std::uint32_t i) {
    const load_request& r = s_.draw.calls.requests[i];
    keys_.clear();
    if (getenv("SA_NOKEYS") == nullptr) append_keys(r, keys_);
    request_spec spec;
    spec.keys = keys_;
    spec.prompt_tokens = r.prompt_tokens;
    spec.pages = bed_->pages_of(i);
    spec.write_back = false;
    spec.user = bed_->user_of(i);
    spec.rank = rank_of(s_.draw.owner[i]);
    const absl::StatusOr<request_handle> handle = pipe_->submit(spec);
    if (handle.ok()) {
        handles_[i] = *handle;
    } else if (failure_.ok()) {
        failure_ = annotate(handle.status(), fmt::format("call {}", i));
    }
}

std::size_t app_server::collect() {
    std::array<request_event, 32> events;
    std::size_t taken = 0;
    while (const std::size_t n = pipe_->poll_events(events)) {
        taken += n;
        for (const request_event& e : std::span(events).first(n)) {
            if (is_outcome(e.kind)) {
                take(e);
            }
        }
    }
    return taken;
}

void app_server::take(const request_event& e) {
    const auto i = static_cast<std::uint32_t>(bed_->request_of(e.user));
    if (e.kind != event_kind::computed) {
        failure_ = absl::InternalError(fmt::format("call {} failed", i));
        return;
    }
    const std::uint64_t prompt = s_.draw.calls.requests[i].prompt_tokens;
    const std::uint64_t loaded = std::uint64_t{e.blocks} * s_.draw.calls.block_tokens;
    out_.prompt_tokens += prompt;
    out_.computed_tokens += prompt - std::min(prompt, loaded);
    part_ended(i);
}

void app_server::part_ended(std::uint32_t i) {
    if (--parts_[i] > 0) {
        return;
    }
    (void)pipe_->release(handles_[i]);
    call_ended(i);
}

void app_server::call_ended(std::uint32_t i) {
    const std::uint32_t task = s_.draw.owner[i];
    live_task& t = live_[task];
    const app_visit& v = s_.draw.tasks[task].visits[t.visit];
    const auto& c = v.record->calls[i - v.first_call];
    t.remaining_s -= P_ * c.prompt_tokens + D_ * c.completion_tokens;
    out_.decode_tokens += c.completion_tokens;
    if (--t.open_calls == 0) {
        end_visit(task);
    } else if (how_ == how::sum) {
        for (std::uint32_t k = v.first_call; k < v.first_call + v.record->calls.size(); ++k) {
            if (parts_[k] == 2 && handles_[k] != request_handle{}) {
                (void)pipe_->set_rank(handles_[k], rank_of(task));
            }
        }
    }
}

absl::StatusOr<app_run> app_server::run() {
    virtual_loop& home = bed_->home();
    while (open_ > 0) {
        if (home.next_due() == never && home.run_until_idle() == 0 && collect() == 0) {
            return absl::InternalError(fmt::format(
                "seed {}: nothing moves any more, and applications have not ended", s_.seed));
        }
        home.run_until(home.next_due());
        collect();
        SLUICE_RETURN_IF_ERROR(failure_);
    }
    out_.busy[0] = bed_->compute_busy_seconds() / out_.makespan_s;
    for (std::size_t b = 1; b < app_backends; ++b) {
        if (all_places[b] > 0) {
            out_.busy[b] = queues_[b]->busy_seconds() / (all_places[b] * out_.makespan_s);
        }
    }
    return std::move(out_);
}

}  // namespace

absl::StatusOr<app_run> serve_apps(const app_setting& setting) {
    const auto begun = std::chrono::steady_clock::now();
    app_server server(setting);
    SLUICE_RETURN_IF_ERROR(server.assemble());
    auto out = server.run();
    SLUICE_RETURN_IF_ERROR(out.status());
    out->wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    return out;
}

}  // namespace sluice::experiment
