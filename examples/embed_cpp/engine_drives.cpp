// SPDX-License-Identifier: Apache-2.0
// The engine drives: Sluice says what is in place, the engine computes the rest when it likes.
#include <cstdint>
#include <cstdio>
#include <span>
#include <utility>
#include <vector>

#include <poll.h>

#include <sluice/pipeline.hpp>

#include "embed.hpp"

namespace {

// [README]
/// Submits a prompt, waits until what is cached of it is in L1, and computes the rest.
std::uint32_t serve(sluice::pipeline& pipe, std::span<const sluice::block_key> keys) {
    sluice::request_spec spec;
    spec.keys = keys;  // one per full block of the prompt
    spec.prompt_tokens = keys.size() * block_tokens + 5;
    if (!pipe.submit(spec).ok()) {
        return 0;
    }
    pollfd waiting{pipe.event_fd(), POLLIN, 0};
    for (;;) {
        poll(&waiting, 1, -1);
        sluice::request_event event;
        while (pipe.poll_events(std::span(&event, 1)) == 1) {
            if (event.kind == sluice::event_kind::ready) {
                // compute tokens event.blocks * block_tokens and on, into pipe.pages(event.request)
                (void)pipe.compute_done(event.request);  // the computed blocks go to the store
            }
            if (sluice::is_outcome(event.kind)) {
                (void)pipe.release(event.request);
                return event.blocks;
            }
        }
    }
}
// [README]

}  // namespace

bool engine_drives(sluice::pipeline_options options) {
    const auto pipe = sluice::pipeline::create(std::move(options)).value();
    const std::vector<sluice::block_key> prompt = prompt_of(0, 8);
    const std::uint32_t first = serve(*pipe, prompt);
    const std::uint32_t second = serve(*pipe, prompt);
    std::printf("engine drives: loaded %u blocks, then %u of %zu\n", first, second, prompt.size());
    return first == 0 && second == prompt.size();
}
