// SPDX-License-Identifier: Apache-2.0
#include "draw.hpp"

#include <algorithm>

#include "../../workload/random.hpp"
#include "sharing.hpp"

namespace sluice::experiment {
namespace {

constexpr std::uint64_t class_stream = 33;
constexpr std::uint64_t item_stream = 34;
constexpr std::uint64_t arrival_stream = 35;
constexpr std::uint64_t deadline_stream = 36;
constexpr std::uint64_t gap_stream = 37;
constexpr std::uint64_t prompt_stream = 38;

app_backend backend_of(std::string_view name) {
    for (std::size_t i = 0; i < app_backends; ++i) {
        if (to_string(static_cast<app_backend>(i)) == name) {
            return static_cast<app_backend>(i);
        }
    }
    return app_backend::wait;
}

double ideal_seconds(const demand::run_record& run, const ideal_rates& rates) {
    constexpr double per_llm_unit_s = 0.3;
    // The published deadlines of this one are loose: its calls count as if one after the other.
    const bool in_turn = run.application == "langchain_mapreduce";
    double out = 0;
    for (const demand::unit_record& u : run.units) {
        double prompts = 0;
        double longest = 0;
        double all = 0;
        double seconds = 0;
        for (const demand::call_record& c : u.calls) {
            prompts += c.prompt_tokens;
            all += c.completion_tokens;
            longest = std::max<double>(longest, c.completion_tokens);
            seconds = std::max(seconds, c.seconds);
        }
        out += seconds;
        if (u.llm()) {
            const double count = in_turn ? static_cast<double>(u.calls.size()) : 1;
            out += rates.prefill_s * prompts * count + rates.decode_s * (in_turn ? all : longest) +
                   per_llm_unit_s;
        }
    }
    return out;
}

/// What the run needs, of all calls and of the longest path, as trackers reckon.
void reckon(app_task& task, const demand::service_rates& rates) {
    demand::run_record scheduled = *task.run;
    std::erase_if(scheduled.units, [](const demand::unit_record& u) {
        return backend_of(u.backend) == app_backend::wait;  // nobody schedules it
    });
    task.service_s = demand::service_seconds(scheduled, rates);
    task.path_s = demand::path_seconds(scheduled, rates);
}

/// Lays out the calls of tasks in a load.
class layout_of_calls {
 public:
    layout_of_calls(app_draw& out, std::uint64_t seed, std::uint32_t block_tokens)
        : out_(out), seed_(seed), block_tokens_(block_tokens) {}

    void add(std::uint32_t task, const std::vector<const demand::run_record*>& same_class) {
        app_task& t = out_.tasks[task];
        const prompt_sharing has = sharing_of(t.run->application);
        std::uint32_t number = 0;
        for (const demand::unit_record& u : t.run->units) {
            app_visit visit{&u, backend_of(u.backend), 0, 0};
            if (visit.at == app_backend::llm) {
                visit.first_call = static_cast<std::uint32_t>(out_.calls.requests.size());
                const std::uint32_t common =
                    has.instructed ? instructions_of(same_class, u.unit) : 0;
                std::uint32_t place = 0;
                for (const demand::call_record& c : u.calls) {
                    const std::uint64_t own =
                        has.conversation ? 0 : 1 + number * 1000ULL + (has.identical ? 0 : place);
                    add_call(task, c, own, t.run->application + '/' + u.unit, common);
                    ++place;
                }
            } else {
                for (const demand::call_record& c : u.calls) {
                    visit.seconds = std::max(visit.seconds, c.seconds);
                }
            }
            ++number;
            t.visits.push_back(visit);
        }
    }

 private:
    void add_call(std::uint32_t task, const demand::call_record& c, std::uint64_t own,
                  std::string_view unit, std::uint32_t common_tokens) {
        const std::uint64_t index = out_.calls.requests.size();
        load_request r;
        r.prompt_tokens = std::max<std::uint64_t>(c.prompt_tokens, 1);
        r.output_tokens = std::max<std::uint32_t>(c.completion_tokens, 1);
        r.deadline_multiple = 0;
        std::uint64_t name = 0;
        for (const char ch : unit) {
            name = workload::mix(name ^ static_cast<unsigned char>(ch));
        }
        const std::uint64_t mine = workload::draw(workload::mix(seed_ ^ task), prompt_stream, own);
        const std::uint64_t blocks = r.prompt_tokens / block_tokens_;
        for (std::uint64_t b = 0; b < blocks; ++b) {
            const bool common = (b + 1) * block_tokens_ <= common_tokens;
            r.cached_blocks += common ? 1 : 0;
            r.block_ids.push_back(workload::draw(common ? name : mine, prompt_stream, b) >> 1);
        }
        out_.calls.requests.push_back(std::move(r));
        out_.owner.push_back(task);
        const std::string& app = out_.tasks[task].run->application;
        const bool waits = app != "code_feedback" && app != "hugginggpt";
        const double unit_draw = workload::to_unit(workload::draw(seed_, gap_stream, index));
        out_.gap_s.push_back(waits ? 0.006 + 0.294 * unit_draw : 0);
    }

    app_draw& out_;
    const std::uint64_t seed_;
    const std::uint32_t block_tokens_;
};

}  // namespace

std::string_view to_string(app_backend b) noexcept {
    constexpr std::array<std::string_view, app_backends> names{"llm", "docker", "dnn", "search",
                                                               "env"};
    return names[static_cast<std::size_t>(b)];
}

app_draw draw_apps(const app_mix& mix,
                   const std::vector<std::vector<const demand::run_record*>>& served,
                   const draw_options& o) {
    constexpr std::array multiples{1.2, 1.5, 2.0};
    app_draw out;
    out.calls.name = mix.name;
    out.calls.block_tokens = o.block_tokens;
    out.calls.distinct = false;
    double total = 0;
    for (const app_mix::share& s : mix.shares) {
        total += s.weight;
    }
    const double rate = o.tasks * o.intensity / o.window_s;
    double at_s = 0;
    layout_of_calls layout(out, o.seed, o.block_tokens);
    for (std::uint32_t i = 0; i < o.tasks; ++i) {
        double left = workload::to_unit(workload::draw(o.seed, class_stream, i)) * total;
        std::size_t chosen = 0;
        while (chosen + 1 < mix.shares.size() && left >= mix.shares[chosen].weight) {
            left -= mix.shares[chosen++].weight;
        }
        const auto& runs = served[chosen];
        app_task task;
        task.run = runs[workload::draw(o.seed, item_stream, i) % runs.size()];
        at_s += workload::random_source(workload::draw(o.seed, arrival_stream, i)).exponential(1) /
                rate;
        task.arrival_s = at_s;
        workload::random_source deadline(workload::draw(o.seed, deadline_stream, i));
        if (deadline.unit() < o.deadline_share) {
            task.deadline_multiple = multiples[deadline.below(multiples.size())];
        }
        task.ideal_s = ideal_seconds(*task.run, o.ideal);
        reckon(task, o.rates);
        out.tasks.push_back(std::move(task));
        layout.add(i, runs);
    }
    return out;
}

}  // namespace sluice::experiment
