// SPDX-License-Identifier: Apache-2.0
// A device of one's own, as for an accelerator that copies by a queue: here a thread is the queue.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <poll.h>

#include <sluice/coro/thread_loop.hpp>
#include <sluice/device/device.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/store/memory_store.hpp>

namespace {

// [scatter_device]
class scatter_device final : public sluice::device {
 public:
    absl::Status start() { return queue_.start(); }

    // Memory that the device can reach by itself: here any. It becomes L2.
    absl::StatusOr<std::span<std::byte>> allocate_pinned(std::size_t bytes) override {
        constexpr std::size_t page = 4096;
        void* memory = std::aligned_alloc(page, (bytes + page - 1) / page * page);
        if (memory == nullptr) {
            return absl::ResourceExhaustedError("no memory for L2");
        }
        return std::span(static_cast<std::byte*>(memory), bytes);
    }
    void free_pinned(std::span<std::byte> memory) noexcept override { std::free(memory.data()); }

    absl::Status register_layout(const sluice::layout&) override { return absl::OkStatus(); }

    // From any thread; they only queue.
    void copy_in(std::span<sluice::device_copy* const> ops) noexcept override { post(ops, true); }
    void copy_out(std::span<sluice::device_copy* const> ops) noexcept override { post(ops, false); }

 private:
    struct batch : sluice::work {
        batch(std::span<sluice::device_copy* const> o, bool in)
            : work([](sluice::work& w) noexcept {
                  const std::unique_ptr<batch> self(static_cast<batch*>(&w));
                  for (sluice::device_copy* op : self->ops) {
                      scatter(*op, self->in);
                      op->complete(absl::OkStatus());  // on any thread; each by itself
                  }
              }),
              ops(o.begin(), o.end()),
              in(in) {}
        std::vector<sluice::device_copy*> ops;
        bool in;
    };
    void post(std::span<sluice::device_copy* const> ops, bool in) noexcept {
        queue_.post(*new batch(ops, in));
    }

    // A block is contiguous in L2: its pieces in the order of the group's regions.
    static void scatter(const sluice::device_copy& op, bool in) noexcept {
        std::byte* host = op.host;
        for (const sluice::region& r : op.group->regions) {
            auto* page = reinterpret_cast<std::byte*>(r.base + r.stride * op.slot);
            std::memcpy(in ? page : host, in ? host : page, r.bytes);
            host += r.bytes;
        }
    }

    sluice::thread_loop queue_{"copies"};
};
// [scatter_device]

}  // namespace

int main() {
    // Two layers, K and V apart: four pieces of each block.
    constexpr std::uint32_t piece = 512, page_count = 64, blocks = 8;
    std::vector<std::byte> kv(std::size_t{4} * page_count * piece);
    sluice::group_layout group;
    for (std::uint32_t i = 0; i < 4; ++i) {
        group.regions.push_back(
            {.base = reinterpret_cast<std::uintptr_t>(kv.data()) + i * page_count * piece,
             .stride = piece,
             .bytes = piece,
             .slots = page_count,
             .layer = static_cast<std::int32_t>(i / 2)});
    }
    const sluice::layout l1 = sluice::layout::create({group}).value();
    const auto store = sluice::memory_store::create().value();
    scatter_device device;
    if (!device.start().ok()) {
        return 1;
    }
    std::vector<sluice::block_key> keys;
    for (std::uint64_t i = 0; i < blocks; ++i) {
        keys.push_back(sluice::block_key::from_u64(i));
    }
    std::uint32_t right = 0;
    for (int turn = 0; turn < 2; ++turn) {  // a pipeline each, so that L1 and L2 are empty
        sluice::pipeline_options options;
        options.l1 = &l1;
        options.device = &device;
        options.store = store.get();
        options.fetch_soft_timeout = std::chrono::seconds(9);  // tests run on busy machines
        const auto pipe = sluice::pipeline::create(std::move(options)).value();
        sluice::request_spec spec;
        spec.keys = keys;
        spec.prompt_tokens = blocks * 16 + 1;
        const sluice::request_handle request = pipe->submit(spec).value();
        pollfd waiting{pipe->event_fd(), POLLIN, 0};
        sluice::request_event event;
        do {
            poll(&waiting, 1, -1);
        } while (pipe->poll_events(std::span(&event, 1)) == 0);
        const std::vector<sluice::slot_id> pages = pipe->pages(request).value();
        const auto piece_at = [&](std::uint32_t region, std::uint32_t block) {
            return kv.data() + (std::size_t{region} * page_count + pages[block]) * piece;
        };
        for (std::uint32_t region = 0; region < 4; ++region) {
            for (std::uint32_t block = 0; block < blocks; ++block) {
                const auto value = static_cast<std::byte>(region * 64 + block);
                if (turn == 0) {
                    std::memset(piece_at(region, block), std::to_integer<int>(value), piece);
                } else {
                    right += piece_at(region, block)[piece - 1] == value ? 1 : 0;
                }
            }
        }
        (void)pipe->compute_done(request);
        while (turn == 0 && event.kind != sluice::event_kind::stored) {
            poll(&waiting, 1, -1);
            (void)pipe->poll_events(std::span(&event, 1));
        }
        (void)pipe->release(request);
        std::memset(kv.data(), 0, kv.size());
    }
    std::printf("%u of %u pieces are right\n", right, 4 * blocks);
    return right == 4 * blocks ? 0 : 1;
}
