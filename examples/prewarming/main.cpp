// SPDX-License-Identifier: Apache-2.0
// Containers that are started while a language model still writes what is to run in them. Time is
// virtual; a program of yours uses a thread_loop, and its pipeline refreshes the tracker.
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <sluice/base/status.hpp>
#include <sluice/coro/virtual_loop.hpp>
#include <sluice/demand/app_prewarmer.hpp>
#include <sluice/demand/model_set.hpp>

namespace {

using namespace sluice::demand;

// [warmable]
/// Containers that take two seconds to start; a key is the application that will run code in it.
class containers final : public warmable {
 public:
    explicit containers(sluice::loop& on) : on_(on) {}

    warm_cost cost(warm_key) noexcept override { return {.seconds = 2, .saving = 2, .hold = 1}; }
    void warm(warm_key key, warm_done done) noexcept override {
        auto& begun = starting_[key] = std::make_unique<start>(std::move(done));
        on_.arm(*begun, on_.now() + sluice::from_seconds(2));
    }
    void cool(warm_key key) noexcept override {
        if (const auto known = starting_.find(key); known != starting_.end()) {
            on_.disarm(*known->second);
            starting_.erase(known);
        }
    }
    // A container serves one application, and is gone then.
    bool shared() const noexcept override { return false; }

 private:
    struct start : sluice::timer {
        explicit start(warm_done d) noexcept
            : timer([](timer& t) noexcept { static_cast<start&>(t).done(absl::OkStatus()); }),
              done(std::move(d)) {}
        warm_done done;
    };

    sluice::loop& on_;
    std::map<warm_key, std::unique_ptr<start>> starting_;
};
// [warmable]

// Twenty recorded runs: code is written in 4 to 8 s and then run, but for every fifth.
std::unique_ptr<demand_model> learn() {
    std::vector<run_record> runs(20);
    for (std::uint64_t i = 0; i < runs.size(); ++i) {
        call_record write;
        write.prompt_tokens = 200;
        write.completion_tokens = 66 + 3 * static_cast<std::uint32_t>(i);
        call_record execute;
        execute.seconds = 1;
        runs[i].application = "coder";
        runs[i].run = i;
        runs[i].units.push_back({"write", "llm", {write}});
        if (i % 5 != 0) {
            runs[i].units.push_back({"execute", "container", {execute}});
        }
    }
    return demand_model::learn("coder", runs).value();
}

bool check(const absl::Status& status) {
    if (!status.ok()) {
        std::fprintf(stderr, "%s\n", status.ToString().c_str());
    }
    return status.ok();
}

}  // namespace

int main() {
    sluice::virtual_loop loop;
    model_set models;
    models.add(learn());

    // [prewarmer]
    app_tracker_options options;
    options.models = &models;
    app_tracker tracker(options);  // pipeline_options::applications
    containers boxes(loop);
    prewarmer warmer(loop);  // on the pipeline's control loop
    app_prewarmer watcher(warmer, [&](const app_state& a, const unit_facts& unit) -> warm_target {
        return unit.backend == "container" ? warm_target{&boxes, a.view.id.index} : warm_target{};
    });
    tracker.set_observer(&watcher);
    // [prewarmer]

    const auto refresh = [&] {  // what a pipeline does by itself
        while (tracker.refresh(loop.now()) <= loop.now()) {
        }
    };
    bool ok = true;
    for (const std::uint64_t tokens : {80, 100, 120}) {
        app_spec spec;
        spec.application = "coder";
        spec.arrival = loop.now();
        const sluice::app_handle app = tracker.begin(spec).value();
        unit_begin write;
        write.unit = "write";
        write.prompt_tokens = 200;
        write.time = loop.now();
        ok &= check(tracker.begin_unit(app, write));
        refresh();
        loop.advance(sluice::from_seconds(0.02 + 0.06 * static_cast<double>(tokens)));

        unit_end written;
        written.completion_tokens = tokens;
        written.time = loop.now();
        ok &= check(tracker.end_unit(app, written));
        unit_begin execute;
        execute.unit = "execute";
        execute.backend = "container";
        execute.time = loop.now();
        ok &= check(tracker.begin_unit(app, execute));
        refresh();
        std::printf("written in %.1f s; so far %.1f s of starting saved, %.1f s wasted\n",
                    0.02 + 0.06 * static_cast<double>(tokens), warmer.stats().saved_s,
                    warmer.stats().wasted_s);
        loop.advance(sluice::from_seconds(1));
        ok &= check(tracker.end(app, false));
        refresh();
    }
    tracker.set_observer(nullptr);
    const prewarmer_stats& s = warmer.stats();
    std::printf("%llu of 3 found their container started or starting\n",
                static_cast<unsigned long long>(s.found_warm + s.found_warming));
    return ok && s.found_cold == 0 && s.saved_s > 4 ? 0 : 1;
}
