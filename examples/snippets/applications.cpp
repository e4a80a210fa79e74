// SPDX-License-Identifier: Apache-2.0
// An engine that reports applications, in C++; and blocks that are brought near for what comes.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include <poll.h>

#include <sluice/sluice.hpp>

namespace {

template <class T>
T must(absl::StatusOr<T> result) {
    if (!result.ok()) {
        std::fprintf(stderr, "%s\n", std::string(result.status().message()).c_str());
        std::exit(1);
    }
    return *std::move(result);
}
void must(const absl::Status& status) {
    if (!status.ok()) {
        std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
        std::exit(1);
    }
}

sluice::request_event wait(sluice::pipeline& pipe) {
    sluice::request_event event;
    while (pipe.poll_events({&event, 1}) == 0) {
        pollfd readable{pipe.event_fd(), POLLIN, 0};
        ::poll(&readable, 1, -1);
    }
    return event;
}

}  // namespace

int main() {
    std::vector<std::byte> kv(64 * 4096);
    sluice::group_layout group;
    group.regions.push_back({reinterpret_cast<std::uintptr_t>(kv.data()), 4096, 4096, 64, -1});
    const sluice::layout l1 = must(sluice::layout::create({group}));
    const auto device = must(sluice::host_device::create());
    const auto store = must(sluice::memory_store::create());

    // [open]
    sluice::demand::app_tracker tracker;  // outlives the pipeline
    sluice::pipeline_options options;
    options.applications = &tracker;
    options.policy = must(sluice::make_policy("gittins"));
    // [open]
    options.l1 = &l1;
    options.device = device.get();
    options.store = store.get();
    auto pipe = must(sluice::pipeline::create(std::move(options)));

    const std::vector<sluice::block_key> keys{sluice::block_key::from_u64(1)};

    // [events]
    // Before the first request of a run.
    sluice::demand::app_spec spec;
    spec.application = "report";
    const sluice::app_handle app = must(tracker.begin(spec));

    // Before the calls of a unit: how many side by side, and the tokens of all their prompts.
    sluice::demand::unit_begin unit;
    unit.unit = "plan";
    unit.calls = 1;
    unit.prompt_tokens = 20;
    must(tracker.begin_unit(app, unit));

    sluice::request_spec request;
    request.keys = keys;
    request.prompt_tokens = 20;
    request.application = app;
    const sluice::request_handle handle = must(pipe->submit(request));
    // [events]
    if (wait(*pipe).kind != sluice::event_kind::ready) {
        return 1;
    }
    must(pipe->compute_done(handle));
    wait(*pipe);  // stored
    must(pipe->release(handle));

    // [end]
    // Now and then, of all calls of the unit together.
    sluice::demand::unit_progress so_far;
    so_far.prompt_tokens = 20;
    so_far.completion_tokens = 7;
    must(tracker.progress(app, so_far));

    // When the last call of the unit has ended.
    sluice::demand::unit_end result;
    result.completion_tokens = 12;
    must(tracker.end_unit(app, result));
    must(tracker.end(app));
    // [end]

    // [prewarm]
    sluice::request_spec near;
    near.keys = keys;
    near.prewarm = true;
    must(pipe->submit(near).status());
    // [prewarm]
    const sluice::request_event outcome = wait(*pipe);
    return outcome.kind == sluice::event_kind::ready && outcome.blocks == 1 ? 0 : 1;
}
