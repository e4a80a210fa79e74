// SPDX-License-Identifier: Apache-2.0
// The library drives: it calls the engine's model, on a thread of its own, for each request whose
// blocks are in L1, the best first.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <poll.h>

#include <absl/status/status.h>

#include <sluice/pipeline.hpp>
#include <sluice/stage/compute_thread.hpp>

#include "embed.hpp"

namespace {

/// Stands for the model: the KV of block i is a page full of i. An engine computes the tokens
/// job.context_tokens and on, job.query_tokens of them, and keeps the first token that comes out.
absl::Status prefill(kv_memory& l1, const sluice::compute_job& job) {
    for (std::uint32_t i = 0; i < job.pages_per_group; ++i) {
        const std::span<std::byte> page = l1.page(job.pages[i]);
        const std::byte kv{static_cast<unsigned char>(i)};
        if (i >= job.loaded_blocks) {
            std::ranges::fill(page, kv);
        } else if (std::ranges::count(page, kv) != std::ssize(page)) {
            return absl::DataLossError("what was loaded is not what was computed");
        }
    }
    return absl::OkStatus();
}

/// Submits a few prompts at once. \return how many blocks of them were loaded.
std::uint32_t serve(sluice::pipeline& pipe, std::span<std::vector<sluice::block_key>> prompts) {
    std::size_t open = 0;
    for (const std::vector<sluice::block_key>& keys : prompts) {
        sluice::request_spec spec;
        spec.keys = keys;
        spec.prompt_tokens = keys.size() * block_tokens + 5;
        open += pipe.submit(spec).ok() ? 1 : 0;
    }
    std::uint32_t loaded = 0;
    pollfd waiting{pipe.event_fd(), POLLIN, 0};
    while (open > 0) {
        poll(&waiting, 1, -1);
        sluice::request_event event;
        while (pipe.poll_events(std::span(&event, 1)) == 1) {
            if (event.kind == sluice::event_kind::loaded) {
                std::printf("  %u blocks are in L1, its prefill is queued\n", event.blocks);
            } else if (event.kind == sluice::event_kind::computed) {
                loaded += event.blocks;  // its first token is there: decode from here on
                (void)pipe.release(event.request);
            }
            open -= sluice::is_outcome(event.kind) ? 1 : 0;  // computed, failed, cancelled
        }
    }
    return loaded;
}

}  // namespace

bool library_drives(sluice::pipeline_options options, kv_memory& l1) {
    sluice::compute_thread model([&l1](sluice::compute_job& job) -> std::optional<absl::Status> {
        return prefill(l1, job);
    });
    options.compute = &model;  // outlives the pipeline
    const auto pipe = sluice::pipeline::create(std::move(options)).value();

    std::vector<std::vector<sluice::block_key>> prompts{prompt_of(100, 4), prompt_of(200, 6)};
    const std::uint32_t first = serve(*pipe, prompts);
    const std::uint32_t second = serve(*pipe, prompts);
    std::printf("library drives: loaded %u blocks, then %u of 10\n", first, second);
    return first == 0 && second == 10;
}
