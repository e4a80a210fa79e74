// SPDX-License-Identifier: Apache-2.0
// The engine owns the pages of L1: when it gives them, and when it may use them for something else.
#include <array>
#include <cstdint>
#include <cstdio>
#include <list>
#include <numeric>
#include <utility>
#include <vector>

#include <poll.h>

#include <sluice/device/host_device.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/store/memory_store.hpp>

namespace {

constexpr std::uint32_t block_tokens = 16, page_bytes = 4096, page_count = 16, blocks = 4;

struct request {
    sluice::request_handle handle;
    std::vector<sluice::slot_id> pages;  // of the engine's, while it has any
    bool usable = false;                 // it was ready or detached
    bool ended = false;
};

struct engine {
    sluice::pipeline& pipe;
    std::vector<sluice::slot_id> free_pages;
    std::uint32_t loaded = 0;

    void compute(request& r) {
        // prefill what was not loaded, into r.pages
        (void)pipe.compute_done(r.handle);
        (void)pipe.release(r.handle);  // after decoding; the pages are still being stored
    }

    void give_back(request& r) {
        free_pages.insert(free_pages.end(), r.pages.begin(), r.pages.end());
        r.pages.clear();
        r.ended = true;
    }

    // [events]
    void take(const sluice::request_event& event) {
        request& r = *static_cast<request*>(event.user);
        switch (event.kind) {
        case sluice::event_kind::want_pages:
            // All that the request will touch, in one call. Without enough free ones: later.
            r.pages.assign(free_pages.end() - (blocks + 1), free_pages.end());
            free_pages.resize(free_pages.size() - r.pages.size());
            (void)pipe.bind(event.request, r.pages);
            break;
        case sluice::event_kind::ready:
        case sluice::event_kind::detached:
            r.usable = true;
            loaded += event.blocks;
            if (!event.busy) {
                compute(r);
            }  // else a late copy may still write to its pages: wait for quiesced
            break;
        case sluice::event_kind::cancelled:
        case sluice::event_kind::failed:
            if (!event.busy) {
                give_back(r);
            }
            break;
        case sluice::event_kind::quiesced: r.usable ? compute(r) : give_back(r); break;
        case sluice::event_kind::stored: give_back(r); break;
        default: break;
        }
    }
    // [events]
};

}  // namespace

int main() {
    std::vector<std::byte> kv(std::size_t{page_count} * page_bytes);
    sluice::group_layout group;
    group.regions = {{.base = reinterpret_cast<std::uintptr_t>(kv.data()),
                      .stride = page_bytes,
                      .bytes = page_bytes,
                      .slots = page_count}};
    const sluice::layout l1 = sluice::layout::create({group}).value();
    const auto device = sluice::host_device::create().value();
    const auto store = sluice::memory_store::create().value();

    sluice::pipeline_options options;
    options.l1 = &l1;
    options.block_tokens = block_tokens;
    options.owner = sluice::l1_owner::engine;
    options.device = device.get();
    options.store = store.get();
    const auto pipe = sluice::pipeline::create(std::move(options)).value();

    engine e{*pipe, std::vector<sluice::slot_id>(page_count)};
    std::iota(e.free_pages.begin(), e.free_pages.end(), 0);
    std::vector<sluice::block_key> keys;
    for (std::uint64_t i = 0; i < blocks; ++i) {
        keys.push_back(sluice::block_key::from_u64(i));
    }
    std::list<request> requests;
    for (int turn = 0; turn < 3; ++turn) {
        request& r = requests.emplace_back();
        // [submit]
        sluice::request_spec spec;
        spec.keys = keys;
        spec.prompt_tokens = (blocks + 1) * block_tokens;
        spec.user = &r;                         // comes back in events
        spec.pages = blocks + 1;                // per group; more, if it will generate beyond them
        r.handle = pipe->submit(spec).value();  // loading to L2 begins, without any page
        // [submit]
        if (turn == 2) {
            (void)pipe->cancel(r.handle);
        }
        pollfd waiting{pipe->event_fd(), POLLIN, 0};
        while (!r.ended) {
            poll(&waiting, 1, -1);
            std::array<sluice::request_event, 8> events;
            for (std::size_t i = 0, n = pipe->poll_events(events); i < n; ++i) {
                e.take(events[i]);
            }
        }
    }
    std::printf("loaded %u blocks; %zu of %u pages are free\n", e.loaded, e.free_pages.size(),
                page_count);
    return e.loaded == blocks && e.free_pages.size() == page_count ? 0 : 1;
}
