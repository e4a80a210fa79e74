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
constexpr std::uint64_t visit_stream = 39;

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
    layout_of_calls(app_draw& out, const draw_options& o) : out_(out), o_(o) {}

    void add(std::uint32_t task, const std::vector<const demand::run_record*>& same_class) {
        app_task& t = out_.tasks[task];
        const std::string& application = t.run->application;
        const prompt_sharing has = sharing_of(application);
        const bool waits = application != "code_feedback" && application != "hugginggpt";
        std::uint64_t said = 0;  // tokens of the conversation so far
        for (const demand::unit_record& u : t.run->units) {
            app_visit visit{&u, backend_of(u.backend), 0, 0};
            if (visit.at != app_backend::llm) {
                for (const demand::call_record& c : u.calls) {
                    visit.seconds = std::max(visit.seconds, c.seconds);
                }
                t.visits.push_back(visit);
                continue;
            }
            visit.first_call = static_cast<std::uint32_t>(out_.calls.requests.size());
            const std::uint64_t instructed =
                has.instructed ? instructions_of(same_class, u.unit) : 0;
            const std::uint64_t number = t.visits.size() + 1;
            for (std::uint64_t place = 0; place < u.calls.size(); ++place) {
                texts of;
                of.elsewhere = o_.far ? workload::draw(o_.seed ^ task, visit_stream, number) : 0;
                of.instructions = name_of(application + '/' + u.unit);
                of.instructed = instructed;
                const std::uint64_t same = has.identical ? 0 : place;
                of.own = workload::draw(workload::mix(o_.seed ^ task), prompt_stream,
                                        has.conversation ? 0 : number * 1000 + same);
                add_call(task, u.calls[place], of, std::max(instructed, said), waits);
            }
            said = has.conversation ? u.calls.front().prompt_tokens : 0;
            t.visits.push_back(visit);
        }
    }

 private:
    /// What the tokens of a prompt are called.
    struct texts {
        std::uint64_t elsewhere = 0;  // other engines have seen it, not this one
        std::uint64_t instructions = 0;
        std::uint64_t instructed = 0;  // tokens
        std::uint64_t own = 0;
    };

    static std::uint64_t name_of(std::string_view text) {
        std::uint64_t name = 0;
        for (const char c : text) {
            name = workload::mix(name ^ static_cast<unsigned char>(c));
        }
        return name;
    }

    void add_call(std::uint32_t task, const demand::call_record& c, const texts& of,
                  std::uint64_t known, bool waits) {
        const std::uint64_t index = out_.calls.requests.size();
        load_request r;
        r.prompt_tokens = std::max<std::uint64_t>(c.prompt_tokens, 1);
        r.output_tokens = std::max<std::uint32_t>(c.completion_tokens, 1);
        r.deadline_multiple = 0;
        r.cached_blocks = c.cached_tokens / o_.block_tokens;
        const std::uint64_t blocks = r.prompt_tokens / o_.block_tokens;
        for (std::uint64_t b = 0; b < blocks; ++b) {
            const bool instructed = (b + 1) * o_.block_tokens <= of.instructed;
            const std::uint64_t text = (instructed ? of.instructions : of.own) ^ of.elsewhere;
            r.block_ids.push_back(workload::draw(text, prompt_stream, b) >> 1);
        }
        out_.known_blocks.push_back(
            static_cast<std::uint32_t>(std::min(blocks, known / o_.block_tokens)));
        out_.calls.requests.push_back(std::move(r));
        out_.owner.push_back(task);
        const double share = workload::to_unit(workload::draw(o_.seed, gap_stream, index));
        out_.gap_s.push_back(waits ? 0.006 + 0.294 * share : 0);
    }

    app_draw& out_;
    const draw_options& o_;
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
    layout_of_calls layout(out, o);
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
